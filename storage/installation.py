"""What there is once for each data directory: its name, whether it is doubted, and how its clock stands."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    Integer,
    String,
    Table,
    Text,
    select,
    update,
)

from foundation.errors import Conflict
from storage.database import Tx, insert_into
from storage.metadata import Instant, metadata

installation = Table(
    "installation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Names the witness outside the directory: the same in every copy of it.
    Column("name", String(32), nullable=False),
    Column("made_at", Instant, nullable=False),
    # Set in the copy that `backup` makes, never in the original.
    Column("backed_up_at", Instant),
    # Why this directory may not be the one that goes on, until a person says that it is.
    Column("doubted_reason", Text),
    Column("doubted_at", Instant),
    # Only nobody knows what happened lately: schedules that say catch_up: send go on all the same.
    Column("doubt_spares_send", Boolean, nullable=False),
    # While the leader's clock is not believed: how far it jumped.
    Column("clock_step_seconds", Float),
    # How often a person has said that it is right.
    Column("clock_accepts", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The one row.

    doubted_reason: runs and slots are held (not those of schedules with catch_up: send where doubt_spares_send says
    so); clock_step_seconds: nothing is claimed.
    """

    name: str
    backed_up_at: datetime | None
    doubted_reason: str | None
    doubted_at: datetime | None
    doubt_spares_send: bool
    clock_step_seconds: float | None
    clock_accepts: int


def ensure(tx: Tx, now: datetime) -> None:
    """Give the data directory its name, once."""
    tx.execute(
        insert_into(tx, installation)
        .values(id=1, name=uuid.uuid4().hex, made_at=now, doubt_spares_send=False, clock_accepts=0)
        .on_conflict_do_nothing()
    )


def read(tx: Tx) -> Installation:
    """Return the row."""
    row = tx.execute(select(installation)).one()
    return Installation(
        name=row.name,
        backed_up_at=row.backed_up_at,
        doubted_reason=row.doubted_reason,
        doubted_at=row.doubted_at,
        doubt_spares_send=row.doubt_spares_send,
        clock_step_seconds=row.clock_step_seconds,
        clock_accepts=row.clock_accepts,
    )


def mark_backup(tx: Tx, now: datetime) -> None:
    """Mark this database as the copy that a backup holds."""
    _set(tx, backed_up_at=now)


def doubt(tx: Tx, reason: str, *, spares_send: bool, now: datetime) -> None:
    """Hold this directory for a person, for this reason; the mark of a backup has done its work then."""
    here = read(tx)
    if here.doubted_reason is not None and not here.doubt_spares_send and spares_send:
        return  # what is known already is worse, and nobody has said go on
    _set(
        tx,
        doubted_reason=reason,
        doubted_at=now,
        doubt_spares_send=spares_send,
        backed_up_at=None,
    )


def trust(tx: Tx) -> None:
    """Say that this directory is the one that goes on. Raises Conflict when it was not in doubt."""
    doubted = installation.c.doubted_reason.is_not(None)
    done = tx.execute(
        update(installation).where(doubted).values(doubted_reason=None, doubted_at=None)
    )
    if not done.rowcount:
        raise Conflict("This data directory is not in doubt: there is nothing to accept.")


def note_clock(tx: Tx, step_seconds: float | None) -> None:
    """Say how far the leader's clock has jumped while it is not believed; None: it is."""
    _set(tx, clock_step_seconds=step_seconds)


def accept_clock(tx: Tx) -> None:
    """Say that the clock is right as it is. Raises Conflict when it is believed already."""
    blocked = installation.c.clock_step_seconds.is_not(None)
    done = tx.execute(
        update(installation)
        .where(blocked)
        .values(clock_accepts=installation.c.clock_accepts + 1, clock_step_seconds=None)
    )
    if not done.rowcount:
        raise Conflict("The clock is not in doubt: there is nothing to accept.")


def _set(tx: Tx, **values: Any) -> None:
    tx.execute(update(installation).values(**values))
