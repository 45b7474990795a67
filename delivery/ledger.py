"""The ledger: each recipient of a run gets one email. The only writer of runs and deliveries.

Every change of state names the state it leaves and looks at the row count: that is the lock. The counters of a run change
in the transaction that changes its deliveries, so at any moment recipients is the sum of the others.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import and_, case, exists, func, insert, literal, or_, select, update

from accounts.model import Account
from audience.tables import recipients, suppressions
from campaigns.model import Snapshot
from delivery.model import DeliveryStatus, Origin, RunStatus
from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, Sent, TryAgain
from delivery.tables import deliveries, run_audiences, runs
from storage.aliveness import current_epoch
from storage.database import Tx, insert_into
from storage.sequence import next_id

_REPLY_CHARACTERS = 1000
_TAKEN = (DeliveryStatus.LEASED, DeliveryStatus.SENDING)
_UNSENT = (DeliveryStatus.QUEUED, DeliveryStatus.LEASED)


class SteppedDown(Exception):
    """Another process leads: this one's epoch is old, and it must not claim, lease or send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be made. snapshot None: it could not be carried out, for the reason given."""

    schedule_id: int
    campaign_id: int
    slot: datetime
    zone: str
    origin: Origin
    request_key: str | None
    snapshot: Snapshot | None
    reason: str | None
    recipient_ceiling: int
    waits_for: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A delivery that this process may send, under its lease."""

    id: int
    run_id: int
    lease: int
    email: str
    address_key: str
    attempts: int
    first_attempt_at: datetime | None
    message_id: str | None
    name: str
    attributes: Mapping[str, Any]


def must_lead(tx: Tx, epoch: int) -> None:
    """Raise SteppedDown when a newer leader has raised the epoch."""
    if current_epoch(tx) != epoch:
        raise SteppedDown


def claim(tx: Tx, new: NewRun, *, epoch: int, now: datetime) -> int:
    """Make the run of a slot, its content and audience frozen; return its id.

    The caller has written the slot's row in the same durable transaction. A run that can't be carried out is made as
    failed, with its reason, so that the slot has an answer.
    """
    content = {} if new.snapshot is None else asdict(new.snapshot)
    impossible = new.snapshot is None
    run_id: int = tx.execute(
        insert(runs)
        .values(
            schedule_id=new.schedule_id,
            campaign_id=new.campaign_id,
            slot=new.slot,
            zone=new.zone,
            origin=new.origin,
            request_key=new.request_key,
            status=RunStatus.FAILED if impossible else RunStatus.CLAIMED,
            reason=new.reason,
            content=content,
            content_sha256=content_sha256(content),
            recipient_ceiling=new.recipient_ceiling,
            cursor=0,
            materialised=impossible,
            waits_for=new.waits_for,
            epoch=epoch,
            claimed_at=now,
            finished_at=now if impossible else None,
            told=False,
            recipients=0,
            queued=0,
            sending=0,
            sent=0,
            failed=0,
            skipped=0,
            in_doubt=0,
        )
        .returning(runs.c.id)
    ).scalar_one()
    if new.snapshot is not None:
        rows = [
            {"run_id": run_id, "audience_id": a} for a in dict.fromkeys(new.snapshot.audience_ids)
        ]
        tx.execute(insert(run_audiences), rows)
    return run_id


def content_sha256(content: Mapping[str, Any]) -> str:
    """Return the hash of a run's frozen content: of its JSON with sorted keys."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def materialise(tx: Tx, run_id: int, *, rows: int, now: datetime) -> bool:
    """Make the deliveries of the next so many recipients of a run; return whether the cursor is through.

    A cancelled run is made to the end too: nobody of its audience is without an answer.
    """
    run = tx.execute(
        select(
            runs.c.status,
            runs.c.cursor,
            runs.c.materialised,
            runs.c.recipient_ceiling,
            runs.c.claimed_at,
        ).where(runs.c.id == run_id)
    ).one()
    if run.materialised:
        return True
    audience_ids = list(
        tx.execute(
            select(run_audiences.c.audience_id).where(run_audiences.c.run_id == run_id)
        ).scalars()
    )
    through = (
        recipients.c.audience_id.in_(audience_ids),
        recipients.c.id > run.cursor,
        recipients.c.id <= run.recipient_ceiling,
    )
    upper = tx.execute(
        select(func.max(recipients.c.id)).where(
            recipients.c.id.in_(
                select(recipients.c.id).where(*through).order_by(recipients.c.id).limit(rows)
            )
        )
    ).scalar_one()
    if upper is None:
        tx.execute(update(runs).where(runs.c.id == run_id).values(materialised=True))
        return True
    cancelled = run.status == RunStatus.CANCELLED
    status = case(
        (literal(value=cancelled), DeliveryStatus.SKIPPED.value),
        (suppressions.c.id.is_not(None), DeliveryStatus.SKIPPED.value),
        else_=DeliveryStatus.QUEUED.value,
    )
    reason = case((literal(value=cancelled), "cancelled"), else_=suppressions.c.reason)
    chosen = (
        select(
            literal(run_id),
            recipients.c.id,
            recipients.c.email,
            recipients.c.address_key,
            status,
            reason,
            literal(0),
            literal(0),
            literal(run.claimed_at, type_=deliveries.c.updated_at.type),
            literal(now, type_=deliveries.c.updated_at.type),
        )
        .select_from(
            recipients.outerjoin(
                suppressions, suppressions.c.address_key == recipients.c.address_key
            )
        )
        .where(*through, recipients.c.id <= upper)
        .order_by(recipients.c.id)
    )
    columns = [
        "run_id",
        "recipient_id",
        "email",
        "address_key",
        "status",
        "reason",
        "attempts",
        "resends",
        "next_attempt_at",
        "updated_at",
    ]
    # One person on two lists gets one email: the second row is refused by the unique key.
    made = tx.execute(
        insert_into(tx, deliveries)
        .from_select(columns, chosen)
        .on_conflict_do_nothing()
        .returning(deliveries.c.status)
    ).scalars()
    counted = Counter(made)
    queued, skipped = counted[DeliveryStatus.QUEUED], counted[DeliveryStatus.SKIPPED]
    tx.execute(
        update(runs)
        .where(runs.c.id == run_id)
        .values(
            cursor=upper,
            recipients=runs.c.recipients + queued + skipped,
            queued=runs.c.queued + queued,
            skipped=runs.c.skipped + skipped,
        )
    )
    return False


