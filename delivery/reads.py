"""What the ledger says: runs, deliveries, slots, for pages, reports and the scheduler. Reads only."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from sqlalchemy import Row, case, exists, func, or_, select

from campaigns.model import FrozenFile, InDoubtRule, Snapshot
from delivery.decisions import BY_RULE, Action
from delivery.model import (
    Counts,
    Decision,
    Delivery,
    DeliveryStatus,
    Origin,
    Predecessor,
    Run,
    RunStatus,
    SlotRow,
)
from delivery.tables import (
    decisions,
    deliveries,
    has_doubts,
    has_untried,
    is_leased,
    is_taken,
    run_audiences,
    runs,
    slots,
)
from foundation.errors import NotFound
from storage.database import Tx
from storage.many import is_one_of


def run(tx: Tx, run_id: int) -> Run:
    """Return a run. Raises NotFound."""
    row = tx.execute(select(runs).where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return _run(row)


def list_runs(
    tx: Tx,
    *,
    schedule_id: int | None,
    status: RunStatus | None,
    before: int | None,
    limit: int,
) -> list[Run]:
    """Return runs, newest first; before: only those with a smaller id."""
    query = select(runs)
    if schedule_id is not None:
        query = query.where(runs.c.schedule_id == schedule_id)
    if status is not None:
        query = query.where(runs.c.status == status)
    if before is not None:
        query = query.where(runs.c.id < before)
    return [_run(r) for r in tx.execute(query.order_by(runs.c.id.desc()).limit(limit))]


def unfinished(tx: Tx) -> list[Run]:
    """Return all runs that have not ended, oldest first."""
    query = select(runs).where(runs.c.finished_at.is_(None)).order_by(runs.c.id)
    return [_run(r) for r in tx.execute(query)]


def unfinished_of(tx: Tx, schedule_id: int) -> Run | None:
    """Return the newest run of a schedule that has not ended."""
    query = (
        select(runs)
        .where(runs.c.schedule_id == schedule_id, runs.c.finished_at.is_(None))
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    row = tx.execute(query).one_or_none()
    return None if row is None else _run(row)


def run_of_request(tx: Tx, schedule_id: int, request_key: str) -> Run | None:
    """Return the run that was made under this Idempotency-Key."""
    query = select(runs).where(runs.c.schedule_id == schedule_id, runs.c.request_key == request_key)
    row = tx.execute(query).one_or_none()
    return None if row is None else _run(row)


def family(tx: Tx, run_id: int) -> list[int]:
    """Return a run and all that were made, with it, from one another for those whom they had not reached."""
    first = select(func.coalesce(runs.c.family, runs.c.id)).where(runs.c.id == run_id)
    is_first = runs.c.id == first.scalar_subquery()
    query = select(runs.c.id).where(or_(is_first, runs.c.family == first.scalar_subquery()))
    return list(tx.execute(query).scalars())


def runs_untold(tx: Tx) -> dict[int, int]:
    """Return the runs that have ended since the schedule store was last told, with their schedules."""
    query = select(runs.c.id, runs.c.schedule_id).where(
        runs.c.finished_at.is_not(None), runs.c.told.is_(False)
    )
    return {r.id: r.schedule_id for r in tx.execute(query)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """A schedule's runs, in short. last_status is of the newest run."""

    total_runs: int
    last_run: datetime
    last_status: RunStatus


def pasts(tx: Tx, schedule_ids: Collection[int]) -> dict[int, Past]:
    """Return the past of each of these schedules; one without runs is left out."""
    totals = (
        select(
            runs.c.schedule_id,
            func.count().label("total"),
            func.max(runs.c.claimed_at).label("last"),
            func.max(runs.c.id).label("newest"),
        )
        # One for the missing of an earlier run is no turn of its schedule.
        .where(is_one_of(runs.c.schedule_id, schedule_ids), runs.c.origin != Origin.SEND_MISSING)
        .group_by(runs.c.schedule_id)
        .subquery()
    )
    query = select(totals.c.schedule_id, totals.c.total, totals.c.last, runs.c.status).join(
        runs, runs.c.id == totals.c.newest
    )
    return {
        r.schedule_id: Past(total_runs=r.total, last_run=r.last, last_status=RunStatus(r.status))
        for r in tx.execute(query)
    }


