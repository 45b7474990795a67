"""One recipient's way through the ledger: leased, fenced, recorded; and what a new leader makes of older leases.

Every statement names the lease and the epoch, so whoever lost them changes nothing. A repeat is a delivery that a
person, or the campaign's rule for doubts, sends again: its first try may have arrived, so it ends as sent or as in
doubt and as nothing else.
"""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from sqlalchemy import (
    BindParameter,
    Integer,
    Row,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
    update,
)

from accounts.model import Account
from audience.tables import recipients, suppressions
from campaigns.model import InDoubtRule
from delivery import decisions
from delivery.decisions import BY_RULE, Action
from delivery.ledger import must_lead
from delivery.model import DeliveryStatus, RunStatus
from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, Sent, TryAgain
from delivery.tables import deliveries, is_leased, is_queued, is_taken, runs
from delivery.tally import Tally
from mail.reply import Broken, Reply
from storage.database import Tx
from storage.metadata import Instant
from storage.prepared import Prepared
from storage.sequence import next_id

_REPLY_CHARACTERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A delivery that this process may send, under its lease.

    claimed_at is its run's. first_attempt_at is put off by what the delivery waited for limits, pauses and rests:
    giving up does not count that.
    """

    id: int
    run_id: int
    lease: int
    email: str
    address_key: str
    attempts: int
    first_attempt_at: datetime | None
    message_id: str | None
    claimed_at: datetime
    is_repeat: bool
    name: str
    attributes: Mapping[str, Any]


def may_go_through(account_id: int | BindParameter[int]) -> Any:
    """Return the condition that a queued delivery may go through this account.

    A repeat goes through the account of its first try, so that a receiver can drop it.
    """
    return or_(deliveries.c.resends == 0, deliveries.c.account_id == account_id)


_CHOSEN = (
    select(deliveries.c.id)
    .where(
        deliveries.c.run_id == bindparam("the_run"),
        is_queued,
        deliveries.c.next_attempt_at <= bindparam("now", type_=Instant),
        may_go_through(bindparam("the_account", type_=Integer)),
        exists().where(runs.c.id == bindparam("the_run"), runs.c.status == RunStatus.RUNNING),
    )
    .order_by(deliveries.c.next_attempt_at, deliveries.c.id)
    .limit(bindparam("the_limit", type_=Integer))
)
_LEASE = (
    update(deliveries)
    .where(deliveries.c.id.in_(_CHOSEN), is_queued)
    .values(
        status=DeliveryStatus.LEASED,
        lease=bindparam("the_number", type_=Integer),
        epoch=bindparam("our_epoch", type_=Integer),
        account_id=bindparam("the_account", type_=Integer),
        updated_at=bindparam("now", type_=Instant),
    )
    .returning(
        deliveries.c.id,
        deliveries.c.recipient_id,
        deliveries.c.email,
        deliveries.c.address_key,
        deliveries.c.attempts,
        deliveries.c.resends,
        deliveries.c.first_attempt_at,
        deliveries.c.next_attempt_at,
        deliveries.c.message_id,
    )
)


def lease(
    tx: Tx, run_id: int, account: Account, *, limit: int, epoch: int, now: datetime
) -> list[Leased]:
    """Take up to limit deliveries of a running run for this account.

    The transaction is durable, before their first byte. Who is suppressed or gone is settled here, so fewer may come
    back than were taken. Raises SteppedDown.
    """
    must_lead(tx, epoch)
    number = next_id(tx, "leases")
    taken = tx.execute(
        _LEASE,
        {
            "the_run": run_id,
            "the_account": account.id,
            "the_limit": limit,
            "the_number": number,
            "our_epoch": epoch,
            "now": now,
        },
    ).all()
    people = _people(tx, taken)
    claimed_at = tx.execute(select(runs.c.claimed_at).where(runs.c.id == run_id)).scalar_one()
    stopped = _stopped(tx, taken, people)
    _settle_stopped(tx, run_id, taken, stopped, now)
    return [
        _leased(t, run_id, number, people[t.recipient_id], claimed_at, now)
        for t in sorted(taken, key=lambda t: t.id)  # RETURNING promises no order
        if t.id not in stopped
    ]


def _people(tx: Tx, taken: Sequence[Row[*tuple[Any, ...]]]) -> dict[int, Row[*tuple[Any, ...]]]:
    query = select(recipients.c.id, recipients.c.name, recipients.c.attributes).where(
        recipients.c.id.in_([t.recipient_id for t in taken])
    )
    return {r.id: r for r in tx.execute(query)} if taken else {}


def _stopped(
    tx: Tx, taken: Sequence[Row[*tuple[Any, ...]]], people: Mapping[int, Row[*tuple[Any, ...]]]
) -> dict[int, str]:
    """Return which of these nobody may write to any more, and why: it would cost a connection each to hear it later."""
    if not taken:
        return {}
    query = select(suppressions.c.address_key, suppressions.c.reason).where(
        suppressions.c.address_key.in_([t.address_key for t in taken])
    )
    suppressed = {r.address_key: r.reason for r in tx.execute(query)}
    removed = {t.id: "removed" for t in taken if t.recipient_id not in people}
    return removed | {t.id: suppressed[t.address_key] for t in taken if t.address_key in suppressed}


def _settle_stopped(
    tx: Tx,
    run_id: int,
    taken: Sequence[Row[*tuple[Any, ...]]],
    stopped: Mapping[int, str],
    now: datetime,
) -> None:
    tally = Tally()
    for t in taken:
        if t.id in stopped:
            values = _kept_back(stopped[t.id], is_repeat=t.resends > 0)
            tx.execute(
                update(deliveries)
                .where(deliveries.c.id == t.id, is_leased)
                .values(**values, updated_at=now, lease=None)
            )
            tally.move(run_id, DeliveryStatus.LEASED, values["status"])
    tally.write(tx)


def _leased(
    t: Row[*tuple[Any, ...]],
    run_id: int,
    number: int,
    person: Row[*tuple[Any, ...]],
    claimed_at: datetime,
    now: datetime,
) -> Leased:
    first = t.first_attempt_at
    if first is not None:
        first += max(timedelta(0), now - t.next_attempt_at)
    return Leased(
        id=t.id,
        run_id=run_id,
        lease=number,
        email=t.email,
        address_key=t.address_key,
        attempts=t.attempts,
        first_attempt_at=first,
        message_id=t.message_id,
        claimed_at=claimed_at,
        is_repeat=t.resends > 0,
        name=person.name,
        attributes=person.attributes,
    )


_FENCE = Prepared(
    update(deliveries)
    .where(
        deliveries.c.id == bindparam("its_id"),
        deliveries.c.status == DeliveryStatus.LEASED,
        deliveries.c.lease == bindparam("its_lease"),
        deliveries.c.epoch == bindparam("our_epoch"),
        exists().where(runs.c.id == bindparam("its_run"), runs.c.status == RunStatus.RUNNING),
        ~exists().where(suppressions.c.address_key == deliveries.c.address_key),
        exists().where(recipients.c.id == deliveries.c.recipient_id),
    )
    .values(
        status=DeliveryStatus.SENDING,
        message_id=bindparam("new_message_id"),
        updated_at=bindparam("now"),
    )
)


def mark_sending(
    tx: Tx, item: Leased, tally: Tally, *, epoch: int, message_id: str, now: datetime
) -> bool:
    """The fence: say that content may reach the server from now on; return False when it must not.

    Committed before the first byte of content goes out: from here on a crash is "in doubt", never "unsent". A cancel,
    a pause or an unsubscribe that was answered before is obeyed, since all of it is asked in this one statement.
    """
    met = _FENCE.run(
        tx,
        {
            "its_id": item.id,
            "its_lease": item.lease,
            "our_epoch": epoch,
            "its_run": item.run_id,
            "new_message_id": message_id,
            "now": now,
        },
    )
    if met:
        tally.move(item.run_id, DeliveryStatus.LEASED, DeliveryStatus.SENDING)
    return met == 1


def record(
    tx: Tx,
    item: Leased,
    outcome: Outcome,
    tally: Tally,
    *,
    begun: bool,
    epoch: int,
    retry_at: datetime,
    now: datetime,
) -> bool:
    """Write what an attempt came to, at once after the reply.

    begun: the fence was passed. retry_at: when a doubt is sent again, where the campaign's rule says so. Returns False
    when the row is no longer ours (cancelled meanwhile, or another process leads): then what stands there stands.
    """
    was = DeliveryStatus.SENDING if begun else DeliveryStatus.LEASED
    values = _values(tx, item, outcome, retry_at=retry_at, now=now) | {"updated_at": now}
    met = _record_of(tuple(values)).run(
        tx,
        {f"new_{name}": value for name, value in values.items()}
        | {"its_id": item.id, "its_status": was, "its_lease": item.lease, "our_epoch": epoch},
    )
    if met:
        tally.move(item.run_id, was, values["status"])
        if "resends" in values:
            _note_rule(tx, item.run_id, item.id, values["reason"], now)
    return met == 1


@functools.cache
def _record_of(columns: tuple[str, ...]) -> Prepared:
    """Return the statement that writes these columns of a delivery that is ours."""
    return Prepared(
        update(deliveries)
        .where(
            deliveries.c.id == bindparam("its_id"),
            deliveries.c.status == bindparam("its_status"),
            deliveries.c.lease == bindparam("its_lease"),
            deliveries.c.epoch == bindparam("our_epoch"),
        )
        .values(lease=None, **{name: bindparam(f"new_{name}") for name in columns})
    )


def _values(
    tx: Tx, item: Leased, outcome: Outcome, *, retry_at: datetime, now: datetime
) -> dict[str, Any]:
    tried = {"attempts": item.attempts + 1, "first_attempt_at": item.first_attempt_at or now}
    match outcome:
        case Sent(reply):
            return tried | _said(reply) | {"status": DeliveryStatus.SENT, "reason": None}
        case Failed(reply, reason) if item.is_repeat:
            reason = f"in doubt; sent again, and this time: {reason}"
            return tried | _said(reply) | {"status": DeliveryStatus.IN_DOUBT, "reason": reason}
        case Failed(reply, reason):
            return tried | _said(reply) | {"status": DeliveryStatus.FAILED, "reason": reason}
        case InDoubt(reason):
            return tried | _said(None) | _doubt(tx, item, reason, retry_at)
        case TryAgain(answer, at):
            back = _back(tx, item, reason=_put_off(answer))
            return tried | _said(answer) | {"next_attempt_at": at} | back
        case AccountFault(answer):
            return _said(answer) | _back(tx, item, reason=_could_not_be_used(answer))
        case NotBegun():
            return _back(tx, item, reason=None)
        case _:
            assert_never(outcome)


def _back(tx: Tx, item: Leased, *, reason: str | None) -> dict[str, Any]:
    """Where a delivery goes that was surely not handed over: to the queue, unless nobody may write to it now."""
    there = select(deliveries.c.recipient_id).where(deliveries.c.id == item.id).scalar_subquery()
    suppressed = select(suppressions.c.reason).where(suppressions.c.address_key == item.address_key)
    stop = tx.execute(
        select(
            runs.c.status,
            suppressed.scalar_subquery().label("suppressed"),
            exists().where(recipients.c.id == there).label("there"),
        ).where(runs.c.id == item.run_id)
    ).one()
    if stop.status == RunStatus.CANCELLED:
        return _kept_back("cancelled", is_repeat=item.is_repeat)
    if stop.suppressed is not None:
        return _kept_back(stop.suppressed, is_repeat=item.is_repeat)
    if not stop.there:
        return _kept_back("removed", is_repeat=item.is_repeat)
    queued: dict[str, Any] = {"status": DeliveryStatus.QUEUED}
    # A repeat goes on saying that it is one.
    return queued if reason is None or item.is_repeat else queued | {"reason": reason}


def _kept_back(why: str, *, is_repeat: bool) -> dict[str, Any]:
    if is_repeat:
        return {"status": DeliveryStatus.IN_DOUBT, "reason": f"in doubt; not sent again: {why}"}
    return {"status": DeliveryStatus.SKIPPED, "reason": why}


def _doubt(tx: Tx, item: Leased, reason: str, retry_at: datetime) -> dict[str, Any]:
    """Where a doubt goes: held for a person, or by the campaign's rule sent again, once."""
    query = select(runs.c.content, runs.c.status).where(runs.c.id == item.run_id)
    run = tx.execute(query).one()
    if item.is_repeat or not _sends_doubts_again(run):
        return {"status": DeliveryStatus.IN_DOUBT, "reason": reason}
    return {
        "status": DeliveryStatus.QUEUED,
        "reason": f"in doubt, to be sent again by the campaign's rule: {reason}",
        "resends": 1,
        "next_attempt_at": retry_at,
    }


