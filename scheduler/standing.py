"""How a schedule stands, told from the ledger: last_run, next_run, total_runs, status, and whether it is used up."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from delivery import reads, slots
from delivery.model import Decision, RunStatus, Standing
from delivery.reads import Past
from scheduler.due import next_undecided
from scheduler.model import Schedule, ScheduleType, Status
from storage.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the ledger says about some schedules."""

    now: datetime
    standings: dict[int, Standing]
    pasts: dict[int, Past]
    on_their_way: dict[int, set[RunStatus]]
    with_held: set[int]
    last_decisions: dict[int, Decision]


def record_of(tx: Tx, schedule_ids: Collection[int], now: datetime) -> Record:
    """Read what the ledger says about these schedules, in a handful of queries."""
    return Record(
        now=now,
        standings=slots.standings(tx, schedule_ids, now),
        pasts=reads.pasts(tx, schedule_ids),
        on_their_way=reads.schedules_on_their_way(tx),
        with_held=slots.schedules_with_held(tx),
        last_decisions=slots.last_decisions(tx, schedule_ids),
    )


def refreshed(schedule: Schedule, record: Record) -> Schedule:
    """Return the schedule with the ledger's fields brought up to date; one with no slots left is disabled."""
    standing = record.standings.get(schedule.id)
    if standing is None:  # not begun yet: the next look at the file lets it begin
        return schedule
    upcoming = next_undecided(schedule, standing, record.now)
    past = record.pasts.get(schedule.id)
    return replace(
        schedule,
        enabled=schedule.enabled and upcoming is not None,
        last_run=past.last_run if past else None,
        next_run=upcoming.at if upcoming else None,
        total_runs=past.total_runs if past else 0,
        status=_status(schedule, record, has_slots_left=upcoming is not None),
    )


def _status(schedule: Schedule, record: Record, *, has_slots_left: bool) -> Status:
    """Of several the first of running, held, paused, pending holds."""
    runs = record.on_their_way.get(schedule.id, set())
    if runs - {RunStatus.HELD}:
        return Status.RUNNING
    if runs or schedule.id in record.with_held:
        return Status.HELD
    if has_slots_left:
        return Status.PENDING if schedule.enabled else Status.PAUSED
    decision = record.last_decisions.get(schedule.id)
    if schedule.schedule_type == ScheduleType.ONCE and decision == Decision.SKIPPED:
        return Status.CANCELLED
    past = record.pasts.get(schedule.id)
    failed = past is not None and past.last_status == RunStatus.FAILED
    return Status.FAILED if failed else Status.COMPLETED
