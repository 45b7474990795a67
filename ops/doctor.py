"""Looks at everything that has to be right on this machine, and says what to do about what is not.

It changes nothing, and a server may run on the data directory meanwhile.
"""

import importlib.metadata
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import click

from accounts import store as account_store
from accounts.model import Account, State
from accounts.probe import is_ok, probe
from assembly.resealing import standing
from foundation.clock import Clock, SystemClock
from foundation.errors import SendonceError, Unavailable
from foundation.machine import Room, clock_is_synchronised, free_megabytes
from foundation.settings import Settings
from identity import audit
from mail.reply import Stage
from mail.sandbox import SandboxServer
from ops.exposure import open_to_others
from ops.findings import Finding, Verdict
from ops.progress import table
from scheduler.copies import read_copies
from scheduler.entries import Damaged, parse
from scheduler.fields import zone_names
from scheduler.file_state import understand
from storage import installation
from storage.aliveness import newest_leader
from storage.database import CHECKPOINT_IS_SAFE, Database
from storage.disk import OsDisk
from storage.filesystem import file_system_of, prepare_folder
from storage.replacement import refuse_unfinished
from storage.sealed import SecretKey, load_secret_key

_ALIVE = timedelta(seconds=10)
_FAR = timedelta(days=30)
_SLACK = timedelta(seconds=2)
_SHOWN_ENTRIES = 10


def examine(settings: Settings) -> int:
    """Print what was found; return the exit status: 1 if anything is wrong, warnings are not."""
    findings = diagnose(settings)
    table(("", "what", "how it is"), [(f.verdict, f.what, f.says) for f in findings])
    wrong = sum(f.verdict is Verdict.WRONG for f in findings)
    warnings = sum(f.verdict is Verdict.WARNING for f in findings)
    click.echo(f"{wrong} wrong, {warnings} to look at, {len(findings) - wrong - warnings} well.")
    return 1 if wrong else 0


def diagnose(settings: Settings, clock: Clock | None = None) -> list[Finding]:
    """Look at everything; the findings in the order of the checks."""
    clock = clock or SystemClock()
    folder = settings.data_dir
    findings = [*_settings(settings), *_zones(), *_clock()]
    try:
        missing = None if folder.is_dir() else _missing(folder)
    except OSError as error:
        missing = Finding(Verdict.WRONG, "data directory", _unusable(folder, error))
    if missing is not None:
        return [*findings, missing]
    findings += [*_folder(folder), *open_to_others(folder, settings.state_dir), *_disk(folder)]
    try:
        refuse_unfinished(folder)
    except Unavailable as error:
        return [*findings, Finding(Verdict.WRONG, "restore", error.message)]
    path = folder / "sendonce.db"
    if not path.exists():
        says = "There is none yet: the first start makes it."
        return [*findings, Finding(Verdict.WARNING, "database", says)]
    database = Database(path)
    try:
        for look in _LOOKS:
            findings += _without_a_crash(look, _Place(settings, clock, database))
    finally:
        database.close()
    return findings


@dataclass(frozen=True, slots=True)
class _Place:
    settings: Settings
    clock: Clock
    database: Database


def _without_a_crash(look: Callable[[_Place], Iterator[Finding]], place: _Place) -> list[Finding]:
    """Return what a look found; where the store refuses, that is the finding."""
    what = look.__name__.strip("_").replace("_", " ")
    try:
        return list(look(place))
    except SendonceError as error:
        return [Finding(Verdict.WRONG, what, error.message)]


def _missing(folder: Path) -> Finding:
    """Say whether the first start can make the folder. Raises OSError where it can't."""
    if folder.exists():
        return Finding(Verdict.WRONG, "data directory", f"{folder} is no folder.")
    nearest = next(parent for parent in folder.parents if parent.exists())
    # Rights say too little: a file system may be full, read-only, or no place for folders at all.
    with tempfile.TemporaryDirectory(dir=nearest):
        pass
    says = f"{folder} does not exist; the first start makes it."
    return Finding(Verdict.WARNING, "data directory", says)


def _unusable(folder: Path, error: OSError) -> str:
    return (
        f"{folder} can't be used ({error.strerror}). Choose another with --data-dir, or give this"
        " user the right to it."
    )


def _settings(settings: Settings) -> Iterator[Finding]:
    url = settings.public_url
    if url is None:
        says = (
            "SENDONCE_PUBLIC_URL is not set: unsubscribe links lead to this machine, where no"
            " recipient can open them. Set it before you send to anybody else."
        )
        yield Finding(Verdict.WARNING, "public address", says)
    elif not url.startswith("https://"):
        says = (
            f"{url} is not https: mail programs offer one-click unsubscribe only over https"
            " (RFC 8058). Put a proxy with a certificate in front."
        )
        yield Finding(Verdict.WARNING, "public address", says)
    else:
        yield Finding(Verdict.OK, "public address", url)