def failures(tx: Tx, run_ids: Collection[int]) -> dict[int, str]:
    """Return, of these runs that have ended, the schedules of those that mostly failed, each with what happened.

    Mostly: could not be carried out, or more recipients failed than did not, of those to whom it was tried. Cancelled
    runs, those for the missing of another, and those that a person has let go on after their end say nothing new
    about a schedule.
    """
    was_reopened = exists().where(
        decisions.c.run_id == runs.c.id,
        decisions.c.action == Action.RESEND,
        decisions.c.by != BY_RULE,
    )
    tried = runs.c.sent + runs.c.failed + runs.c.in_doubt
    query = select(
        runs.c.id,
        runs.c.schedule_id,
        runs.c.status,
        runs.c.reason,
        runs.c.failed,
        tried.label("tried"),
    ).where(
        is_one_of(runs.c.id, run_ids),
        runs.c.status.in_([RunStatus.COMPLETED, RunStatus.FAILED]),
        runs.c.origin != Origin.SEND_MISSING,
        ~was_reopened,
        or_(runs.c.status == RunStatus.FAILED, 2 * runs.c.failed > tried),
    )
    found = {}
    for r in tx.execute(query):
        if not r.failed:
            found[r.schedule_id] = f"run {r.id} {r.reason}"
            continue
        said = _commonest_failure(tx, r.id)
        found[r.schedule_id] = f"run {r.id} failed for {r.failed:,} of {r.tried:,}, mostly: {said}"
    return found


def _commonest_failure(tx: Tx, run_id: int) -> str:
    code, reply = deliveries.c.smtp_code, deliveries.c.smtp_reply
    reason = case((code.is_(None), deliveries.c.reason))
    query = (
        select(code.label("code"), reply.label("reply"), reason.label("reason"))
        .where(deliveries.c.run_id == run_id, deliveries.c.status == DeliveryStatus.FAILED)
        .group_by(code, reply, reason)
        .order_by(func.count().desc(), func.min(deliveries.c.id))
        .limit(1)
    )
    row = tx.execute(query).one()
    return row.reason or f"{row.code} {row.reply}".strip()


def schedules_on_their_way(tx: Tx) -> dict[int, set[RunStatus]]:
    """Return the schedules that have unfinished runs, and how those stand."""
    found: dict[int, set[RunStatus]] = {}
    query = select(runs.c.schedule_id, runs.c.status).where(runs.c.finished_at.is_(None))
    for schedule_id, status in tx.execute(query):
        found.setdefault(schedule_id, set()).add(RunStatus(status))
    return found


def predecessors(tx: Tx, schedule_ids: Collection[int]) -> dict[int, Predecessor]:
    """Return, for each of these schedules that has unfinished runs, what a new slot would overlap with."""
    query = (
        select(
            runs.c.id,
            runs.c.schedule_id,
            runs.c.waits_for,
            runs.c.status,
            or_(runs.c.materialised.is_(False), has_untried(runs)).label("untried"),
        )
        .where(is_one_of(runs.c.schedule_id, schedule_ids), runs.c.finished_at.is_(None))
        .order_by(runs.c.id)
    )
    found: dict[int, Predecessor] = {}
    for r in tx.execute(query):
        older = found.get(r.schedule_id)
        found[r.schedule_id] = Predecessor(
            run_id=r.id,
            untried=bool(r.untried) or (older is not None and older.untried),
            waits=(r.status == RunStatus.CLAIMED and r.waits_for is not None)
            or (older is not None and older.waits),
        )
    return found


def being_materialised(tx: Tx, audience_id: int) -> int | None:
    """Return a run that is still making its deliveries from this audience: it may not change meanwhile."""
    query = (
        select(runs.c.id)
        .join(run_audiences, run_audiences.c.run_id == runs.c.id)
        .where(
            run_audiences.c.audience_id == audience_id,
            runs.c.materialised.is_(False),
            runs.c.finished_at.is_(None),
        )
        .limit(1)
    )
    found: int | None = tx.execute(query).scalar_one_or_none()
    return found


