"""What a person does about deliveries that are in doubt: send them again, or say what has become of them.

The change names the state it leaves, so whoever comes second changes nothing: two clicks send once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, null, select, update

from accounts import store as account_store
from audience.tables import recipients, suppressions
from delivery import decisions, reads, slots
from delivery.decisions import Action
from delivery.model import DeliveryStatus, Run, RunStatus
from delivery.tables import deliveries, runs
from delivery.tally import Tally
from foundation.errors import Conflict
from mail.address import normalise
from storage.database import Tx

_BECOMES = {
    Action.RESEND: DeliveryStatus.QUEUED,
    Action.MARK_SENT: DeliveryStatus.SENT,
    Action.MARK_FAILED: DeliveryStatus.FAILED,
}
_REASON = {
    Action.RESEND: "in doubt, to be sent again: decided by {by}",
    Action.MARK_SENT: "was in doubt; marked as sent by {by}",
    Action.MARK_FAILED: "was in doubt; marked as failed by {by}",
}
_INSTEAD = "Decide it with mark-sent or mark-failed."
_AT_ONCE = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """About how many a decision would be. possible: of those in doubt, whom it can be done to."""

    in_doubt: int
    possible: int


def reach(
    tx: Tx, run_id: int, action: Action, *, emails: Sequence[str] | None, before: datetime | None
) -> Reach:
    """Say about how many a decision would be, before it is made; the arguments are those of resolve."""
    named = _named(run_id, emails, before)
    in_doubt = _count(tx, named)
    if action is not Action.RESEND:
        return Reach(in_doubt=in_doubt, possible=in_doubt)
    return Reach(in_doubt=in_doubt, possible=_count(tx, and_(named, _may_be_sent_again(tx))))


def resolve(
    tx: Tx,
    run_id: int,
    action: Action,
    *,
    emails: Sequence[str] | None,
    before: datetime | None,
    by: str,
    now: datetime,
) -> int:
    """Decide about deliveries of a run that are in doubt; return about how many.

    action: resend, mark-sent or mark-failed. emails None means all; before, those in doubt since then or earlier. What
    is sent again goes through the account of its first try and under its Message-ID, once, and makes a run that has
    ended run again. Whom nothing may be sent to (suppressed, removed, the account is gone) stays in doubt. Raises
    NotFound, Invalid, and Conflict when there is nothing that this can be done to.
    """
    run = reads.run(tx, run_id)
    if action is Action.RESEND:
        _refuse_while_being_cancelled(run)
    named = _named(run_id, emails, before)
    possible = and_(named, _may_be_sent_again(tx)) if action is Action.RESEND else named
    # The one statement that decides who comes first.
    query = update(deliveries).where(possible).values(**_values(action, now))
    ids = sorted(tx.execute(query.returning(deliveries.c.id)).scalars())
    if not ids:
        raise Conflict(_why_nothing(tx, run_id, named), run_id=run_id)
    # Before the reason is another: it is what the decision was about.
    decisions.note(tx, run_id, action, by=by, now=now, delivery_ids=ids)
    _say(tx, ids, _REASON[action].format(by=by))
    tally = Tally()
    tally.move(run_id, DeliveryStatus.IN_DOUBT, _BECOMES[action], len(ids))
    tally.write(tx)
    if action is Action.RESEND:
        _run_again(tx, run)
    return len(ids)


def _count(tx: Tx, condition: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(deliveries).where(condition)
    return int(tx.execute(query).scalar_one())


def _refuse_while_being_cancelled(run: Run) -> None:
    if run.status == RunStatus.CANCELLED and run.finished_at is None:
        raise Conflict(
            f"Run {run.id} is being cancelled: what is on its way has no answer yet. Wait for its end, then decide.",
            run_id=run.id,
        )


def _named(
    run_id: int, emails: Sequence[str] | None, before: datetime | None
) -> ColumnElement[bool]:
    named = and_(deliveries.c.run_id == run_id, deliveries.c.status == DeliveryStatus.IN_DOUBT)
    if emails is not None:
        named &= deliveries.c.address_key.in_({normalise(email).key for email in emails})
    if before is not None:
        named &= deliveries.c.updated_at <= before
    return named


def _may_be_sent_again(tx: Tx) -> ColumnElement[bool]:
    """Return the condition that a second try is possible: the fence would only put it back in doubt."""
    return and_(
        deliveries.c.account_id.in_(account_store.names(tx)), _is_there(), ~_is_suppressed()
    )


def _is_there() -> ColumnElement[bool]:
    return exists().where(recipients.c.id == deliveries.c.recipient_id)


def _is_suppressed() -> ColumnElement[bool]:
    return exists().where(suppressions.c.address_key == deliveries.c.address_key)


def _values(action: Action, now: datetime) -> dict[str, Any]:
    values: dict[str, Any] = {"status": _BECOMES[action], "updated_at": now}
    if action is Action.RESEND:
        values |= {
            "resends": deliveries.c.resends + 1,
            "next_attempt_at": now,
            "first_attempt_at": None,  # the time until somebody decided is not counted as trying
        }
    return values


def _say(tx: Tx, ids: Sequence[int], reason: str) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        piece = ids[start : start + _AT_ONCE]
        tx.execute(update(deliveries).where(deliveries.c.id.in_(piece)).values(reason=reason))


def _why_nothing(tx: Tx, run_id: int, named: ColumnElement[bool]) -> str:
    """Say why nothing could be done: nobody of those named is in doubt, or none can be sent to again."""
    query = select(
        deliveries.c.email,
        deliveries.c.account_id.in_(account_store.names(tx)).label("has_account"),
        _is_there().label("is_there"),
    ).where(named)
    first = tx.execute(query.order_by(deliveries.c.id).limit(1)).one_or_none()
    if first is None:
        return f"Nothing of run {run_id} that you named is in doubt any more. Load the list again."
    if not first.has_account:
        return (
            f"The account that {first.email} was first sent through does not exist any more, and a receiver would not"
            f" know a second try through another one. {_INSTEAD}"
        )
    if not first.is_there:
        return f"{first.email} was removed, so nothing may be sent to it any more. {_INSTEAD}"
    return f"{first.email} is suppressed, so nothing may be sent to it any more. {_INSTEAD}"


def _run_again(tx: Tx, run: Run) -> None:
    """Let a run that has ended go on; one that is paused or held stays so."""
    done = tx.execute(
        update(runs)
        .where(runs.c.id == run.id, runs.c.finished_at.is_not(None))
        .values(
            status=RunStatus.RUNNING,
            reason=None,
            refused_ids=null(),
            finished_at=None,
            told=False,  # the schedule learns of its end again
        )
    )
    if done.rowcount:
        slots.mark_behind(tx, run.schedule_id)
