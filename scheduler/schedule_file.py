"""The schedule file as bytes: read it, save it whole, tell a damaged one from one that is just being written.

Whoever calls save(), sweep() or quarantine() holds the file's lock.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from foundation.clock import Clock
from foundation.errors import Unavailable
from scheduler.entries import Damaged, parse, render
from storage.disk import Disk, replace_file

STILL = timedelta(seconds=2)
"""How long a file that makes no sense must not have changed before it counts as damaged."""

_TRIES = 3
_BACK_NANOSECONDS = 20_000_000


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes whenever the file does."""

    mtime_nanoseconds: int
    inode: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Content:
    """The entries of the file, as they are written."""

    stamp: Stamp
    entries: list[Any]


@dataclass(frozen=True, slots=True)
class Damage:
    """A file that makes no sense, or none (stamp None, no data)."""

    stamp: Stamp | None
    data: bytes
    reason: str


def save_scheduled_campaigns(disk: Disk, path: Path, entries: list[dict[str, Any]]) -> None:
    """Save all entries in one batch: the file is the old or the new whole, durable, with mode 0600.

    Raises OSError.
    """
    replace_file(disk, path, render(entries))


class ScheduleFile:
    """scheduled_campaigns.json."""

    def __init__(self, path: Path, *, disk: Disk, clock: Clock) -> None:
        self.path = path
        self._disk = disk
        self._clock = clock
        self._suspected: tuple[Stamp | None, timedelta] | None = None

    def stamp(self) -> Stamp | None:
        """Return what changes whenever the file does, None when there is no file. Raises Unavailable."""
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unavailable("read", error) from error
        return Stamp(stat.st_mtime_ns, stat.st_ino, stat.st_size)

    def read(self) -> Content | Damage:
        """Return what the file says. Raises Unavailable when it can't be read or changes all the time."""
        for _ in range(_TRIES):
            before = self.stamp()
            if before is None:
                return Damage(None, b"", "it is gone")
            try:
                data = self._disk.read(self.path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise self._unavailable("read", error) from error
            if self.stamp() == before:
                return self._understand(before, data)
        raise Unavailable(f"{self.path.name} is being written by another program. Try again.")

    def is_still(self, damage: Damage) -> bool:
        """Return whether the file has not been touched for so long that nobody is still writing it."""
        elapsed = self._clock.elapsed()
        if self._suspected is None or self._suspected[0] != damage.stamp:
            self._suspected = (damage.stamp, elapsed)
        if elapsed - self._suspected[1] >= STILL:
            return True
        if damage.stamp is None:  # nothing says since when it has been gone
            return False
        age_seconds = self._clock.now().timestamp() - damage.stamp.mtime_nanoseconds / 1e9
        return age_seconds >= STILL.total_seconds()

    def save(self, entries: list[dict[str, Any]]) -> Stamp:
        """Save all entries in one batch; return the new stamp, which no earlier content had. Raises Unavailable."""
        try:
            before = self.stamp()
            save_scheduled_campaigns(self._disk, self.path, entries)
            return self._date(before)
        except OSError as error:
            raise self._unavailable("written", error) from error

    def sweep(self) -> None:
        """Remove what saves left behind whose process died in them. Raises Unavailable."""
        try:
            for left in self.path.parent.glob(f".{self.path.name}.*.tmp"):
                left.unlink(missing_ok=True)
        except OSError as error:
            raise self._unavailable("written", error) from error

    def quarantine(self, damage: Damage, now: datetime) -> Path | None:
        """Copy the damaged bytes aside, over nothing that is there; return where to. Raises Unavailable."""
        if damage.stamp is None:
            return None
        folder = self.path.parent / "quarantine"
        name = f"{self.path.stem}-{now:%Y%m%dT%H%M%S.%fZ}"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            target = folder / f"{name}{self.path.suffix}"
            number = 1
            while target.exists():
                number += 1
                target = folder / f"{name}-{number}{self.path.suffix}"
            replace_file(self._disk, target, damage.data)
        except OSError as error:
            raise self._unavailable("copied to quarantine", error) from error
        return target

    def _understand(self, stamp: Stamp, data: bytes) -> Content | Damage:
        try:
            entries = parse(data)
        except Damaged as damaged:
            return Damage(stamp, data, str(damaged))
        self._suspected = None
        return Content(stamp, entries)

    def _date(self, before: Stamp | None) -> Stamp:
        # Inode numbers are used again and the file system's clock ticks every few milliseconds, so two states could
        # look alike. Dated a little back, ours differs from whatever is written by hand from now on; dated after its
        # predecessor, it differs from every save of ours, since these come one after the other.
        stat = self.path.stat()
        mtime = stat.st_mtime_ns - _BACK_NANOSECONDS
        if before is not None:
            mtime = max(mtime, before.mtime_nanoseconds + 1)
        os.utime(self.path, ns=(stat.st_atime_ns, mtime))
        stat = self.path.stat()
        return Stamp(stat.st_mtime_ns, stat.st_ino, stat.st_size)

    def _unavailable(self, verb: str, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self.path.name} can't be {verb} just now ({error.strerror or error}). Check free disk space and the"
            " permissions of the data directory, then try again."
        )
