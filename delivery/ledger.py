"""The ledger of runs: claimed, made into deliveries, started, paused, ended. One recipient's way is in delivery.leases.

Every change of state names the state it leaves and looks at the row count: that is the lock. The counters of a run
change in the transaction that changes its deliveries, so at any moment recipients is the sum of the others.
"""

import functools
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    union_all,
    update,
)

from audience.tables import recipients, suppressions
from campaigns import files
from campaigns.model import Snapshot
from delivery.decisions import Action
from delivery.model import COUNTERS, DeliveryStatus, Origin, RunStatus
from delivery.outcome import LONGEST_DELAY
from delivery.tables import (
    NEW_DELIVERY,
    decisions,
    deliveries,
    has_untried,
    is_queued,
    run_audiences,
    runs,
)
from delivery.tally import Tally
from storage.aliveness import current_epoch
from storage.database import Tx, insert_into
from storage.many import is_one_of
from storage.prepared import Prepared

SKIPPED_AT_ONCE = 10_000
CANCELLED = "cancelled by a person"


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


def must_lead(tx: Tx, epoch: int) -> None:
    """Raise SteppedDown when a newer leader has raised the epoch."""
    if current_epoch(tx) != epoch:
        raise SteppedDown


def claim(tx: Tx, new: NewRun, *, epoch: int, now: datetime) -> int:
    """Make the run of a slot, its content and audience frozen; return its id. Cheap where many have one content.

    The caller has written the slot's row in the same durable transaction. A run that can't be carried out is made as
    failed, with its reason, so that the slot has an answer.
    """
    impossible = new.snapshot is None
    content, sha256 = _as_kept(new.snapshot)
    run_id = _MAKE_RUN.insert(
        tx,
        {
            "schedule_id": new.schedule_id,
            "campaign_id": new.campaign_id,
            "slot": new.slot,
            "zone": new.zone,
            "origin": new.origin,
            "request_key": new.request_key,
            "status": RunStatus.FAILED if impossible else RunStatus.CLAIMED,
            "reason": new.reason,
            "content": content,
            "content_sha256": sha256,
            "recipient_ceiling": new.recipient_ceiling,
            "materialised": impossible,
            "waits_for": new.waits_for,
            "epoch": epoch,
            "claimed_at": now,
            "finished_at": now if impossible else None,
        },
    )
    audience_ids = () if new.snapshot is None else new.snapshot.audience_ids
    for audience_id in dict.fromkeys(audience_ids):
        _NAME_AUDIENCE.run(tx, {"run_id": run_id, "audience_id": audience_id})
    if new.snapshot is not None and new.snapshot.attachments:
        files.keep_for_run(tx, run_id, new.snapshot.attachments)
    return run_id


_GIVEN = (
    "schedule_id",
    "campaign_id",
    "slot",
    "zone",
    "origin",
    "request_key",
    "status",
    "reason",
    "content_sha256",
    "recipient_ceiling",
    "materialised",
    "waits_for",
    "epoch",
    "claimed_at",
    "finished_at",
)
_MAKE_RUN = Prepared(
    insert(runs).values(
        **{name: bindparam(name) for name in _GIVEN},
        content=bindparam("content", type_=Text),  # made into JSON once for all runs of a campaign
        cursor=0,
        told=False,
        **dict.fromkeys(COUNTERS, 0),
    )
)
_NAME_AUDIENCE = Prepared(insert(run_audiences))


@functools.lru_cache(maxsize=8)
def _as_kept(snapshot: Snapshot | None) -> tuple[str, str]:
    """Return the content of a run as JSON, and its hash."""
    content = {} if snapshot is None else asdict(snapshot)
    return orjson.dumps(content).decode(), content_sha256(content)