def _zones() -> Iterator[Finding]:
    count = len(zone_names())
    version = importlib.metadata.version("tzdata")
    if count < 300:
        says = f"Only {count} zones are known. Install the requirements again: tzdata is missing."
        yield Finding(Verdict.WRONG, "time zones", says)
    else:
        yield Finding(Verdict.OK, "time zones", f"{count} zones; tzdata {version}")


def _clock() -> Iterator[Finding]:
    if clock_is_synchronised() is False:
        says = (
            "The system does not call its clock synchronised. Schedules run by it:"
            " let a time service (systemd-timesyncd, chrony) set it."
        )
        yield Finding(Verdict.WARNING, "clock", says)
    else:
        yield Finding(Verdict.OK, "clock", "nothing speaks against it")


def _folder(folder: Path) -> Iterator[Finding]:
    try:
        prepare_folder(folder)
    except SendonceError as error:
        yield Finding(Verdict.WRONG, "data directory", error.message)
        return
    kind = file_system_of(folder) or "a file system of unknown kind"
    yield Finding(Verdict.OK, "data directory", f"{folder} on {kind}")
    key = folder / "secret_key"
    if key.exists() and key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        says = f"Others can read {key}, which opens every stored password. chmod 600 {key}"
        yield Finding(Verdict.WRONG, "secret key", says)


def _disk(folder: Path) -> Iterator[Finding]:
    free, room = free_megabytes(folder)
    says = f"{free:,.0f} MB free"
    if room is Room.NONE:
        says += ". Nothing can be claimed or sent on a full disk: make room."
        yield Finding(Verdict.WRONG, "free disk", says)
    elif room is Room.LOW:
        yield Finding(Verdict.WARNING, "free disk", f"{says}. Make room soon.")
    else:
        yield Finding(Verdict.OK, "free disk", says)


def _database(place: _Place) -> Iterator[Finding]:
    faults = place.database.faults()
    if faults:
        says = f"It is damaged: {faults[0]} ({len(faults)} faults). Put back a backup."
        yield Finding(Verdict.WRONG, "database", says)
    elif not CHECKPOINT_IS_SAFE:
        says = (
            "sound; with this SQLite (before 3.51.3) only the leading process checkpoints. Nothing"
            " needs to be done."
        )
        yield Finding(Verdict.OK, "database", says)
    else:
        yield Finding(Verdict.OK, "database", "sound")


def _scheduler(place: _Place) -> Iterator[Finding]:
    with place.database.read() as tx:
        leader = newest_leader(tx)
    now = place.clock.now()
    if leader is None:
        yield Finding(Verdict.OK, "scheduler", "no server has run here yet")
        return
    age = now - leader.heartbeat_at
    if age < -_SLACK:
        says = (
            f"The last server was alive at {_moment(leader.heartbeat_at)}, but the clock says"
            f" {_moment(now)}. Set the clock right before you start."
        )
        yield Finding(Verdict.WRONG, "clock", says)
    elif age > _FAR:
        says = f"The last server was alive at {_moment(leader.heartbeat_at)}. Is the clock right?"
        yield Finding(Verdict.WARNING, "clock", says)
    if leader.stopped_cleanly:
        says = f"no server runs; the last one stopped at {_moment(leader.heartbeat_at)}"
        yield Finding(Verdict.OK, "scheduler", says)
    elif age <= _ALIVE:
        yield Finding(Verdict.OK, "scheduler", f"process {leader.pid} leads")
    else:
        says = (
            f"Process {leader.pid} led until {_moment(leader.heartbeat_at)} and did not stop by"
            " itself. If it is gone, start the server: it settles what was left. If it still runs,"
            " it hangs: look at its log."
        )
        yield Finding(Verdict.WARNING, "scheduler", says)


