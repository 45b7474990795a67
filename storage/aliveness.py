"""Which process leads, on which boot of which machine, and when it was last seen.

A leader raises the epoch before it does anything else. Every claim, lease, fence and outcome names the epoch; what
an older one left behind is judged by the boot it was written on.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Boolean, Column, Float, Integer, String, Table, func, insert, select, update

from storage import sequence
from storage.database import Tx
from storage.metadata import Instant, metadata

LEASES = "leases"
"""The sequence that numbers leases."""

_MINUTES = "minutes"
_HEARTBEATS = "heartbeats"

epochs = Table(
    "epochs",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=True),
    Column("boot_id", String(64)),
    Column("machine_id", String(64)),
    Column("pid", Integer, nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("last_tick", Instant),
    Column("heartbeat_at", Instant, nullable=False),
    # Seconds since the boot, sleep counted, at that heartbeat: what the next start measures the clock with.
    Column("heartbeat_elapsed", Float),
    Column("stopped_cleanly", Boolean, nullable=False),
    sqlite_autoincrement=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """The leader of an epoch, as the database knows it."""

    epoch: int
    boot_id: str | None
    machine_id: str | None
    pid: int
    started_at: datetime
    last_tick: datetime | None
    heartbeat_at: datetime
    heartbeat_elapsed: timedelta | None
    stopped_cleanly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What only ever grows in a ledger that was not rolled back.

    Starts, leases and minutes (of leading) are fsynced, heartbeats are not.
    """

    starts: int
    leases: int
    minutes: int
    heartbeats: int


def counts(tx: Tx) -> Counts:
    """Return how far the ledger has come."""
    return Counts(
        starts=current_epoch(tx),
        leases=sequence.last_id(tx, LEASES) or 0,
        minutes=sequence.last_id(tx, _MINUTES) or 0,
        heartbeats=sequence.last_id(tx, _HEARTBEATS) or 0,
    )


def go_beyond(tx: Tx, known: Counts) -> None:
    """See to it that no lease or heartbeat gets a number that a ledger knew which was rolled back since."""
    sequence.reserve(tx, LEASES, at_least=known.leases)
    sequence.reserve(tx, _MINUTES, at_least=known.minutes)
    sequence.reserve(tx, _HEARTBEATS, at_least=known.heartbeats)


def raise_epoch(
    tx: Tx,
    *,
    boot_id: str | None,
    machine_id: str | None,
    pid: int,
    now: datetime,
    elapsed: timedelta | None = None,
    beyond: int = 0,
) -> int:
    """Begin a new leadership and return its epoch, a number above all that were, and above beyond."""
    epoch: int = tx.execute(
        insert(epochs)
        .values(
            epoch=max(current_epoch(tx), beyond) + 1,
            boot_id=boot_id,
            machine_id=machine_id,
            pid=pid,
            started_at=now,
            heartbeat_at=now,
            heartbeat_elapsed=None if elapsed is None else elapsed.total_seconds(),
            stopped_cleanly=False,
        )
        .returning(epochs.c.epoch)
    ).scalar_one()
    return epoch


def current_epoch(tx: Tx) -> int:
    """Return the epoch of the newest leader; 0 before the first."""
    epoch: int = tx.execute(select(func.coalesce(func.max(epochs.c.epoch), 0))).scalar_one()
    return epoch


def newest_leader(tx: Tx) -> Leader | None:
    """Return who leads, or led last."""
    row = tx.execute(select(epochs).order_by(epochs.c.epoch.desc()).limit(1)).one_or_none()
    if row is None:
        return None
    return Leader(
        epoch=row.epoch,
        boot_id=row.boot_id,
        machine_id=row.machine_id,
        pid=row.pid,
        started_at=row.started_at,
        last_tick=row.last_tick,
        heartbeat_at=row.heartbeat_at,
        heartbeat_elapsed=None
        if row.heartbeat_elapsed is None
        else timedelta(seconds=row.heartbeat_elapsed),
        stopped_cleanly=row.stopped_cleanly,
    )


def epochs_of_boot(tx: Tx, boot_id: str | None, *, before: int) -> list[int]:
    """Return the epochs before this one that ran on this boot; none when the boot can't be known."""
    if boot_id is None:
        return []
    query = select(epochs.c.epoch).where(epochs.c.boot_id == boot_id, epochs.c.epoch < before)
    return list(tx.execute(query).scalars())


def beat(tx: Tx, epoch: int, *, now: datetime, elapsed: timedelta) -> None:
    """Say that the leader of this epoch is alive; elapsed is the clock's time since the boot."""
    sequence.next_id(tx, _HEARTBEATS)
    tx.execute(
        update(epochs)
        .where(epochs.c.epoch == epoch)
        .values(heartbeat_at=now, heartbeat_elapsed=elapsed.total_seconds())
    )


def count_minute(tx: Tx) -> None:
    """Count a minute of leading, in a durable transaction: a ledger that has lost one was rolled back."""
    sequence.next_id(tx, _MINUTES)


def note_tick(tx: Tx, epoch: int, now: datetime) -> None:
    """Say when the leader of this epoch has looked for due slots last."""
    tx.execute(update(epochs).where(epochs.c.epoch == epoch).values(last_tick=now))


def mark_clean_stop(tx: Tx, epoch: int, *, now: datetime, elapsed: timedelta) -> None:
    """Say that nothing of this epoch is under way any more: its last sign of life."""
    beat(tx, epoch, now=now, elapsed=elapsed)
    tx.execute(update(epochs).where(epochs.c.epoch == epoch).values(stopped_cleanly=True))


def process_lives(pid: int) -> bool:
    """Say whether there is a process of this number, this machine's or this container's."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def boot_id() -> str | None:
    """Return what is the same for all processes until the machine starts anew; None where that can't be known."""
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "kern.bootsessionuuid")
    return _first_line(Path("/proc/sys/kernel/random/boot_id"))


def machine_id() -> str | None:
    """Return what names this machine; None where that can't be known."""
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "kern.uuid")
    return _first_line(Path("/etc/machine-id"))


def _first_line(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except OSError:
        return None


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603 - fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
