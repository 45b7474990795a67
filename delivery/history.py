"""What one person was sent, and was not: their delivery in every run. Reads only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Subquery, exists, func, select

from delivery import decisions as made
from delivery.decisions import MadeDecision
from delivery.model import DeliveryStatus
from delivery.tables import deliveries, run_audiences, runs
from storage.database import Tx

_OF_RUN = ("campaign_id", "slot", "zone")
_OF_DELIVERY = (
    "run_id",
    "email",
    "reason",
    "attempts",
    "account_id",
    "smtp_code",
    "smtp_reply",
    "message_id",
    "updated_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonsDelivery:
    """A person's email in one run, with the slot that the run is for, and what was decided about this one email."""

    run_id: int
    campaign_id: int
    slot: datetime
    zone: str
    email: str
    status: DeliveryStatus
    reason: str | None
    attempts: int
    next_attempt_at: datetime | None
    account_id: int | None
    smtp_code: int | None
    smtp_reply: str | None
    message_id: str | None
    updated_at: datetime
    decisions: Sequence[MadeDecision]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunWithout:
    """A run over audiences that the person is in, which has no row for them.

    recipient_ceiling: who came later has a higher id. audience_ids: those of them that were asked for.
    """

    run_id: int
    campaign_id: int
    slot: datetime
    zone: str
    materialised: bool
    recipient_ceiling: int
    reason: str | None
    audience_ids: Sequence[int]


def runs_without(
    tx: Tx, address_key: str, audience_ids: Collection[int], *, before: int | None, limit: int
) -> list[RunWithout]:
    """Return the runs over these audiences that a person has no row in, newest first; before: with a smaller id."""
    over_them = run_audiences.c.audience_id.in_(audience_ids)
    theirs = exists().where(
        deliveries.c.run_id == runs.c.id, deliveries.c.address_key == address_key
    )
    names = ("campaign_id", "slot", "zone", "materialised", "recipient_ceiling", "reason")
    query = (
        select(runs.c.id.label("run_id"), *(runs.c[name] for name in names))
        .where(exists().where(run_audiences.c.run_id == runs.c.id, over_them), ~theirs)
        .order_by(runs.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(runs.c.id < before)
    rows = tx.execute(query).all()
    over: dict[int, list[int]] = {row.run_id: [] for row in rows}
    listed = select(run_audiences).where(run_audiences.c.run_id.in_(over), over_them)
    for run_id, audience_id in tx.execute(listed):
        over[run_id].append(audience_id)
    return [RunWithout(**row._asdict(), audience_ids=over[row.run_id]) for row in rows]


def of_person(tx: Tx, address_key: str, *, before: int | None, limit: int) -> list[PersonsDelivery]:
    """Return a person's deliveries, newest run first; before: only those of runs with a smaller id."""
    walk = _walk(address_key)
    columns: list[ColumnElement[Any]] = [
        walk.c.delivery_id,
        *(walk.c[name] for name in _OF_RUN),
        *(deliveries.c[name] for name in (*_OF_DELIVERY, "status", "next_attempt_at")),
    ]
    query = (
        select(*columns)
        .select_from(walk)
        .join(deliveries, deliveries.c.id == walk.c.delivery_id)
        .order_by(walk.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(walk.c.id < before)
    rows = tx.execute(query).all()
    if not rows:
        return []
    decided = made.of_deliveries(tx, [r.run_id for r in rows], [r.delivery_id for r in rows])
    return [_of_person(row, decided.get(row.delivery_id, ())) for row in rows]


def totals_of_person(tx: Tx, address_key: str) -> dict[DeliveryStatus, int]:
    """Return how many of a person's deliveries stand how."""
    walk = _walk(address_key)
    query = (
        select(deliveries.c.status, func.count().label("deliveries"))
        .select_from(walk)
        .join(deliveries, deliveries.c.id == walk.c.delivery_id)
        .group_by(deliveries.c.status)
    )
    totals: dict[DeliveryStatus, int] = {}
    for status, count in tx.execute(query):
        told = _told(DeliveryStatus(status))
        totals[told] = totals.get(told, 0) + count
    return totals


def ids_of_person(tx: Tx, address_key: str) -> list[int]:
    """Return the ids of all deliveries to a person."""
    walk = _walk(address_key)
    query = select(walk.c.delivery_id).where(walk.c.delivery_id.is_not(None))
    return list(tx.scalars(query.order_by(walk.c.id)))


def _walk(address_key: str) -> Subquery:
    """Go through the runs and look into each with the unique key (run_id, address_key).

    Runs are few. An index of deliveries by address alone would make every row dearer that is materialised.
    """
    theirs = select(deliveries.c.id).where(
        deliveries.c.run_id == runs.c.id, deliveries.c.address_key == address_key
    )
    columns = [runs.c.id, *(runs.c[name] for name in _OF_RUN)]
    return select(*columns, theirs.scalar_subquery().label("delivery_id")).subquery()


def _of_person(row: Row[Any], decided: Sequence[MadeDecision]) -> PersonsDelivery:
    status = DeliveryStatus(row.status)
    waits = status is DeliveryStatus.QUEUED and row.attempts > 0
    given = {name: getattr(row, name) for name in (*_OF_RUN, *_OF_DELIVERY)}
    return PersonsDelivery(
        **given,
        status=_told(status),
        next_attempt_at=row.next_attempt_at if waits else None,
        decisions=decided,
    )


def _told(status: DeliveryStatus) -> DeliveryStatus:
    """Return the state as it is told outside: leased counts as queued."""
    return DeliveryStatus.QUEUED if status is DeliveryStatus.LEASED else status