def _doubts(place: _Place) -> Iterator[Finding]:
    with place.database.read() as tx:
        here = installation.read(tx)
    if here.doubted_reason is not None:
        says = f"{here.doubted_reason} Runs and slots are held until you say go on: on /doubt, or POST /api/doubt."
        yield Finding(Verdict.WRONG, "doubt", says)
    if here.clock_step_seconds is not None:
        says = (
            f"It jumped by {here.clock_step_seconds:.0f} seconds, and nothing is claimed. Set it right; or say that it"
            " is, on /clock, or POST /api/clock."
        )
        yield Finding(Verdict.WRONG, "clock", says)
    state_dir = place.settings.state_dir
    nearest = next(p for p in (state_dir, *state_dir.parents) if p.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        says = (
            f"{state_dir} can't be written, so a data directory that was put back from an older copy may go unnoticed."
            " Give this user the right to it, or set SENDONCE_STATE_DIR."
        )
        yield Finding(Verdict.WARNING, "witness", says)
    else:
        yield Finding(Verdict.OK, "witness", f"kept in {state_dir}")


def _schedules(place: _Place) -> Iterator[Finding]:
    path = place.settings.data_dir / "scheduled_campaigns.json"
    try:
        entries = parse(path.read_bytes())
    except FileNotFoundError:
        says = f"There is no {path.name}: a server that runs makes it from the database."
        yield Finding(Verdict.WARNING, "schedules", says)
        return
    except OSError as error:
        yield Finding(Verdict.WRONG, "schedules", f"{path.name} can't be read: {error.strerror}.")
        return
    except Damaged as error:
        says = (
            f"{path.name} is damaged ({error}). A server that runs copies it to quarantine/ and"
            " mends it from the database."
        )
        yield Finding(Verdict.WRONG, "schedules", says)
        return
    with place.database.read() as tx:
        kept = read_copies(tx, known={})
    bad = [w for w in understand(entries, kept, {}, now=place.clock.now()) if w.errors]
    for written in bad[:_SHOWN_ENTRIES]:
        what = "; ".join(f"{e.field}: {e.message}" for e in written.errors)
        says = f"Entry {written.index} of {path.name} is set aside and does not run: {what}"
        yield Finding(Verdict.WRONG, "schedules", says)
    if not bad:
        yield Finding(Verdict.OK, "schedules", f"{len(entries)} in {path.name}")


def _accounts(place: _Place) -> Iterator[Finding]:
    settings = place.settings
    key_file = settings.data_dir / "secret_key"
    if settings.secret_key is None and not key_file.exists():
        says = (
            f"{key_file} is gone, so no stored password can be opened. Put it back from a backup."
        )
        yield Finding(Verdict.WRONG, "secret key", says)
        return
    key = load_secret_key(OsDisk(), key_file, settings.secret_key, old=settings.secret_key_old)
    yield from _key(place, key)
    yield _audit_log(place, key)
    with place.database.read() as tx:
        accounts = account_store.list_(tx, key, after=None, limit=10_000)
    with tempfile.TemporaryDirectory(prefix="sendonce-doctor-") as folder:
        sandbox = SandboxServer(Path(folder), place.clock)
        port = sandbox.start()
        try:
            for account in accounts:
                yield _account(account, port, place.clock.now())
        finally:
            sandbox.stop()


def _key(place: _Place, key: SecretKey) -> Iterator[Finding]:
    """Say what is sealed with which key, where that says anything."""
    with place.database.read() as tx:
        found = standing(tx, key)
    if found.lost:
        says = (
            f"{found.lost} stored passwords or other secrets were sealed with a key that is not set. Set"
            " SENDONCE_SECRET_KEY_OLD to it, and start the server once; or enter the passwords again."
        )
        yield Finding(Verdict.WRONG, "secret key", says)
    if found.old:
        says = (
            f"{found.old} stored passwords or other secrets are still sealed with SENDONCE_SECRET_KEY_OLD. Start the"
            " server once: it seals them with the new key."
        )
        yield Finding(Verdict.WARNING, "secret key", says)
    elif key.has_old:
        says = (
            "Nothing is sealed with SENDONCE_SECRET_KEY_OLD any more. Without it, unsubscribe links in e-mails that"
            " went out under it stop working."
        )
        yield Finding(Verdict.OK, "secret key", says)


def _audit_log(place: _Place, key: SecretKey) -> Finding:
    """Read all of the audit log, and say whether it is as it was written."""
    with place.database.read() as tx:
        fault = audit.first_fault(tx, key)
        count = audit.size(tx)
    if fault is None:
        return Finding(Verdict.OK, "audit log", f"whole, {count} entries")
    says = (
        f"{fault} Somebody wrote into the database past Sendonce, or it is damaged: find out who can write to"
        f" {place.database.path}, and compare with a backup. What was noted before that place is as it was written."
    )
    return Finding(Verdict.WRONG, "audit log", says)


def _account(account: Account, sandbox_port: int, now: datetime) -> Finding:
    what = f"account {account.id}, {account.name}"
    steps = probe(account, sandbox_port=sandbox_port, to=None, now=now)
    if not is_ok(steps):
        last = steps[-1]
        says = f"{account.host}:{account.port} fails at {last.step}: {last.detail}"
        says = f"{says.rstrip('.')}. {_remedy(account, last.step)}"
        return Finding(Verdict.WRONG, what, says)
    if account.state is not State.OK:
        says = f"It can be reached, but is {account.state}: {account.state_reason}."
        says = f"{says} Resume it: POST /api/accounts/{account.id}/resume."
        return Finding(Verdict.WARNING, what, says)
    return Finding(Verdict.OK, what, "; ".join(step.step for step in steps))


def _remedy(account: Account, step: str) -> str:
    """Say what to do about an account that fails at this step."""
    match step:
        case Stage.CONNECT:
            remedy = "Check its host and port, and whether a firewall is between."
        case Stage.BANNER | Stage.EHLO:
            remedy = "Check its port and its security setting: port 465 wants tls, 587 starttls."
        case Stage.STARTTLS | Stage.TLS:
            remedy = "Check its security setting, and that its host is the name in the certificate."
        case Stage.AUTH:
            remedy = "Check its username and password."
        case _:
            remedy = "Ask whoever runs the mail server."
    if account.state is State.OK:
        return remedy
    return f"{remedy} Then POST /api/accounts/{account.id}/resume."


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


_LOOKS = (_database, _scheduler, _doubts, _schedules, _accounts)