def content_sha256(content: Mapping[str, Any]) -> str:
    """Return the hash of a run's frozen content: of its JSON with sorted keys."""
    return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def materialise(tx: Tx, run_id: int, *, rows: int, now: datetime) -> bool:
    """Make the deliveries of the next so many recipients of a run; return whether the cursor is through.

    A cancelled run is made to the end too: nobody of its audience is without an answer.
    """
    run = tx.execute(
        select(
            runs.c.id,
            runs.c.status,
            runs.c.cursor,
            runs.c.materialised,
            runs.c.recipient_ceiling,
            runs.c.claimed_at,
        ).where(runs.c.id == run_id)
    ).one()
    if run.materialised:
        return True
    query = select(run_audiences.c.audience_id).where(run_audiences.c.run_id == run_id)
    audience_ids = sorted(tx.execute(query).scalars())
    upper = _end_of_piece(tx, run, audience_ids, rows)
    if upper is None:
        tx.execute(update(runs).where(runs.c.id == run_id).values(materialised=True))
        return True
    of_run = deliveries.c.run_id == run_id
    last = tx.execute(select(func.max(deliveries.c.id)).where(of_run)).scalar_one() or 0
    # One person on two lists gets one email: the second row is refused by the unique key.
    made = tx.execute(
        insert_into(tx, deliveries)
        .from_select(NEW_DELIVERY, _piece(run, audience_ids, upper, now))
        .on_conflict_do_nothing(),
        execution_options={"preserve_rowcount": True},
    ).rowcount
    # Counted once more, not returned by the insertion: that would take as long again as making them.
    is_skipped = deliveries.c.status == DeliveryStatus.SKIPPED
    of_piece = select(func.count()).where(of_run, deliveries.c.id > last, is_skipped)
    skipped = tx.execute(of_piece).scalar_one()
    queued = made - skipped
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


def _end_of_piece(
    tx: Tx, run: Row[*tuple[Any, ...]], audience_ids: Sequence[int], size: int
) -> int | None:
    """Return the id of the last recipient of the next piece; None when nobody is left."""
    if not audience_ids:
        return None
    # One walk along the index for each audience: a single IN would sort all that is left for every piece.
    walks = [
        select(
            select(recipients.c.id)
            .where(
                recipients.c.audience_id == audience_id,
                recipients.c.id > run.cursor,
                recipients.c.id <= run.recipient_ceiling,
            )
            .order_by(recipients.c.id)
            .limit(size)
            .subquery()
        )
        for audience_id in audience_ids
    ]
    together = union_all(*walks).subquery()
    next_ids = select(together.c.id).order_by(together.c.id).limit(size).subquery()
    upper: int | None = tx.execute(select(func.max(next_ids.c.id))).scalar_one()
    return upper


def _piece(
    run: Row[*tuple[Any, ...]], audience_ids: Sequence[int], upper: int, now: datetime
) -> Select[Any]:
    """Return the deliveries to be made, in the order of NEW_DELIVERY."""
    cancelled = literal(value=run.status == RunStatus.CANCELLED)
    instant = deliveries.c.updated_at.type
    return (
        select(
            literal(run.id),
            recipients.c.id,
            recipients.c.email,
            recipients.c.address_key,
            case(
                (cancelled, DeliveryStatus.SKIPPED.value),
                (suppressions.c.id.is_not(None), DeliveryStatus.SKIPPED.value),
                else_=DeliveryStatus.QUEUED.value,
            ),
            case((cancelled, "cancelled"), else_=suppressions.c.reason),
            literal(0),
            literal(0),
            literal(min(run.claimed_at, now), type_=instant),
            literal(now, type_=instant),
        )
        .select_from(
            recipients.outerjoin(
                suppressions, suppressions.c.address_key == recipients.c.address_key
            )
        )
        .where(
            recipients.c.audience_id.in_(audience_ids),
            recipients.c.id > run.cursor,
            recipients.c.id <= upper,
        )
        .order_by(recipients.c.id)
    )


def still_waits() -> ColumnElement[bool]:
    """Return the condition that a run waits: one before it has recipients to whom nothing was tried yet.

    waits_for is the newest of those; an older one of the schedule may be on its way still.
    """
    earlier = runs.alias("earlier")
    return exists().where(
        earlier.c.schedule_id == runs.c.schedule_id,
        earlier.c.id <= runs.c.waits_for,
        earlier.c.finished_at.is_(None),
        or_(earlier.c.materialised.is_(False), has_untried(earlier)),
    )


def start(tx: Tx, run_id: int, now: datetime) -> bool:
    """Let a claimed run go, once its deliveries are made and the run it waits for has nobody untried left."""
    done = tx.execute(
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.status == RunStatus.CLAIMED,
            runs.c.materialised.is_(True),
            ~still_waits(),
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
            status=to,
            reason=reason,
            # A plain None would be JSON's null, which is not NULL.
            refused_ids=null() if refused_ids is None else list(refused_ids),
        )
    )
    return done.rowcount == 1