def start(tx: Tx, run_id: int, now: datetime) -> bool:
    """Let a claimed run go, once its deliveries are made and the run it waits for has nobody untried left."""
    earlier = runs.alias("earlier")
    untried = exists().where(
        deliveries.c.run_id == earlier.c.id,
        deliveries.c.status.in_(_UNSENT),
        deliveries.c.attempts == 0,
    )
    waits = exists().where(
        earlier.c.id == runs.c.waits_for,
        earlier.c.finished_at.is_(None),
        or_(earlier.c.materialised.is_(False), untried),
    )
    done = tx.execute(
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.status == RunStatus.CLAIMED,
            runs.c.materialised.is_(True),
            ~waits,
        )
        .values(status=RunStatus.RUNNING, started_at=now)
    )
    return done.rowcount == 1


def set_status(
    tx: Tx,
    run_id: int,
    leaves: Sequence[RunStatus],
    *,
    to: RunStatus,
    reason: str | None,
    refused_ids: Sequence[int] | None = None,
) -> bool:
    """Move a run from one of these states to another; return False when it was in none of them."""
    done = tx.execute(
        update(runs)
        .where(runs.c.id == run_id, runs.c.status.in_(leaves), runs.c.finished_at.is_(None))
        .values(
            status=to, reason=reason, refused_ids=None if refused_ids is None else list(refused_ids)
        )
    )
    return done.rowcount == 1


def skip_unsent(tx: Tx, run_id: int, *, reason: str, now: datetime) -> int:
    """Skip whatever of a run was surely not sent; return how many. What is on its way keeps going."""
    done = tx.execute(
        update(deliveries)
        .where(deliveries.c.run_id == run_id, deliveries.c.status.in_(_UNSENT))
        .values(status=DeliveryStatus.SKIPPED, reason=reason, updated_at=now, lease=None)
    )
    _count(tx, run_id, queued=-done.rowcount, skipped=done.rowcount)
    return done.rowcount


