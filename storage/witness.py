"""The witness: the ledger's counts, kept where a restored data directory does not bring old ones back.

There are two: one outside the data directory, in the user's state folder under the installation's name, and high_water
inside. Both are written after the ledger's commit and before what it allows goes out, in place. So neither is ever
above a ledger that was not rolled back, and one that is above it has seen a later ledger. A new leader and each minute
of leading are fsynced, leases are not: a power cut takes the leases of the last minute from the witness, never a
leader or a minute in which something was sent. The leader holds a lock on the outer one: a copy of the directory on
the same machine finds it locked, and stands by.
"""

import json
import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from foundation.log import log_for
from storage.aliveness import Counts
from storage.disk import Disk

log = log_for(__name__)

_BYTES = 8192
"""The length of a record: always the same, so that writing it in place leaves nothing of an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessed:
    """What a witness says: the counts of the last leader it knew, the boot that one ran on, and its data directory.

    was_hurt: that process ended because the disk had failed it, so what it had written may be lost.
    """

    counts: Counts
    boot_id: str | None
    folder: str
    was_hurt: bool


class Witness:
    """Both files of one data directory, as this process sees them. Safe to use from any thread."""

    def __init__(self, folder: Path, *, disk: Disk, state_dir: Path, name: str) -> None:
        self._folder = folder
        self._disk = disk
        self._name = name
        self._outer = state_dir / f"{name}.witness"
        self._inner = folder / "high_water"
        self._mutex = threading.Lock()
        self._lock: FileLock | None = None
        self._pid = os.getpid()
        self._last: tuple[Counts, str | None] | None = None
        self._is_told = False
        self._was_hurt = False

    def hold(self) -> str | None:
        """Be the one that this machine's witness speaks for; return None, or the directory of the copy that is.

        A state folder that can't be used is logged, and goes without: it then proves nothing, and forbids nothing.
        """
        self._forget_the_parent()
        if self._lock is not None:
            return None
        try:
            self._outer.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(
                self._outer.with_suffix(".lock"),
                mode=0o600,
                thread_local=False,
                fallback_to_soft=False,
            )
            lock.acquire(blocking=False)
        except Timeout:
            other = _read(self._outer, self._name)
            return other.folder if other else "a place that is not known"
        except (OSError, NotImplementedError) as error:
            self._warn(error)
            return None
        self._lock = lock
        return None

    def release(self) -> None:
        """Let another process speak."""
        self._forget_the_parent()
        if self._lock is not None:
            self._lock.release(force=True)
            self._lock = None

    def testimonies(self) -> tuple[Witnessed | None, Witnessed | None]:
        """Return what the outer and the inner witness say; None for one that is missing or makes no sense."""
        return _read(self._outer, self._name), _read(self._inner, self._name)

    def write(self, counts: Counts, *, boot_id: str | None) -> None:
        """Say how far the ledger has come, durably where another leader or minute has begun.

        What can't be written is logged: a witness that is late proves less.
        """
        is_same_minute = self._last is not None and _minute(self._last[0]) == _minute(counts)
        self._last = (counts, boot_id)
        self._write(counts, boot_id)
        if not is_same_minute:
            self._make_durable()

    def note_hurt(self) -> None:
        """Say that the disk has failed this process: the next start must not believe what this boot has written."""
        self._was_hurt = True
        if self._last is not None:
            self._write(*self._last)

    def _write(self, counts: Counts, boot_id: str | None) -> None:
        said = {
            "installation": self._name,
            "folder": str(self._folder),
            "boot_id": boot_id,
            "starts": counts.starts,
            "leases": counts.leases,
            "minutes": counts.minutes,
            "heartbeats": counts.heartbeats,
            "was_hurt": self._was_hurt,
        }
        record = _sealed(json.dumps(said, ensure_ascii=False))
        with self._mutex:
            for path in (self._outer, self._inner):
                try:
                    self._disk.write_in_place(path, record)
                except OSError as error:
                    self._warn(error)

    def _make_durable(self) -> None:
        # Without the mutex: a process whose disk has failed must not wait for an fsync before it can say so.
        for path in (self._outer, self._inner):
            try:
                self._disk.sync(path)
                self._disk.sync_folder(path.parent)
            except OSError as error:
                self._warn(error)

    def _warn(self, error: OSError | NotImplementedError) -> None:
        if not self._is_told:  # once, not for every lease
            log.warning(
                "the witness can't be written, a restored backup may not be noticed",
                error=str(error),
                file=str(self._outer),
            )
        self._is_told = True

    def _forget_the_parent(self) -> None:
        # As in scheduler.leadership: after a fork the parent's lock is neither held nor freed here.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._mutex = threading.Lock()
            self._lock = None


def _minute(counts: Counts) -> tuple[int, int]:
    return counts.starts, counts.minutes


def _sealed(text: str) -> bytes:
    """Return the record: a check sum, so that one that was torn is not believed, the text, and blanks."""
    body = text.encode()
    record = b"%08x %s" % (zlib.crc32(body), body)
    return record.ljust(_BYTES - 1) + b"\n"


def _read(path: Path, name: str) -> Witnessed | None:
    try:
        seal, _, body = path.read_bytes()[:_BYTES].rstrip().partition(b" ")
        if int(seal, 16) != zlib.crc32(body):
            return None
        said = json.loads(body)
        if said["installation"] != name:
            return None
        return Witnessed(
            counts=Counts(
                starts=int(said["starts"]),
                leases=int(said["leases"]),
                minutes=int(said["minutes"]),
                heartbeats=int(said["heartbeats"]),
            ),
            boot_id=said["boot_id"],
            folder=str(said["folder"]),
            was_hurt=bool(said["was_hurt"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