def _note_rule(tx: Tx, run_id: int, delivery_id: int, reason: str, now: datetime) -> None:
    """Note that the campaign's rule has decided to send a doubt again."""
    ids = [delivery_id]
    decisions.note(tx, run_id, Action.RESEND, by=BY_RULE, now=now, delivery_ids=ids, detail=reason)


def _sends_doubts_again(run: Row[*tuple[Any, ...]]) -> bool:
    rule = InDoubtRule(run.content.get("in_doubt", InDoubtRule.HOLD))
    return rule == InDoubtRule.RESEND and run.status != RunStatus.CANCELLED


def _put_off(answer: Reply | Broken) -> str:
    if isinstance(answer, Reply):
        return "the server put it off"
    return f"the connection broke: {answer.detail}"


def _could_not_be_used(answer: Reply | Broken) -> str:
    said = answer if isinstance(answer, Reply) else answer.detail
    return f"the account could not be used: {answer.stage}: {said}"[:_REPLY_CHARACTERS]


def _said(answer: Reply | Broken | None) -> dict[str, Any]:
    """Return what the server said last, with its code; None twice when the last attempt had no reply."""
    if not isinstance(answer, Reply):
        return {"smtp_code": None, "smtp_reply": None}
    return {"smtp_code": answer.code, "smtp_reply": answer.text[:_REPLY_CHARACTERS]}


