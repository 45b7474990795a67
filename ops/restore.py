"""Puts a backup in the place of what a data directory holds. It sends nothing, and leads to no sending by itself."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click
from filelock import FileLock, Timeout

from foundation.clock import Clock, SystemClock
from foundation.errors import Conflict, Unavailable
from foundation.settings import Settings
from ops import backup_file
from ops.backup_file import Manifest
from scheduler.leadership import Leadership
from storage import migrate, replacement, snapshot
from storage.database import sole_use
from storage.disk import OsDisk
from storage.filesystem import prepare_folder
from storage.replacement import DATABASE, KEY


def restore(settings: Settings, archive: Path, *, clock: Clock | None = None) -> None:
    """Restore the backup into the data directory, and say what comes next.

    Nothing is touched before the whole archive was found good and nobody uses the directory; what it holds is moved
    aside. Raises a SendonceError.
    """
    folder = settings.data_dir
    manifest = backup_file.unpack(archive)
    if not migrate.knows(manifest.revision):
        raise Unavailable(
            f"{archive} was made by another version of Sendonce ({manifest.version}). Install that version or a newer"
            " one, and restore with it."
        )
    prepare_folder(folder)
    try:
        with _nobody_else(folder):
            new = replacement.begin_staging(folder)
            try:
                manifest = _stage(archive, new)
            except BaseException:
                replacement.discard_staging(folder)
                raise
            if not (folder / DATABASE).exists():
                folder.chmod(0o700)
            aside = replacement.replace_stores(
                OsDisk(), folder, new, manifest.names(), now=(clock or SystemClock()).now()
            )
    except OSError as error:
        raise Unavailable(
            f"{folder} can't be restored ({error.strerror or error}). Check its rights and free space, then run"
            " `restore` again."
        ) from None
    _report(settings, archive, manifest, aside)


def _stage(archive: Path, new: Path) -> Manifest:
    """Unpack the archive into the folder and examine its database."""
    manifest = backup_file.unpack(archive, into=new)
    try:
        found = snapshot.examine(new / DATABASE)
    except Unavailable as error:
        raise Unavailable(f"{archive} can't be restored. {error.message}") from None
    if (found.revision, found.installation) != (manifest.revision, manifest.installation):
        raise Unavailable(f"{archive} can't be restored: its database is not its manifest's.")
    OsDisk().sync(new / DATABASE)
    OsDisk().sync_folder(new)
    return manifest


@contextlib.contextmanager
def _nobody_else(folder: Path) -> Iterator[None]:
    """Keep the directory to this process in the block. Raises Conflict when another one uses it."""
    with contextlib.ExitStack() as held:
        # Against one that starts; one that leads; and one that only has the database open, as all that stand by do.
        starting = FileLock(folder / "start.lock", mode=0o600, fallback_to_soft=False)
        try:
            starting.acquire(blocking=False)
        except Timeout:
            raise _used(folder, "just starts on it") from None
        held.callback(starting.release)
        leadership = Leadership(folder / "scheduler.lock")
        if not leadership.lead():
            raise _used(folder, "leads on it")
        held.callback(leadership.resign)
        if not held.enter_context(sole_use(folder / DATABASE)):
            raise _used(folder, "has its database open")
        yield


def _used(folder: Path, does: str) -> Conflict:
    return Conflict(
        f"{folder} is in use: a process {does}. Stop every server and command on it, then restore."
    )


def _report(settings: Settings, archive: Path, manifest: Manifest, aside: Path | None) -> None:
    made = f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"{settings.data_dir} is now as it was at {made}, when {archive} was made.")
    if aside is not None:
        click.echo(f"What it held before is in {aside}.")
    click.echo(
        "Nothing is sent yet. The next start holds unfinished runs and due slots, since they may have been sent after"
        " the backup; look at them, then say go on: in the banner of every page, or POST /api/doubt."
    )
    click.echo(
        "Unsubscribes and bounces since then are lost: add those that you know of to the suppressions first."
    )
    if not manifest.has(KEY):
        click.echo(
            "The backup holds no key: set SENDONCE_SECRET_KEY to what it was then, or stored passwords can't be read."
        )
    elif settings.secret_key is not None:
        click.echo(
            f"The backup holds a key, now in {KEY}, but SENDONCE_SECRET_KEY is set and wins over it: unset it if"
            " passwords can't be read."
        )
