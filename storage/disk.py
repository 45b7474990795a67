"""Files that are either the old or the new whole, never something between."""

import contextlib
import os
from pathlib import Path
from typing import Protocol

from foundation.log import log_for

log = log_for(__name__)


class Disk(Protocol):
    """The steps of writing a file; a crash can fall between any two."""

    def read(self, path: Path) -> bytes:
        """Return the file's bytes; raises FileNotFoundError."""

    def write_temp(self, path: Path, data: bytes) -> Path:
        """Write the data into a new file beside path, readable by its owner only; return its path."""

    def sync(self, path: Path) -> None:
        """Make the file's content durable."""

    def rename(self, source: Path, target: Path) -> None:
        """Put source in the place of target, at once."""

    def sync_folder(self, path: Path) -> None:
        """Make the names in the folder durable."""

    def write_in_place(self, path: Path, data: bytes) -> None:
        """Write the data over the file's beginning; a file that is not there is made, readable by its owner only."""


class OsDisk:
    """The machine's own file system."""

    def read(self, path: Path) -> bytes:
        return path.read_bytes()

    def write_temp(self, path: Path, data: bytes) -> Path:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError:  # what a full disk took of it would keep it full
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        return temporary

    def sync(self, path: Path) -> None:
        _fsync(path, os.O_RDONLY)

    def rename(self, source: Path, target: Path) -> None:
        source.replace(target)

    def sync_folder(self, path: Path) -> None:
        _fsync(path, os.O_RDONLY | os.O_DIRECTORY)

    def write_in_place(self, path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.pwrite(descriptor, data, 0)
        finally:
            os.close(descriptor)


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Put data in the place of the file's content, atomically and durably, with mode 0600.

    Raises OSError when that can't be done; the file is the old one then. An fsync that failed is no reason to end the
    process, as it is for the database: the next try writes all of it again, into a new file.
    """
    temporary = disk.write_temp(path, data)
    try:
        disk.sync(temporary)
        disk.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    try:
        disk.sync_folder(path.parent)
    except OSError as error:
        # Whoever reads the file finds the new one: to say that it was not written would make people do it twice.
        log.warning("a new file may be lost by a power cut", file=str(path), error=str(error))


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