def skip_unsent(tx: Tx, run_id: int, *, reason: str, now: datetime) -> int:
    """Skip what of a run was surely not sent; return how many are not queued any more.

    Only a piece of a large run: no transaction may keep the others waiting for long. Nothing more is begun meanwhile.
    What is leased is left to its holder, who gives it back, or to the next leader: after the death of a machine, and
    in a copy of the directory, it may have been sent. What is on its way keeps going. What was to be sent again by the
    rule for doubts is in doubt as it was before: its first try may have arrived.
    """
    queued = select(deliveries.c.id).where(deliveries.c.run_id == run_id, is_queued)
    unsent = deliveries.c.id.in_(queued.limit(SKIPPED_AT_ONCE))
    settled = {"updated_at": now, "lease": None}
    doubts = tx.execute(
        update(deliveries)
        .where(unsent, deliveries.c.resends > 0)
        .values(
            status=DeliveryStatus.IN_DOUBT, reason=f"in doubt; not sent again: {reason}", **settled
        )
    ).rowcount
    skipped = tx.execute(
        update(deliveries)
        .where(unsent, deliveries.c.resends == 0)
        .values(status=DeliveryStatus.SKIPPED, reason=reason, **settled)
    ).rowcount
    tally = Tally()
    tally.move(run_id, DeliveryStatus.QUEUED, DeliveryStatus.IN_DOUBT, doubts)
    tally.move(run_id, DeliveryStatus.QUEUED, DeliveryStatus.SKIPPED, skipped)
    tally.write(tx)
    return doubts + skipped


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
            first_attempt_at=None,  # the time until somebody clicked is not counted as trying
            updated_at=now,
            lease=None,
        )
    )
    tally = Tally()
    tally.move(run_id, DeliveryStatus.FAILED, DeliveryStatus.QUEUED, done.rowcount)
    tally.write(tx)
    return done.rowcount


def finish(tx: Tx, run_id: int, now: datetime) -> bool:
    """End a run in which nothing is queued, leased or sending any more; return whether it ended now.

    One that refusals have paused is kept open for the person who may queue those refusals again.
    """
    everybody_failed = and_(runs.c.recipients > 0, runs.c.failed == runs.c.recipients)
    was_cancelled = exists().where(
        decisions.c.run_id == runs.c.id, decisions.c.action == Action.CANCEL
    )
    cancelled = or_(runs.c.status == RunStatus.CANCELLED, was_cancelled)
    done = tx.execute(
        update(runs)
        .where(
            runs.c.id == run_id,
            runs.c.finished_at.is_(None),
            runs.c.materialised.is_(True),
            or_(
                runs.c.status.in_([RunStatus.RUNNING, RunStatus.HELD, RunStatus.CANCELLED]),
                and_(runs.c.status == RunStatus.PAUSED, runs.c.refused_ids.is_(null())),
            ),
            runs.c.queued == 0,
            runs.c.sending == 0,
        )
        .values(
            status=case(
                (cancelled, RunStatus.CANCELLED.value),
                (everybody_failed, RunStatus.FAILED.value),
                else_=RunStatus.COMPLETED.value,
            ),
            reason=case(
                (cancelled, func.coalesce(runs.c.reason, CANCELLED)),
                (everybody_failed, "every recipient failed"),
                else_=None,
            ),
            finished_at=now,
        )
    )
    return done.rowcount == 1


def mark_told(tx: Tx, run_ids: Collection[int]) -> None:
    """Say that the ends of these runs have reached the schedule store."""
    tx.execute(update(runs).where(is_one_of(runs.c.id, run_ids)).values(told=True))


def free_request_key(tx: Tx, run_id: int) -> None:
    """Let the Idempotency-Key that made this run be used again."""
    tx.execute(update(runs).where(runs.c.id == run_id).values(request_key=None))


def go_back(tx: Tx, now: datetime) -> None:
    """Let no delivery wait for a time that the clock has gone back from."""
    untried = and_(deliveries.c.attempts == 0, deliveries.c.next_attempt_at > now)
    too_late = deliveries.c.next_attempt_at > now + LONGEST_DELAY
    tx.execute(
        update(deliveries).where(is_queued, or_(untried, too_late)).values(next_attempt_at=now)
    )
    tx.execute(
        update(deliveries)
        .where(is_queued, deliveries.c.first_attempt_at > now)
        .values(first_attempt_at=now)
    )
