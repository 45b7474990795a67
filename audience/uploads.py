"""Files that people have sent and not imported yet: in the data directory, so that every process on it can go on.

A token that nobody can guess names an upload. <token>.csv is the file, <token>.json says what is known of it. Who
takes the file to import it renames it, so that of two at once one gets it.
"""

import json
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from foundation.errors import NotFound, Unavailable
from storage.disk import Disk, replace_file

KEPT = timedelta(days=1)
ABANDONED = timedelta(seconds=30)

_TOKEN = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)
_GONE = (
    "This file is not here any more: it was imported, or is older than a day. Nothing was changed."
    " Upload it again."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file on its way into an audience.

    has_header and mapping: how a person says it is to be read. check_id: the dry run made with that; import_id: the
    import itself, once it has begun.
    """

    token: str
    audience_id: int
    name: str
    rows: int
    has_header: bool
    kept_at: datetime
    mapping: Mapping[str, str] | None = None
    check_id: int | None = None
    import_id: int | None = None


class Uploads:
    """The uploads of one data directory."""

    def __init__(self, folder: Path, *, disk: Disk) -> None:
        self._folder = folder / "uploads"
        self._disk = disk

    def receive(self, save: Callable[[BinaryIO], object]) -> tuple[str, Path]:
        """Write what save gives into a new file, and return its token and where it is. Raises Unavailable."""
        token = secrets.token_urlsafe(24)
        path = self.file(token)
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                save(file)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise Unavailable(
                f"The file could not be kept ({error.strerror}). Nothing was imported. Make room on the disk, then"
                " upload it again."
            ) from None
        return token, path

    def note(self, upload: Upload) -> Upload:
        """Keep what is known of an upload. Raises Unavailable."""
        known = asdict(upload) | {"kept_at": upload.kept_at.isoformat()}
        try:
            replace_file(self._disk, self._facts(upload.token), json.dumps(known).encode())
        except OSError as error:
            raise Unavailable(
                f"The data directory can't be written ({error.strerror}). Nothing was imported."
            ) from None
        return upload

    def find(self, token: str, audience_id: int) -> Upload:
        """Return what is known of an upload. Raises NotFound."""
        if not _TOKEN.fullmatch(token):
            raise NotFound(_GONE)
        try:
            known = json.loads(self._disk.read(self._facts(token)))
            upload = Upload(**known | {"kept_at": datetime.fromisoformat(known["kept_at"])})
        except (FileNotFoundError, ValueError, TypeError, KeyError):  # gone, or another version's
            raise NotFound(_GONE) from None
        if upload.audience_id != audience_id:
            raise NotFound(_GONE)
        return upload

    def file(self, token: str) -> Path:
        """Return where an upload's file is while nobody has taken it."""
        return self._folder / f"{token}.csv"

    def existing(self, token: str) -> Path:
        """Return where the file is, if nobody has taken it. Raises NotFound."""
        path = self.file(token)
        if not path.is_file():
            raise NotFound(_GONE)
        return path

    def take(self, token: str) -> Path:
        """Take the file away from everybody else, and return where it is now. Raises NotFound when somebody has."""
        taken = self._folder / f"{token}.taken"
        try:
            return self.file(token).rename(taken)
        except FileNotFoundError:
            raise NotFound(_GONE) from None

    def give_back(self, token: str) -> None:
        """Undo take."""
        (self._folder / f"{token}.taken").rename(self.file(token))

    def give_back_abandoned(self, token: str, now: datetime) -> bool:
        """Undo a take whose process died before it could begin, which takes a moment; say whether it was one."""
        try:
            taken = (
                (self._folder / f"{token}.taken").stat().st_ctime
            )  # a rename changes no other time of a file
        except FileNotFoundError:
            return False
        if now - datetime.fromtimestamp(taken, now.tzinfo) < ABANDONED:
            return False
        self.give_back(token)
        return True

    def sweep(self, now: datetime) -> None:
        """Remove what is older than a day."""
        for path in self._folder.glob("*"):
            try:
                changed = datetime.fromtimestamp(path.stat().st_mtime, now.tzinfo)
                if now - changed > KEPT:
                    path.unlink()
            except FileNotFoundError:  # another process sweeps too
                continue

    def _facts(self, token: str) -> Path:
        return self._folder / f"{token}.json"