def requeue_refused(tx: Tx, run_id: int, now: datetime) -> int:
    """Queue again the refusals in a row that paused this run; return how many."""
    ids = tx.execute(select(runs.c.refused_ids).where(runs.c.id == run_id)).scalar_one() or []
    done = tx.execute(
        update(deliveries)
        .where(
            deliveries.c.run_id == run_id,
            deliveries.c.id.in_(ids),
            deliveries.c.status == DeliveryStatus.FAILED,
        )
        .values(
            status=DeliveryStatus.QUEUED,
            reason=None,
            next_attempt_at=now,
            updated_at=now,
            lease=None,
        )
    )
    _count(tx, run_id, queued=done.rowcount, failed=-done.rowcount)
    return done.rowcount


def finish(tx: Tx, run_id: int, now: datetime) -> bool:
    """End a run in which nothing is queued, leased or sending any more; return whether it ended now."""
    everybody_failed = and_(runs.c.recipients > 0, runs.c.failed == runs.c.recipients)
    done = tx.execute(
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.finished_at.is_(None),
            runs.c.materialised.is_(True),
            runs.c.status.in_(
                [RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.HELD, RunStatus.CANCELLED]
            ),
            runs.c.queued == 0,
            runs.c.sending == 0,
        )
        .values(
            status=case(
                (runs.c.status == RunStatus.CANCELLED, RunStatus.CANCELLED.value),
                (everybody_failed, RunStatus.FAILED.value),
                else_=RunStatus.COMPLETED.value,
            ),
            reason=case((everybody_failed, "every recipient failed"), else_=runs.c.reason),
            finished_at=now,
        )
    )
    return done.rowcount == 1


def mark_told(tx: Tx, schedule_ids: Sequence[int]) -> None:
    """Say that the ends of these schedules' runs have reached the schedule store."""
    tx.execute(
        update(runs)
        .where(
            runs.c.schedule_id.in_(schedule_ids),
            runs.c.finished_at.is_not(None),
            runs.c.told.is_(False),
        )
        .values(told=True)
    )


def lease(
    tx: Tx, run_id: int, account: Account, *, limit: int, epoch: int, now: datetime
) -> list[Leased]:
    """Take up to limit deliveries of a running run for this account. The transaction is durable, before their first byte.

    Raises SteppedDown.
    """
    must_lead(tx, epoch)
    number = next_id(tx, "leases")
    chosen = (
        select(deliveries.c.id)
        .where(
            deliveries.c.run_id == run_id,
            deliveries.c.status == DeliveryStatus.QUEUED,
            deliveries.c.next_attempt_at <= now,
            # A doubt is sent again through the account that it was sent by, so that a receiver can drop the repeat.
            or_(deliveries.c.resends == 0, deliveries.c.account_id == account.id),
            exists().where(runs.c.id == run_id, runs.c.status == RunStatus.RUNNING),
        )
        .order_by(deliveries.c.next_attempt_at, deliveries.c.id)
        .limit(limit)
    )
    taken = tx.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(chosen), deliveries.c.status == DeliveryStatus.QUEUED)
        .values(
            status=DeliveryStatus.LEASED,
            lease=number,
            epoch=epoch,
            account_id=account.id,
            updated_at=now,
        )
        .returning(
            deliveries.c.id,
            deliveries.c.recipient_id,
            deliveries.c.email,
            deliveries.c.address_key,
            deliveries.c.attempts,
            deliveries.c.first_attempt_at,
            deliveries.c.message_id,
        )
    ).all()
    people = {
        r.id: r
        for r in tx.execute(
            select(recipients.c.id, recipients.c.name, recipients.c.attributes).where(
                recipients.c.id.in_([t.recipient_id for t in taken])
            )
        )
    }
    found = []
    for t in sorted(taken, key=lambda t: t.id):  # RETURNING promises no order
        # A recipient who was removed meanwhile is caught by the fence, and skipped there.
        person = people.get(t.recipient_id)
        found.append(
            Leased(
                id=t.id,
                run_id=run_id,
                lease=number,
                email=t.email,
                address_key=t.address_key,
                attempts=t.attempts,
                first_attempt_at=t.first_attempt_at,
                message_id=t.message_id,
                name=person.name if person else "",
                attributes=person.attributes if person else {},
            )
        )
    return found