def is_sending(tx: Tx) -> bool:
    """Say whether any run is being made or sent."""
    under_way = runs.c.status.in_([RunStatus.CLAIMED, RunStatus.RUNNING])
    query = select(runs.c.id).where(runs.c.finished_at.is_(None), under_way).limit(1)
    return tx.execute(query).first() is not None


def needing_account(tx: Tx, account_id: int) -> int | None:
    """Return an unfinished run that sends through this account."""
    return next((r.id for r in unfinished(tx) if account_id in r.content.account_ids), None)


def leased_through(tx: Tx, *, before: int, but_of: Collection[int]) -> dict[int, int]:
    """Return how many deliveries are leased through which account by epochs before this one, but for those."""
    query = (
        select(deliveries.c.account_id, func.count().label("deliveries"))
        .where(is_taken, is_leased, deliveries.c.epoch < before, deliveries.c.epoch.not_in(but_of))
        .group_by(deliveries.c.account_id)
    )
    return {row.account_id: row.deliveries for row in tx.execute(query)}


class Progress(Protocol):
    """What a run's rate is made from."""

    @property
    def started_at(self) -> datetime | None: ...
    @property
    def finished_at(self) -> datetime | None: ...
    @property
    def counts(self) -> Counts: ...


def rate_per_second(run: Progress, now: datetime) -> float | None:
    """Return how many recipients a second this run has settled so far; None before there is anything to say."""
    if run.started_at is None:
        return None
    seconds = ((run.finished_at or now) - run.started_at).total_seconds()
    settled = run.counts.sent + run.counts.failed + run.counts.in_doubt
    if not settled or seconds <= 0:
        return None
    return round(settled / seconds, 3)


def totals_by_run_status(tx: Tx) -> dict[str, int]:
    """Return how many runs stand how."""
    query = select(runs.c.status, func.count().label("runs")).group_by(runs.c.status)
    return {r.status: r.runs for r in tx.execute(query)}


def totals_by_delivery_status(tx: Tx) -> dict[str, int]:
    """Return how many deliveries of all runs stand how, from the runs' counters."""
    names = ("queued", "sending", "sent", "failed", "skipped", "in_doubt")
    row = tx.execute(select(*(func.coalesce(func.sum(runs.c[n]), 0) for n in names))).one()
    return dict(zip(names, (int(v) for v in row), strict=True))


def runs_in_doubt(tx: Tx) -> dict[int, int]:
    """Return the runs that have deliveries in doubt, with how many."""
    query = select(runs.c.id, runs.c.in_doubt).where(has_doubts)
    return {r.id: r.in_doubt for r in tx.execute(query)}


def list_deliveries(
    tx: Tx,
    run_id: int,
    *,
    status: DeliveryStatus | None,
    q: str | None,
    after: int | None,
    limit: int,
    before: int | None = None,
) -> list[Delivery]:
    """Return a run's deliveries in the order they were made; q is a part of the address. Queued includes leased.

    before: those that come last of the ones with a smaller id, in place of those that come after one.
    """
    query = select(deliveries).where(deliveries.c.run_id == run_id)
    if status == DeliveryStatus.QUEUED:
        wanted = [DeliveryStatus.QUEUED, DeliveryStatus.LEASED]
        query = query.where(deliveries.c.status.in_(wanted))
    elif status is not None:
        query = query.where(deliveries.c.status == status)
    if q:
        query = query.where(deliveries.c.address_key.contains(q.casefold(), autoescape=True))
    if after is not None:
        query = query.where(deliveries.c.id > after)
    if before is not None:
        query = query.where(deliveries.c.id < before).order_by(deliveries.c.id.desc())
        return [_delivery(r) for r in tx.execute(query.limit(limit))][::-1]
    return [_delivery(r) for r in tx.execute(query.order_by(deliveries.c.id).limit(limit))]


def run_of_delivery(tx: Tx, delivery_id: int) -> int | None:
    """Return the run of a delivery; None where there is no such delivery (any more)."""
    query = select(deliveries.c.run_id).where(deliveries.c.id == delivery_id)
    found: int | None = tx.execute(query).scalar_one_or_none()
    return found


