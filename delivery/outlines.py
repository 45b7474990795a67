"""Runs and held slots as lists and live pages show them: without the content that a run has frozen. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, null, or_, select

from delivery.model import COUNTERS, Counts, Decision, Origin, RunStatus
from delivery.tables import runs, slots
from foundation.errors import NotFound
from storage.database import Tx
from storage.many import is_one_of

_NAMES = (
    "id",
    "schedule_id",
    "campaign_id",
    "slot",
    "zone",
    "origin",
    "made_from",
    "status",
    "reason",
    "waits_for",
    "materialised",
    "claimed_at",
    "started_at",
    "finished_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutline:
    """A run, in short.

    made_from: the run whose missing recipients this one is for. waits_for: the run that has to be through first, while
    this one waits. was_refused: refusals in a row paused it.
    """

    id: int
    schedule_id: int
    campaign_id: int
    slot: datetime
    zone: str
    origin: Origin
    made_from: int | None
    status: RunStatus
    reason: str | None
    waits_for: int | None
    materialised: bool
    was_refused: bool
    claimed_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSlots:
    """Slots of a schedule that wait for a person: how many, and the newest of them."""

    slots: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A run that is running, as an estimate needs it: what it has settled since when, and through which accounts."""

    id: int
    zone: str
    account_ids: tuple[int, ...]
    started_at: datetime | None
    queued: int
    settled: int


def underway(tx: Tx) -> list[Underway]:
    """Return all runs that are running."""
    query = select(
        runs.c.id,
        runs.c.zone,
        runs.c.content["account_ids"].label("account_ids"),
        runs.c.started_at,
        runs.c.queued,
        (runs.c.sent + runs.c.failed + runs.c.in_doubt).label("settled"),
    ).where(runs.c.status == RunStatus.RUNNING, runs.c.finished_at.is_(None))
    return [
        Underway(**(row._asdict() | {"account_ids": tuple(row.account_ids or ())}))
        for row in tx.execute(query)
    ]


_LAST_RUNS = 20


def last_paces(tx: Tx) -> dict[int, float]:
    """Return how many messages a second accounts have settled in the last runs that ended: each in its largest."""
    settled = runs.c.sent + runs.c.failed + runs.c.in_doubt
    query = (
        select(
            runs.c.content["account_ids"].label("account_ids"),
            runs.c.started_at,
            runs.c.finished_at,
            settled.label("settled"),
        )
        .where(runs.c.finished_at > runs.c.started_at, settled > 0)
        .order_by(runs.c.id.desc())
        .limit(_LAST_RUNS)
    )
    found: dict[int, float] = {}
    for row in sorted(tx.execute(query), key=lambda row: row.settled):
        seconds = (row.finished_at - row.started_at).total_seconds()
        account_ids = row.account_ids or ()
        found |= dict.fromkeys(account_ids, row.settled / seconds / max(1, len(account_ids)))
    return found


