"""How unfinished runs stand, as the dispatcher asks it many times a second: without their content. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from sqlalchemy import Integer, bindparam, case, false, select

from delivery.leases import may_go_through
from delivery.ledger import still_waits
from delivery.model import RunStatus
from delivery.tables import deliveries, is_queued, runs
from storage.database import Tx


class Step(Enum):
    """What brings a run further, beside sending."""

    MATERIALISE = auto()
    START = auto()
    SKIP_UNSENT = auto()
    FINISH = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """A run that has not ended. waits: for the run before it; refused: refusals in a row have paused it."""

    id: int
    status: RunStatus
    materialised: bool
    queued: int
    sending: int
    waits: bool
    refused: bool

    @property
    def may_send(self) -> bool:
        return self.status == RunStatus.RUNNING and self.materialised and self.queued > 0

    @property
    def next_step(self) -> Step | None:
        if not self.materialised:
            return Step.MATERIALISE
        if self.status == RunStatus.CLAIMED:
            return None if self.waits else Step.START
        if self.status == RunStatus.CANCELLED and self.queued:
            return Step.SKIP_UNSENT
        kept_open = self.status == RunStatus.PAUSED and self.refused
        return None if self.queued or self.sending or kept_open else Step.FINISH


# Made once, as the one below: they are asked many times a second, and making one takes longer than its answer.
_UNFINISHED = select(
    runs.c.id,
    runs.c.status,
    runs.c.materialised,
    runs.c.queued,
    runs.c.sending,
    case((runs.c.status == RunStatus.CLAIMED, still_waits()), else_=false()).label("waits"),
    runs.c.refused_ids.is_not(None).label("refused"),
).where(runs.c.finished_at.is_(None))

_DUE = (
    select(deliveries.c.id)
    .where(
        deliveries.c.run_id == bindparam("the_run"),
        is_queued,
        deliveries.c.next_attempt_at <= bindparam("now"),
        may_go_through(bindparam("the_account", type_=Integer)),
    )
    .limit(1)
)


def unfinished(tx: Tx) -> list[Progress]:
    """Return how all unfinished runs stand, oldest first."""
    found = [
        Progress(
            id=r.id,
            status=RunStatus(r.status),
            materialised=r.materialised,
            queued=r.queued,
            sending=r.sending,
            waits=bool(r.waits),
            refused=bool(r.refused),
        )
        for r in tx.execute(_UNFINISHED)
    ]
    # Sorted here: the database would rather walk through all runs there ever were than sort the few.
    return sorted(found, key=lambda p: p.id)


def has_due(tx: Tx, run_id: int, account_id: int, now: datetime) -> bool:
    """Return whether anything of a run may go through this account now."""
    found = tx.execute(_DUE, {"the_run": run_id, "the_account": account_id, "now": now}).first()
    return found is not None