def deliveries_named(tx: Tx, run_id: int, delivery_ids: Collection[int]) -> list[Delivery]:
    """Return these deliveries of a run, in the order they were made; what is none of its own is left out."""
    query = select(deliveries).where(
        deliveries.c.run_id == run_id, deliveries.c.id.in_(delivery_ids)
    )
    return [_delivery(r) for r in tx.execute(query.order_by(deliveries.c.id))]


def past_slots(tx: Tx, schedule_id: int, *, before: datetime | None, limit: int) -> list[SlotRow]:
    """Return a schedule's decided slots, newest first; before: only earlier ones."""
    query = select(slots).where(slots.c.schedule_id == schedule_id)
    if before is not None:
        query = query.where(slots.c.at < before)
    query = query.order_by(slots.c.at.desc(), slots.c.id.desc()).limit(limit)
    return [_slot(r) for r in tx.execute(query)]


def slots_between(
    tx: Tx, start: datetime, end: datetime, *, limit: int
) -> list[tuple[int, SlotRow]]:
    """Return the decided slots of all schedules from start to end, with their schedules' ids, oldest first."""
    query = (
        select(slots)
        .where(slots.c.at >= start, slots.c.at <= end)
        .order_by(slots.c.at, slots.c.id)
        .limit(limit)
    )
    return [(r.schedule_id, _slot(r)) for r in tx.execute(query)]


def claimed_run_id(tx: Tx, schedule_id: int) -> int | None:
    """Return the run of the newest slot of a schedule that was claimed."""
    query = (
        select(slots.c.run_id)
        .where(slots.c.schedule_id == schedule_id, slots.c.decision == Decision.CLAIMED)
        .order_by(slots.c.id.desc())
        .limit(1)
    )
    found: int | None = tx.execute(query).scalar_one_or_none()
    return found


def _run(r: Row[Any]) -> Run:
    return Run(
        id=r.id,
        schedule_id=r.schedule_id,
        campaign_id=r.campaign_id,
        slot=r.slot,
        zone=r.zone,
        origin=Origin(r.origin),
        made_from=r.made_from,
        status=RunStatus(r.status),
        reason=r.reason,
        content=_snapshot(r.campaign_id, r.content),
        content_sha256=r.content_sha256,
        materialised=r.materialised,
        claimed_at=r.claimed_at,
        started_at=r.started_at,
        finished_at=r.finished_at,
        counts=Counts(
            recipients=r.recipients,
            queued=r.queued,
            sending=r.sending,
            sent=r.sent,
            failed=r.failed,
            skipped=r.skipped,
            in_doubt=r.in_doubt,
        ),
    )


def _snapshot(campaign_id: int, content: dict[str, Any]) -> Snapshot:
    """Return the frozen content; a run that could not be carried out has none."""
    return Snapshot(
        campaign_id=campaign_id,
        name=content.get("name", ""),
        subject=content.get("subject", ""),
        html=content.get("html", ""),
        text=content.get("text"),
        audience_ids=tuple(content.get("audience_ids", ())),
        account_ids=tuple(content.get("account_ids", ())),
        from_name=content.get("from_name"),
        reply_to=content.get("reply_to"),
        in_doubt=InDoubtRule(content.get("in_doubt", InDoubtRule.HOLD)),
        # Runs that were made before there were attachments name none.
        attachments=tuple(FrozenFile(**file) for file in content.get("attachments", ())),
    )


def _delivery(r: Row[Any]) -> Delivery:
    status = DeliveryStatus(r.status)
    waits = status == DeliveryStatus.QUEUED and r.attempts > 0
    return Delivery(
        id=r.id,
        run_id=r.run_id,
        email=r.email,
        status=DeliveryStatus.QUEUED if status == DeliveryStatus.LEASED else status,
        reason=r.reason,
        attempts=r.attempts,
        next_attempt_at=r.next_attempt_at if waits else None,
        account_id=r.account_id,
        smtp_code=r.smtp_code,
        smtp_reply=r.smtp_reply,
        message_id=r.message_id,
        updated_at=r.updated_at,
    )


def _slot(r: Row[Any]) -> SlotRow:
    return SlotRow(
        id=r.id,
        key=r.key,
        at=r.at,
        local=r.local,
        until=r.until,
        slots=r.slots,
        decision=Decision(r.decision),
        reason=r.reason,
        run_id=r.run_id,
        decided_at=r.decided_at,
    )
