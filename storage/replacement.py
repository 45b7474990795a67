"""Puts the files of a backup in the place of what a data directory holds, through a crash at any moment.

| step | a crash after it leaves |
| --- | --- |
| the new files are whole in restore-new/ | the old state; the next restore begins anew |
| restore-old/ is made: from here on no start | the old state; a start says that the restore has to be finished |
| the old files are moved into it | the old state in restore-old/ |
| the new files are moved out of restore-new/ | the old state in restore-old/ |
| restore-old/ gets its last name | the new state |

A restore that is run again goes on at any of these. What has once come to restore-old/ stays there untouched.
"""

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from foundation.errors import Unavailable
from storage.disk import Disk

DATABASE, SCHEDULES, KEY = "sendonce.db", "scheduled_campaigns.json", "secret_key"
_LOGS = (f"{DATABASE}-wal", f"{DATABASE}-journal")
_SHARED_MEMORY = f"{DATABASE}-shm"


def refuse_unfinished(folder: Path) -> None:
    """Raise Unavailable where a restore was cut off: the stores may be half the old ones, half the new.

    A start would make what is missing, an empty database or another key, and would open the old log over the new file.
    """
    if _old(folder).exists():
        raise Unavailable(
            f"A restore into {folder} was not finished. Run `restore` again; what was there before is in"
            f" {_old(folder).name}/."
        )


def begin_staging(folder: Path) -> Path:
    """Return an empty folder for the new files, inside the data directory: moving them is a rename then.

    Raises OSError.
    """
    discard_staging(folder)
    new = folder / "restore-new"
    new.mkdir(mode=0o700)
    return new


def discard_staging(folder: Path) -> None:
    """Remove what a restore has staged. Raises OSError."""
    new = folder / "restore-new"
    if new.exists():
        shutil.rmtree(new)


def replace_stores(
    disk: Disk, folder: Path, new: Path, names: Sequence[str], *, now: datetime
) -> Path | None:
    """Move the old stores aside and the new files into their places; return where the old ones are, if there were any.

    names: the files in new, which are durable. The caller keeps every other process out. Raises OSError; to run it
    again finishes it then.
    """
    old = _old(folder)
    # Durable before anything is moved: it is what keeps a start away.
    old.mkdir(mode=0o700, exist_ok=True)
    disk.sync_folder(folder)
    _move_aside(disk, folder, old, names)
    disk.sync_folder(old)
    disk.sync_folder(folder)
    for name in names:
        disk.rename(new / name, folder / name)
    disk.sync_folder(folder)
    new.rmdir()
    return _finish(disk, folder, old, now)


def _move_aside(disk: Disk, folder: Path, old: Path, names: Sequence[str]) -> None:
    # The shared memory is made anew from the log, which says more than it.
    (folder / _SHARED_MEMORY).unlink(missing_ok=True)
    # Logs go before the database, which is lost to them otherwise. The schedules go in any case: none are better beside
    # a database, which mends them, than those of another time. A key that the backup does not replace stays.
    for name in (*_LOGS, DATABASE, SCHEDULES, *(name for name in names if name == KEY)):
        here = folder / name
        if not here.exists():
            continue
        is_aside = (old / name).exists() or (name in _LOGS and (old / DATABASE).exists())
        # What lies here although it is aside was put here by a restore that was cut off, or is the log of such a file,
        # which must come neither to the old database nor to the new one.
        if is_aside:
            here.unlink()
        else:
            disk.rename(here, old / name)


def _finish(disk: Disk, folder: Path, old: Path, now: datetime) -> Path | None:
    if any(old.iterdir()):
        aside = folder / f"before-restore-{now:%Y%m%dT%H%M%S.%fZ}"
        disk.rename(old, aside)
    else:
        aside = None
        old.rmdir()
    disk.sync_folder(folder)
    return aside


def _old(folder: Path) -> Path:
    return folder / "restore-old"