def mark_sending(tx: Tx, item: Leased, *, epoch: int, message_id: str, now: datetime) -> bool:
    """The fence: say that content may reach the server from now on; return False when it must not.

    Committed before the first byte of content goes out: from here on a crash is "in doubt", never "unsent". A cancel, a pause or an
    unsubscribe that was answered before is obeyed, since all of it is asked in this one statement.
    """
    done = tx.execute(
        update(deliveries)
        .where(
            deliveries.c.id == item.id,
            deliveries.c.status == DeliveryStatus.LEASED,
            deliveries.c.lease == item.lease,
            deliveries.c.epoch == epoch,
            exists().where(runs.c.id == item.run_id, runs.c.status == RunStatus.RUNNING),
            ~exists().where(suppressions.c.address_key == deliveries.c.address_key),
            exists().where(recipients.c.id == deliveries.c.recipient_id),
        )
        .values(status=DeliveryStatus.SENDING, message_id=message_id, updated_at=now)
    )
    if done.rowcount:
        _count(tx, item.run_id, queued=-1, sending=1)
    return done.rowcount == 1


def record(
    tx: Tx,
    item: Leased,
    outcome: Outcome,
    *,
    begun: bool,
    epoch: int,
    retry_at: datetime,
    now: datetime,
) -> bool:
    """Write what an attempt came to, at once after the reply.

    begun: the fence was passed. retry_at: when a doubt is sent again, where the campaign's rule says so. Returns False when the row is
    no longer ours (cancelled meanwhile, or another process leads): then what stands there stands.
    """
    leaves = DeliveryStatus.SENDING if begun else DeliveryStatus.LEASED
    values = _values(tx, item, outcome, begun=begun, retry_at=retry_at, now=now)
    done = tx.execute(
        update(deliveries)
        .where(
            deliveries.c.id == item.id,
            deliveries.c.status == leaves,
            deliveries.c.lease == item.lease,
            deliveries.c.epoch == epoch,
        )
        .values(**values, updated_at=now, lease=None)
    )
    if not done.rowcount:
        return False
    changes = Counter({"sending" if begun else "queued": -1})
    changes[_counter(values["status"])] += 1
    _count(tx, item.run_id, **changes)
    return True


def _values(
    tx: Tx, item: Leased, outcome: Outcome, *, begun: bool, retry_at: datetime, now: datetime
) -> dict[str, Any]:
    tried = {"attempts": item.attempts + 1, "first_attempt_at": item.first_attempt_at or now}
    match outcome:
        case Sent(reply):
            return tried | _said(reply) | {"status": DeliveryStatus.SENT, "reason": None}
        case Failed(reply, reason):
            said = {} if reply is None else _said(reply)
            return tried | said | {"status": DeliveryStatus.FAILED, "reason": reason}
        case InDoubt(reason):
            return tried | _doubt(tx, item, reason, retry_at)
        case TryAgain(answer, at):
            said = _said(answer) | {"next_attempt_at": at}
            return (
                tried
                | said
                | _unsent(tx, item, reason="the server put it off, or the connection broke")
            )
        case AccountFault(answer):
            return _said(answer) | _unsent(tx, item, reason=None)
        case NotBegun():
            return _unsent(tx, item, reason=None)


def _unsent(tx: Tx, item: Leased, *, reason: str | None) -> dict[str, Any]:
    """Where a delivery goes that was surely not handed over: back to the queue, unless nobody may write to it now."""
    stop = tx.execute(
        select(
            runs.c.status,
            select(suppressions.c.reason)
            .where(suppressions.c.address_key == item.address_key)
            .scalar_subquery()
            .label("suppressed"),
            exists()
            .where(
                recipients.c.id
                == select(deliveries.c.recipient_id)
                .where(deliveries.c.id == item.id)
                .scalar_subquery()
            )
            .label("there"),
        ).where(runs.c.id == item.run_id)
    ).one()
    if stop.status == RunStatus.CANCELLED:
        return {"status": DeliveryStatus.SKIPPED, "reason": "cancelled"}
    if stop.suppressed is not None:
        return {"status": DeliveryStatus.SKIPPED, "reason": stop.suppressed}
    if not stop.there:
        return {"status": DeliveryStatus.SKIPPED, "reason": "removed"}
    return {"status": DeliveryStatus.QUEUED, "reason": reason}