def take_over(
    tx: Tx, *, same_boot: Sequence[int], epoch: int, retry_delay: timedelta, now: datetime
) -> Counter[str]:
    """Settle what older epochs left leased or sending; return how many went where.

    same_boot: the older epochs of this boot. There only the process died, so every commit it made is here: leased is
    surely unsent. Otherwise the machine died and the log's tail may be lost: whatever was leased may have been sent.
    """
    left = tx.execute(
        select(
            deliveries.c.id,
            deliveries.c.run_id,
            deliveries.c.status,
            deliveries.c.epoch,
            deliveries.c.resends,
        ).where(is_taken, deliveries.c.epoch < epoch)
    ).all()
    run_ids = sorted({row.run_id for row in left})
    query = select(runs.c.id, runs.c.status, runs.c.content).where(runs.c.id.in_(run_ids))
    of_run = {r.id: r for r in tx.execute(query)}
    went: Counter[str] = Counter()
    tally = Tally()
    for row in left:
        died_alone = row.epoch in same_boot
        values = _settled(row, of_run[row.run_id], died_alone, now + retry_delay, now)
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id, deliveries.c.status == row.status)
            .values(**values, updated_at=now, lease=None)
        )
        if "resends" in values:
            _note_rule(tx, row.run_id, row.id, values["reason"], now)
        tally.move(row.run_id, DeliveryStatus(row.status), values["status"])
        went[f"{row.status}_to_{values['status'].value}"] += 1
    tally.write(tx)
    return went


def _settled(
    row: Row[*tuple[Any, ...]],
    run: Row[*tuple[Any, ...]],
    died_alone: bool,
    retry_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    if row.status == DeliveryStatus.LEASED and died_alone:
        if run.status == RunStatus.CANCELLED:
            return _kept_back("cancelled", is_repeat=row.resends > 0)
        return {"status": DeliveryStatus.QUEUED}
    tried = _said(None) | {
        "attempts": deliveries.c.attempts + 1,
        "first_attempt_at": func.coalesce(
            deliveries.c.first_attempt_at, literal(now, type_=deliveries.c.updated_at.type)
        ),
    }
    if row.resends == 0 and _sends_doubts_again(run):
        return tried | {
            "status": DeliveryStatus.QUEUED,
            "reason": "in doubt after a crash, to be sent again by the campaign's rule",
            "resends": 1,
            "next_attempt_at": retry_at,
        }
    what = (
        "the process was stopped while the mail was on its way"
        if died_alone
        else "the machine was stopped while the mail may have been on its way"
    )
    return tried | {"status": DeliveryStatus.IN_DOUBT, "reason": what}
