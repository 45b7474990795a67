"""Makes a backup of a data directory while a server runs on it: both stores and the key, in one file."""

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from foundation.clock import Clock, SystemClock
from foundation.errors import Conflict, Unavailable
from foundation.settings import Settings
from foundation.version import VERSION
from ops import backup_file
from ops.backup_file import Manifest, describe
from ops.progress import Show, progress
from storage import snapshot
from storage.database import Database
from storage.disk import Disk, OsDisk
from storage.replacement import DATABASE, KEY, SCHEDULES, refuse_unfinished

_COPIED, _EXAMINED, _PACKED = 0.5, 0.6, 0.9
"""How far the work is when each part of it is done; reading the archive again is the last."""


def backup(settings: Settings, target: Path, *, clock: Clock | None = None) -> None:
    """Write the backup to a file that is not there yet, and say what is in it.

    The file is whole or not there. Raises a SendonceError when it can't be made.
    """
    source = settings.data_dir
    refuse_unfinished(source)
    if not (source / DATABASE).exists():
        raise Unavailable(f"There is no Sendonce in {source}. Check --data-dir.")
    _refuse_to_overwrite(target)
    try:
        # Beside the target: what has room for the backup has room for it, and a rename puts it in place.
        with (
            _tidy_at_sigterm(),
            tempfile.TemporaryDirectory(
                dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"
            ) as folder,
            progress("Backing up") as show,
        ):
            made = _make(source, Path(folder), show, clock or SystemClock())
            _refuse_to_overwrite(target)
            _put_in_place(OsDisk(), Path(folder) / "archive", target)
    except OSError as error:
        raise Unavailable(
            f"{target} can't be written ({error.strerror or error}). Check the folder and its free space."
        ) from None
    _report(settings, target, made)


@contextmanager
def _tidy_at_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does: what is half made must not be left lying, the key is in it."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make(source: Path, folder: Path, show: Show, clock: Clock) -> Manifest:
    """Copy everything into the folder, and make the archive there, as `archive`."""
    show(0, note="")
    database = Database(source / DATABASE)
    try:
        # The database before the file. An edit goes to the file first, then to its copy in the database, so this is
        # at most ahead, and the next start takes that over as it does after a crash. Read the other way round it would
        # be behind: a schedule made between the two would look as if somebody had taken it out, and be cancelled; one
        # that was deleted would come back as a new one.
        copied = snapshot.take(
            database,
            folder / DATABASE,
            now=clock.now(),
            on_progress=lambda share: show(share * _COPIED, note=""),
        )
    finally:
        database.close()
    names = [DATABASE, *(n for n in (SCHEDULES, KEY) if _copy_if_there(source / n, folder / n))]
    manifest = Manifest(
        version=VERSION,
        revision=copied.revision,
        installation=copied.installation,
        made_at=copied.made_at,
        members=tuple(describe(folder / name) for name in names),
    )
    show(_EXAMINED, note="")
    backup_file.pack(
        folder / "archive",
        folder,
        manifest,
        on_progress=lambda share: show(_EXAMINED + share * (_PACKED - _EXAMINED), note=""),
    )
    # As a restore will read it: a backup that can't be read is worse than none.
    backup_file.unpack(folder / "archive")
    show(1, note="")
    return manifest


def _copy_if_there(source: Path, target: Path) -> bool:
    """Copy a file of which every state is whole, since it is only ever replaced; return whether there is one."""
    try:
        data = source.read_bytes()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Unavailable(
            f"{source} can't be read ({error.strerror}). Give this user the right to read it."
        ) from None
    target.write_bytes(data)
    return True


def _put_in_place(disk: Disk, archive: Path, target: Path) -> None:
    disk.rename(archive, target)
    disk.sync_folder(target.parent)


def _refuse_to_overwrite(target: Path) -> None:
    if os.path.lexists(target):
        raise Conflict(f"There is something at {target} already. Give the backup another name.")


def _report(settings: Settings, target: Path, made: Manifest) -> None:
    size = target.stat().st_size
    click.echo(
        f"{target} ({size:,} bytes) is a backup of {settings.data_dir} as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC:"
    )
    for member in made.members:
        click.echo(f"  {member.name}, {member.size_bytes:,} bytes")
    if not made.has(SCHEDULES):
        click.echo(f"There is no {SCHEDULES} to back up: a start makes it from the database.")
    if made.has(KEY):
        click.echo("The key is in it: who has the file can read every stored password.")
    else:
        click.echo(
            "The key is not in it: what is in SENDONCE_SECRET_KEY now is needed with it, for the stored passwords."
        )
    if made.has(KEY) and settings.secret_key is not None:
        click.echo("SENDONCE_SECRET_KEY, which is set here and wins over that key, is not in it.")
    click.echo(
        "A restore of it sends nothing by itself: what is unfinished is held until a person says go on."
    )
