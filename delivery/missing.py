"""One more run for those whom a run has not reached: the failed and the cancelled, and nobody who may have it already.

Runs that were made from one another are a family, named by its first run. What one of them has sent, or may have
sent, none of the others sends.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    case,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from accounts import store as account_store
from audience.tables import recipients, suppressions
from campaigns import files
from delivery import control, decisions, reads, slots
from delivery.decisions import Action
from delivery.model import COUNTERS, DeliveryStatus, Origin, Run, RunStatus
from delivery.tables import NEW_DELIVERY, deliveries, runs
from foundation.errors import Conflict, NotFound
from storage.database import Tx

_MAY_HAVE_IT = (
    DeliveryStatus.SENT,
    DeliveryStatus.IN_DOUBT,
    DeliveryStatus.QUEUED,
    DeliveryStatus.LEASED,
    DeliveryStatus.SENDING,
)
_AS_BEFORE = (
    "schedule_id",
    "campaign_id",
    "zone",
    "content",
    "content_sha256",
    "recipient_ceiling",
)


def count_missing(tx: Tx, run_id: int) -> int:
    """Return how many a new run would be sent to: who was suppressed or removed meanwhile is not counted.

    Raises NotFound.
    """
    return _count(tx, run_id, reads.family(tx, _source(tx, run_id).id))


def send_missing(
    tx: Tx, run_id: int, *, by: str, epoch: int, now: datetime, request_key: str | None = None
) -> Run:
    """Make a run of the same content for those whom this run has not reached, and return it.

    Its deliveries are made at once. epoch: the current one. request_key: for 24 hours a second call with the same one
    returns the first one's run. Raises NotFound, and Conflict (with run_id) while a run of the family is unfinished,
    when nobody is missing, or when none of the accounts is left.
    """
    source = _source(tx, run_id)
    # In the key space of the schedule, where a run-now may have the same.
    key = None if request_key is None else f"missing of {run_id}: {request_key}"
    earlier = control.run_of_request(tx, source.schedule_id, key, now)
    if earlier is not None:
        return earlier
    family = reads.family(tx, run_id)
    _refuse_unfinished(tx, family)
    count = _count(tx, run_id, family)
    if not count:
        raise Conflict(
            f"Nobody is missing in run {run_id}: everybody has it, may have it, or may not be written to.",
            run_id=run_id,
        )
    _refuse_without_accounts(tx, source)
    new_id = _claim(tx, source, request_key=key, epoch=epoch, now=now)
    files.keep_as_before(tx, source.id, new_id=new_id)
    _make_deliveries(tx, new_id, source.id, family, now)
    decisions.note(
        tx, run_id, Action.SEND_MISSING, by=by, now=now, detail=f"{count} people, as run {new_id}"
    )
    decisions.note(
        tx, new_id, Action.SEND_MISSING, by=by, now=now, detail=f"the missing of run {run_id}"
    )
    slots.mark_behind(tx, source.schedule_id)
    return reads.run(tx, new_id)


def _source(tx: Tx, run_id: int) -> Row[Any]:
    row = tx.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return row


def _first(source: Row[Any]) -> int:
    first: int = source.id if source.family is None else source.family
    return first


def _refuse_unfinished(tx: Tx, family: Sequence[int]) -> None:
    query = select(runs.c.id).where(runs.c.id.in_(family), runs.c.finished_at.is_(None))
    run_id = tx.execute(query.order_by(runs.c.id).limit(1)).scalar_one_or_none()
    if run_id is not None:
        raise Conflict(
            f"Run {run_id} is not finished: who is missing is known when it has ended. Wait for its end, or cancel it.",
            run_id=run_id,
        )


def _refuse_without_accounts(tx: Tx, source: Row[Any]) -> None:
    account_ids = source.content.get("account_ids", ())
    if len(account_store.missing(tx, account_ids)) == len(account_ids):
        raise Conflict(
            f"None of the accounts that run {source.id} was sent through exists any more. Make a new schedule instead.",
            run_id=source.id,
        )


def _count(tx: Tx, run_id: int, family: Sequence[int]) -> int:
    query = (
        select(func.count())
        .select_from(deliveries)
        .where(
            _is_missing(run_id, family),
            exists().where(recipients.c.id == deliveries.c.recipient_id),
            ~exists().where(suppressions.c.address_key == deliveries.c.address_key),
        )
    )
    found: int = tx.execute(query).scalar_one()
    return found


def _is_missing(run_id: int, family: Sequence[int]) -> ColumnElement[bool]:
    """Return the condition that a delivery of this run has failed or was cancelled, and no run of its family has it."""
    elsewhere = deliveries.alias("elsewhere")
    cancelled = and_(
        deliveries.c.status == DeliveryStatus.SKIPPED, deliveries.c.reason == "cancelled"
    )
    return and_(
        deliveries.c.run_id == run_id,
        or_(deliveries.c.status == DeliveryStatus.FAILED, cancelled),
        ~exists().where(
            elsewhere.c.run_id.in_(family),
            elsewhere.c.address_key == deliveries.c.address_key,
            elsewhere.c.status.in_(_MAY_HAVE_IT),
        ),
    )


def _claim(tx: Tx, source: Row[Any], *, request_key: str | None, epoch: int, now: datetime) -> int:
    run_id: int = tx.execute(
        insert(runs)
        .values(
            {name: getattr(source, name) for name in _AS_BEFORE}
            | dict.fromkeys(COUNTERS, 0)
            | {
                "slot": now,
                "origin": Origin.SEND_MISSING,
                "request_key": request_key,
                "made_from": source.id,
                "family": _first(source),
                "status": RunStatus.CLAIMED,
                "cursor": source.cursor,
                # Whom it is for stands in its deliveries, which are made with it: it has no audience of its own.
                "materialised": True,
                "epoch": epoch,
                "claimed_at": now,
                "told": False,
            }
        )
        .returning(runs.c.id)
    ).scalar_one()
    return run_id


def _make_deliveries(
    tx: Tx, new_id: int, run_id: int, family: Sequence[int], now: datetime
) -> None:
    """Make the new run's deliveries, with its counters; who is suppressed is skipped, as in every run."""
    instant = deliveries.c.updated_at.type
    suppressed = suppressions.c.id.is_not(None)
    tx.execute(
        insert(deliveries).from_select(
            NEW_DELIVERY,
            select(
                literal(new_id),
                deliveries.c.recipient_id,
                deliveries.c.email,
                deliveries.c.address_key,
                case((suppressed, DeliveryStatus.SKIPPED.value), else_=DeliveryStatus.QUEUED.value),
                suppressions.c.reason,
                literal(0),
                literal(0),
                literal(now, type_=instant),
                literal(now, type_=instant),
            )
            .select_from(
                deliveries.outerjoin(
                    suppressions, suppressions.c.address_key == deliveries.c.address_key
                )
            )
            .where(_is_missing(run_id, family))
            .order_by(deliveries.c.id),
        )
    )
    query = (
        select(deliveries.c.status, func.count().label("people"))
        .where(deliveries.c.run_id == new_id)
        .group_by(deliveries.c.status)
    )
    made: dict[str, int] = {r.status: r.people for r in tx.execute(query)}
    counters = update(runs).where(runs.c.id == new_id)
    tx.execute(counters.values(recipients=sum(made.values()), **made))
