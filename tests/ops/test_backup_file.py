"""An archive is read as something that anybody may have made."""

import hashlib
import json
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import Unavailable
from ops import backup_file
from ops.backup_file import Manifest, describe, pack, unpack

CONTENT = {
    "sendonce.db": b"database" * 100,
    "scheduled_campaigns.json": b"[]\n",
    "secret_key": b"k" * 512,
}
NOTHING = {"size_bytes": 0, "sha256": hashlib.sha256().hexdigest()}
Change = Callable[[dict[str, Any], list[tuple[tarfile.TarInfo, bytes]]], None]


def an_archive(folder: Path, **content: bytes) -> Path:
    parts = folder / "parts"
    parts.mkdir(parents=True)
    for name, data in (CONTENT | content).items():
        (parts / name).write_bytes(data)
    manifest = Manifest(
        version="0.1.0",
        revision="0004",
        installation="0" * 32,
        made_at=datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
        members=tuple(describe(parts / name) for name in CONTENT),
    )
    pack(folder / "backup.tar", parts, manifest, on_progress=lambda share: None)
    return folder / "backup.tar"


def changed(archive: Path, change: Change) -> Path:
    """Write the archive again with something changed in its manifest or its members."""
    with tarfile.open(archive) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar.getmembers()]  # type: ignore[union-attr]
    head, text = members.pop(0)
    manifest = json.loads(text)
    change(manifest, members)
    text = json.dumps(manifest).encode()
    head.size = len(text)
    tar_bytes = b"".join(_written(info, data) for info, data in [(head, text), *members])
    archive.write_bytes(tar_bytes + bytes(1024 + -(len(tar_bytes) + 1024) % tarfile.RECORDSIZE))
    return archive


def _written(info: tarfile.TarInfo, data: bytes) -> bytes:
    # By hand, since a header may lie about the size.
    return info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def a_member(name: str, data: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def test_one_of_any_size_is_whole(tmp_path: Path) -> None:
    # The zeros at the end are of another length for each of these, and then begin anew.
    for blocks in range(tarfile.RECORDSIZE // tarfile.BLOCKSIZE):
        archive = an_archive(tmp_path / str(blocks), secret_key=bytes(512 * blocks))

        assert unpack(archive).has("secret_key")


def test_what_went_in_comes_out_readable_by_its_owner_only(tmp_path: Path) -> None:
    archive = an_archive(tmp_path)
    out = tmp_path / "out"
    out.mkdir()

    manifest = unpack(archive, into=out)

    assert {f.name: f.read_bytes() for f in out.iterdir()} == CONTENT
    assert manifest.names() == list(CONTENT)
    assert {f.stat().st_mode & 0o777 for f in (archive, *out.iterdir())} == {0o600}


def test_any_tar_program_can_look_into_it(tmp_path: Path) -> None:
    with tarfile.open(an_archive(tmp_path)) as tar:
        assert tar.getnames() == [backup_file.MANIFEST, *CONTENT]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 600, 1024, 1536, 2500, 4000, 9000, 10239])
def test_one_that_was_cut_off_is_refused(tmp_path: Path, size: int) -> None:
    archive = an_archive(tmp_path)
    whole = archive.read_bytes()
    assert len(whole) == 10240
    archive.write_bytes(whole[:size])

    with pytest.raises(Unavailable, match="is no backup of Sendonce, or not whole: "):
        unpack(archive)


@pytest.mark.parametrize("at", range(0, 5120, 509))
def test_one_with_a_flipped_byte_is_refused(tmp_path: Path, at: int) -> None:
    archive = an_archive(tmp_path)
    data = bytearray(archive.read_bytes())
    data[at] ^= 0x01
    archive.write_bytes(data)

    with pytest.raises(Unavailable):
        unpack(archive)


def _wrong_hash(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"][1]["sha256"] = "0" * 64


def _wrong_size(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"][0]["size_bytes"] = 1


def _huge_size(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"][0]["size_bytes"] = 10**15
    members[0][0].size = 10**15


def _lying_header(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[0][0].size -= 1


def _extra_member(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append(a_member("more.txt", b"more"))


def _missing_member(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.pop()


def _member_twice(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"].append(manifest["members"][0])
    members.append(members[0])


def _no_database(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"].pop(0)
    members.pop(0)


def _traversal(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"][2]["name"] = "../secret_key"
    members[2][0].name = "../secret_key"


def _other_path(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members[2][0].name = "/etc/secret_key"


def _symlink(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"][2] |= NOTHING
    members[2] = a_member("secret_key", type=tarfile.SYMTYPE, linkname="/etc/passwd")


def _folder(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["members"][2] |= NOTHING
    members[2] = a_member("secret_key", type=tarfile.DIRTYPE)


def _long_name(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.insert(0, a_member("n" * 300, b"x"))


def _unknown_field(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["more"] = 1


def _commands(manifest: dict[str, Any], members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    manifest["version"] = "\x1b[2J"


CHANGES = [
    _wrong_hash,
    _wrong_size,
    _huge_size,
    _lying_header,
    _extra_member,
    _missing_member,
    _member_twice,
    _no_database,
    _traversal,
    _other_path,
    _symlink,
    _folder,
    _long_name,
    _unknown_field,
    _commands,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
def test_one_that_is_not_as_a_backup_makes_it_is_refused(tmp_path: Path, change: Change) -> None:
    archive = changed(an_archive(tmp_path), change)
    out = tmp_path / "inner" / "out"
    out.mkdir(parents=True)

    with pytest.raises(Unavailable, match="is no backup of Sendonce, or not whole: ") as refused:
        unpack(archive, into=out)

    assert "\x1b" not in refused.value.message
    assert {f.name for f in out.iterdir()} <= set(CONTENT)
    assert [f.name for f in out.parent.iterdir()] == ["out"]


def test_a_manifest_of_any_size_is_not_read_into_memory(tmp_path: Path) -> None:
    archive = changed(
        an_archive(tmp_path), lambda manifest, members: manifest.update(v="1" * 10**5)
    )

    with pytest.raises(Unavailable, match="its manifest is too large"):
        unpack(archive)


def test_an_archive_that_was_only_written_anew_is_taken(tmp_path: Path) -> None:
    assert unpack(changed(an_archive(tmp_path), lambda manifest, members: None))


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_another_program_s_archive_is_refused(tmp_path: Path, mode: Any) -> None:
    archive = tmp_path / "other.tar"
    (tmp_path / "sendonce.db").write_bytes(b"database")
    with tarfile.open(archive, mode) as tar:
        tar.add(tmp_path / "sendonce.db", "sendonce.db")

    with pytest.raises(Unavailable, match="is no backup of Sendonce"):
        unpack(archive)


@pytest.mark.parametrize("place", ["missing.tar", "."])
def test_a_file_that_can_not_be_read_is_told(tmp_path: Path, place: str) -> None:
    with pytest.raises(Unavailable, match="can't be read"):
        unpack(tmp_path / place)
