"""The lock that guards the schedule file: one thread of one process at a time."""

import contextlib
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from foundation.errors import Unavailable

_POLL_SECONDS = 0.01


class StoreLock:
    """Two locks as one: threads of this process queue at the first, so that only one of them polls for the second."""

    def __init__(self, path: Path, *, wait: timedelta) -> None:
        self._path = path
        self._wait_seconds = wait.total_seconds()
        self._make()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock in this block; raises Unavailable when it does not come free."""
        self._forget_the_parent()
        threads, processes = self._threads, self._processes
        if not threads.acquire(timeout=self._wait_seconds):
            raise self._busy()
        try:
            try:
                processes.acquire(timeout=self._wait_seconds, poll_interval=_POLL_SECONDS)
            except Timeout as error:
                raise self._busy() from error
            except (OSError, NotImplementedError) as error:
                raise Unavailable(
                    f"{self._path} can't be locked ({error}), so schedules can't be changed. The data directory must"
                    " be writable and on a local disk."
                ) from error
            try:
                yield
            finally:
                processes.release()
        finally:
            threads.release()

    @contextlib.contextmanager
    def tried(self) -> Iterator[bool]:
        """Hold the lock in this block if it is free; say whether it is held."""
        self._forget_the_parent()
        threads, processes = self._threads, self._processes
        if not threads.acquire(blocking=False):
            yield False
            return
        try:
            try:
                processes.acquire(blocking=False)
            except (Timeout, OSError, NotImplementedError):
                yield False
                return
            try:
                yield True
            finally:
                processes.release()
        finally:
            threads.release()

    def _make(self) -> None:
        self._pid = os.getpid()
        self._threads = threading.Lock()
        self._processes = FileLock(
            self._path, mode=0o600, thread_local=False, fallback_to_soft=False
        )

    def _forget_the_parent(self) -> None:
        # After a fork a thread that is not there any more may hold the parent's first lock for ever.
        if self._pid != os.getpid():
            self._make()

    def _busy(self) -> Unavailable:
        return Unavailable(
            f"The schedules are being changed by somebody else for more than {self._wait_seconds:g} seconds. Try again."
        )