def outline(tx: Tx, run_id: int) -> RunOutline:
    """Return a run, in short. Raises NotFound."""
    row = tx.execute(_select().where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return _outline(row)


def list_outlines(
    tx: Tx,
    *,
    schedule_id: int | None,
    status: RunStatus | None,
    before: int | None,
    limit: int,
) -> list[RunOutline]:
    """Return runs, newest first; before: only those with a smaller id."""
    query = _select()
    if schedule_id is not None:
        query = query.where(runs.c.schedule_id == schedule_id)
    if status is not None:
        query = query.where(runs.c.status == status)
    if before is not None:
        query = query.where(runs.c.id < before)
    return [_outline(r) for r in tx.execute(query.order_by(runs.c.id.desc()).limit(limit))]


def by_id(tx: Tx, run_ids: Collection[int]) -> dict[int, RunOutline]:
    """Return these runs."""
    rows = tx.execute(_select().where(runs.c.id.in_(run_ids)))
    return {row.id: _outline(row) for row in rows}


def made_for_missing_of(tx: Tx, run_id: int) -> list[int]:
    """Return the runs that were made for those whom this run has not reached, oldest first."""
    first = select(func.coalesce(runs.c.family, runs.c.id)).where(runs.c.id == run_id)
    query = select(runs.c.id).where(
        runs.c.family == first.scalar_subquery(), runs.c.made_from == run_id
    )
    return list(tx.execute(query.order_by(runs.c.id)).scalars())


def newest_of(tx: Tx, schedule_ids: Collection[int]) -> dict[int, RunOutline]:
    """Return the newest run of each of these schedules; one without runs is left out."""
    newest = (
        select(func.max(runs.c.id))
        .where(runs.c.schedule_id.in_(schedule_ids))
        .group_by(runs.c.schedule_id)
    )
    rows = tx.execute(_select().where(runs.c.id.in_(newest)))
    return {row.schedule_id: _outline(row) for row in rows}


def on_their_way(tx: Tx, *, or_ended_since: datetime) -> list[RunOutline]:
    """Return the runs that have not ended, and those that have since then, oldest first."""
    unfinished = select(runs.c.id).where(runs.c.finished_at.is_(None))
    newest = select(runs.c.id).order_by(runs.c.id.desc()).limit(50)
    query = _select().where(
        or_(
            runs.c.id.in_(unfinished),
            runs.c.id.in_(newest) & (runs.c.finished_at >= or_ended_since),
        )
    )
    return [_outline(row) for row in tx.execute(query.order_by(runs.c.id))]


def of_campaigns(tx: Tx, campaign_ids: Collection[int], *, limit: int) -> list[RunOutline]:
    """Return the newest runs of these campaigns."""
    query = _select().where(is_one_of(runs.c.campaign_id, campaign_ids))
    return [_outline(row) for row in tx.execute(query.order_by(runs.c.id.desc()).limit(limit))]


def any_sent(tx: Tx) -> bool:
    """Say whether a run has ever sent anything."""
    return tx.execute(select(runs.c.id).where(runs.c.sent > 0).limit(1)).first() is not None


def any_but_of(tx: Tx, campaign_ids: Collection[int]) -> bool:
    """Say whether there is a run of any other campaign than these."""
    query = select(runs.c.id).where(runs.c.campaign_id.not_in(campaign_ids))
    return tx.execute(query.limit(1)).first() is not None


def percent_under_way(tx: Tx) -> int | None:
    """Return how much of all that is being sent just now is settled, in whole percent; None where nothing is."""
    recipients = func.sum(runs.c.recipients)
    left = func.sum(runs.c.queued + runs.c.sending)
    query = select(recipients.label("recipients"), left.label("left")).where(
        runs.c.status == RunStatus.RUNNING, runs.c.finished_at.is_(None)
    )
    row = tx.execute(query).one()
    return 100 * (row.recipients - row.left) // row.recipients if row.recipients else None


def held_slots(tx: Tx, schedule_ids: Collection[int]) -> dict[int, HeldSlots]:
    """Return what of these schedules waits for a person."""
    query = (
        select(
            slots.c.schedule_id,
            func.sum(slots.c.slots).label("slots"),
            func.min(slots.c.at).label("oldest"),
            func.max(func.coalesce(slots.c.until, slots.c.at)).label("newest"),
        )
        .where(slots.c.decision == Decision.HELD, slots.c.schedule_id.in_(schedule_ids))
        .group_by(slots.c.schedule_id)
    )
    return {
        r.schedule_id: HeldSlots(slots=r.slots, oldest=r.oldest, newest=r.newest)
        for r in tx.execute(query)
    }


def _select() -> Select[Any]:
    was_refused = runs.c.refused_ids.is_not(null()).label("was_refused")
    return select(*(runs.c[name] for name in (*_NAMES, *COUNTERS)), was_refused)


def _outline(r: Row[Any]) -> RunOutline:
    given = {name: getattr(r, name) for name in _NAMES}
    given |= {"origin": Origin(r.origin), "status": RunStatus(r.status)}
    return RunOutline(
        **given,
        was_refused=bool(r.was_refused),
        counts=Counts(**{name: getattr(r, name) for name in COUNTERS}),
    )