def _doubt(tx: Tx, item: Leased, reason: str, retry_at: datetime) -> dict[str, Any]:
    """Where a doubt goes: held for a person, or by the campaign's rule sent again, once."""
    row = tx.execute(
        select(runs.c.content, runs.c.status, deliveries.c.resends)
        .join(deliveries, deliveries.c.run_id == runs.c.id)
        .where(deliveries.c.id == item.id)
    ).one()
    may_resend = row.content.get("in_doubt") == "resend" and row.resends == 0
    if may_resend and row.status != RunStatus.CANCELLED:
        return {
            "status": DeliveryStatus.QUEUED,
            "reason": f"in doubt, sent again by the campaign's rule: {reason}",
            "resends": 1,
            "next_attempt_at": retry_at,
        }
    return {"status": DeliveryStatus.IN_DOUBT, "reason": reason}


def _said(answer: Any) -> dict[str, Any]:
    code = getattr(answer, "code", None)
    text = answer.detail if code is None else answer.text
    return {"smtp_code": code, "smtp_reply": text[:_REPLY_CHARACTERS]}


def _counter(status: DeliveryStatus) -> str:
    return "queued" if status in _UNSENT else str(status)


def _count(tx: Tx, run_id: int, **changes: int) -> None:
    values = {name: runs.c[name] + by for name, by in changes.items() if by}
    if values:
        tx.execute(update(runs).where(runs.c.id == run_id).values(**values))


def take_over(
    tx: Tx, *, same_boot: Sequence[int], epoch: int, retry_delay: timedelta, now: datetime
) -> Counter[str]:
    """Settle what older epochs left leased or sending; return how many went where.

    same_boot: the older epochs of this boot. There only the process died, so every commit it made is here: leased is surely
    unsent. Otherwise the machine died and the log's tail may be lost: whatever was leased may have been sent.
    """
    left = tx.execute(
        select(
            deliveries.c.id,
            deliveries.c.run_id,
            deliveries.c.status,
            deliveries.c.epoch,
            deliveries.c.resends,
            runs.c.status.label("run_status"),
            runs.c.content,
        )
        .join(runs, runs.c.id == deliveries.c.run_id)
        .where(deliveries.c.status.in_(_TAKEN), deliveries.c.epoch < epoch)
    ).all()
    went: Counter[str] = Counter()
    for row in left:
        unsent = row.status == DeliveryStatus.LEASED and row.epoch in same_boot
        values: dict[str, Any]
        if unsent and row.run_status == RunStatus.CANCELLED:
            values = {"status": DeliveryStatus.SKIPPED, "reason": "cancelled"}
        elif unsent:
            values = {"status": DeliveryStatus.QUEUED}
        elif (
            row.content.get("in_doubt") == "resend"
            and row.resends == 0
            and row.run_status != RunStatus.CANCELLED
        ):
            values = {
                "status": DeliveryStatus.QUEUED,
                "reason": "in doubt after a crash, sent again by the campaign's rule",
                "resends": 1,
                "attempts": deliveries.c.attempts + 1,
                "first_attempt_at": func.coalesce(
                    deliveries.c.first_attempt_at, literal(now, type_=deliveries.c.updated_at.type)
                ),
                "next_attempt_at": now + retry_delay,
            }
        else:
            values = {
                "status": DeliveryStatus.IN_DOUBT,
                "attempts": deliveries.c.attempts + 1,
                "reason": "the process was stopped while the mail was on its way"
                if row.epoch in same_boot
                else "the machine was stopped while the mail may have been on its way",
            }
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id, deliveries.c.status == row.status)
            .values(**values, updated_at=now, lease=None)
        )
        was = "sending" if row.status == DeliveryStatus.SENDING else "queued"
        changes = Counter({was: -1})
        changes[_counter(values["status"])] += 1
        _count(tx, row.run_id, **changes)
        went[f"{row.status} -> {values['status']}"] += 1
    return went
