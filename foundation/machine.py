"""What this machine says about itself, as far as sending on time rests on it."""

import ctypes
import shutil
import sys
from enum import StrEnum
from pathlib import Path

_MEGABYTE = 1024 * 1024
_DISK_FULL = 100 * _MEGABYTE
_DISK_LOW = 1024 * _MEGABYTE
_NOT_SYNCHRONISED = 5  # adjtimex(2): TIME_ERROR


class Room(StrEnum):
    """How much room a disk has left: on a full one nothing can be claimed or sent."""

    ENOUGH = "enough"
    LOW = "low"
    NONE = "none"


def free_megabytes(folder: Path) -> tuple[float, Room]:
    """Return how many megabytes are free where the folder is, and what to think of that."""
    free = shutil.disk_usage(folder).free
    room = Room.NONE if free < _DISK_FULL else Room.LOW if free < _DISK_LOW else Room.ENOUGH
    return free / _MEGABYTE, room


def clock_is_synchronised() -> bool | None:
    """Say whether the kernel calls its clock synchronised; None where that can't be known."""
    if sys.platform != "linux":
        return None
    # Zeros in struct timex ask and change nothing, so no right is needed.
    try:
        answer: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    return None if answer < 0 else answer != _NOT_SYNCHRONISED
