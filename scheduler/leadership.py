"""Who runs the scheduler: the one process that holds scheduler.lock, which the kernel frees when its holder dies.

This file only says who leads. What a new leader must do first is the caller's matter: lead() turning from False to
True means that somebody else may have led in between.
"""

import os
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from foundation.errors import Unavailable
from foundation.log import log_for

log = log_for(__name__)

_Identity = tuple[int, int]
"""Device and inode: which file it is, whatever its name."""


class Leadership:
    """The lock of one data directory, as this process sees it. Safe to use from any thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid = os.getpid()
        self._mutex = threading.Lock()
        self._lock: FileLock | None = None
        self._locked: _Identity | None = None

    def lead(self) -> bool:
        """Take or keep the lock, without waiting; return whether this process leads.

        Returns False, and lets go, when the path is another file than the one that is locked: whoever locks that one
        leads. The next call may win it back. Raises Unavailable when the file system can't lock.
        """
        self._forget_the_parent()
        with self._mutex:
            if self._lock is None:
                return self._take()
            if self._locked == _identity_of(self._path):
                return True
            log.error("leadership lost: scheduler.lock was replaced", path=str(self._path))
            self._let_go()
            return False

    def resign(self) -> None:
        """Let another process lead."""
        self._forget_the_parent()
        with self._mutex:
            self._let_go()

    def _take(self) -> bool:
        lock = FileLock(
            self._path,
            mode=0o600,
            thread_local=False,
            fallback_to_soft=False,
            on_acquired=self._remember,
        )
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            raise Unavailable(
                f"{self._path} can't be locked ({error}), so no process can lead the scheduler. The data directory"
                " must be writable and on a local disk."
            ) from error
        self._lock = lock
        if self._locked == _identity_of(self._path):
            return True
        self._let_go()  # replaced between the opening and the locking
        return False

    def _remember(self, descriptor: int) -> None:
        stat = os.fstat(descriptor)
        self._locked = (stat.st_dev, stat.st_ino)

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release(force=True)
        self._lock = None
        self._locked = None

    def _forget_the_parent(self) -> None:
        # After a fork filelock has closed the inherited descriptor in the child, which neither holds nor frees the
        # parent's lock; the object of the parent is of no use here, nor is a mutex that one of its threads held.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            self._mutex = threading.Lock()
            self._lock = None
            self._locked = None


def _identity_of(path: Path) -> _Identity | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return (stat.st_dev, stat.st_ino)
