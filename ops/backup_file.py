"""A backup as one file: a tar archive of a manifest and the files that it names, in its order, and nothing else.

Any tar program can look into it. It is not compressed: what keeps backups compresses them better as they are. It is
read as something that anybody may have made: of tar only the plain header is understood, so there are no links, no
paths and no extensions to be fooled by, and no file comes out larger than what went in.
"""

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, BinaryIO, ClassVar, Literal

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError

from foundation.errors import Unavailable

MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 64 * 1024
_CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file in the archive."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: Literal["sendonce.db", "scheduled_campaigns.json", "secret_key"]
    size_bytes: Annotated[int, Field(ge=0, lt=2**63)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in the archive: by which program, at which migration, of which installation, as of when."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    version: Annotated[str, Field(pattern="^[0-9A-Za-z.+-]{1,40}$")]
    revision: Annotated[str, Field(pattern="^[0-9A-Za-z_]{1,40}$")]
    installation: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    made_at: AwareDatetime
    members: tuple[Member, ...]

    def has(self, name: str) -> bool:
        return name in self.names()

    def names(self) -> list[str]:
        return [member.name for member in self.members]


_MANIFESTS = TypeAdapter(Manifest)


def describe(path: Path) -> Member:
    """Return what the manifest says of a file. Raises OSError."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Member(name=path.name, size_bytes=file.tell(), sha256=digest)  # type: ignore[arg-type]  # of our names


def pack(
    target: Path, folder: Path, manifest: Manifest, *, on_progress: Callable[[float], None]
) -> None:
    """Write the folder's files that the manifest names into a new archive, durable, readable by its owner only.

    Raises OSError.
    """
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        # This format's header holds any size, so no member needs an extension.
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            text = _MANIFESTS.dump_json(manifest, indent=2)
            tar.addfile(_head(MANIFEST, len(text), manifest.made_at), io.BytesIO(text))
            done, total = 0, sum(member.size_bytes for member in manifest.members)
            for member in manifest.members:
                with (folder / member.name).open("rb") as file:
                    tar.addfile(_head(member.name, member.size_bytes, manifest.made_at), file)
                done += member.size_bytes
                on_progress(done / total)
        out.flush()
        os.fsync(out.fileno())


def unpack(archive: Path, into: Path | None = None) -> Manifest:
    """Read the whole archive and return its manifest; put its files into the folder, durable, where one is given.

    Raises Unavailable, with a sentence, when it is no backup, or not as it was made.
    """
    try:
        with archive.open("rb") as source:
            return _Reader(source, into).read()
    except _Broken as broken:
        raise Unavailable(
            f"{archive} is no backup of Sendonce, or not whole: {broken}. Take another one."
        ) from None
    except OSError as error:
        raise Unavailable(f"{archive} can't be read or unpacked ({error.strerror}).") from None


class _Broken(Exception):
    """What is wrong with the archive, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class _Reader:
    source: BinaryIO
    into: Path | None
    manifests: TypeAdapter[Manifest] = field(default=_MANIFESTS)

    def read(self) -> Manifest:
        size = self._head(MANIFEST)
        if size > _LARGEST_MANIFEST:
            raise _Broken("its manifest is too large")
        manifest = self._understand(self._data(size))
        self._skip_padding(size)
        for member in manifest.members:
            self._member(member)
        # Two blocks of zeros, and as many more as fill the record: where one block was left, almost a whole one.
        rest = self.source.read(tarfile.RECORDSIZE + 2 * tarfile.BLOCKSIZE)
        is_end = len(rest) >= 2 * tarfile.BLOCKSIZE and self.source.tell() % tarfile.RECORDSIZE == 0
        if not is_end or rest.strip(b"\0"):
            raise _Broken("it does not end where its manifest says")
        return manifest

    def _understand(self, text: bytes) -> Manifest:
        try:
            manifest = self.manifests.validate_json(text, strict=True)
        except ValidationError:
            raise _Broken("its manifest makes no sense") from None
        names = manifest.names()
        if "sendonce.db" not in names or len(set(names)) < len(names):
            raise _Broken("its manifest does not name a database, once")
        return manifest

    def _member(self, member: Member) -> None:
        if self._head(member.name) != member.size_bytes:
            raise _Broken(f"{member.name} has another size than its manifest says")
        digest = hashlib.sha256()
        if self.into is None:
            self._copy(member.size_bytes, digest.update)
        else:
            path = self.into / member.name
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(path, flags, 0o600), "wb") as out:

                def keep(data: bytes) -> None:
                    digest.update(data)
                    out.write(data)

                self._copy(member.size_bytes, keep)
                out.flush()
                os.fsync(out.fileno())
        if digest.hexdigest() != member.sha256:
            raise _Broken(f"{member.name} is not what its manifest says")
        self._skip_padding(member.size_bytes)

    def _copy(self, size: int, keep: Callable[[bytes], None]) -> None:
        while size:
            data = self._data(min(size, _CHUNK))
            keep(data)
            size -= len(data)

    def _head(self, name: str) -> int:
        """Read the header of the file that must come now; return its size."""
        try:
            info = tarfile.TarInfo.frombuf(self._data(tarfile.BLOCKSIZE), "ascii", "strict")
        except (tarfile.TarError, ValueError):
            raise _Broken(f"{name} is not where it should be") from None
        if info.name != name or info.type != tarfile.REGTYPE or info.size < 0:
            raise _Broken(f"it has something else where {name} should be")
        return info.size

    def _skip_padding(self, size: int) -> None:
        if self._data(-size % tarfile.BLOCKSIZE).strip(b"\0"):
            raise _Broken("there is something between its files")

    def _data(self, size: int) -> bytes:
        data = self.source.read(size)
        if len(data) < size:
            raise _Broken("it ends too early")
        return data


def _head(name: str, size: int, made_at: datetime) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(made_at.timestamp())
    return info
