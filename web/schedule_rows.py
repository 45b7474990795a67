"""Schedules as the dashboard lists them: joined with campaign, audiences, newest run and what waits for a person."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from assembly import Sendonce
from audience import store as audiences
from audience.model import Audience
from campaigns import store as campaigns
from campaigns.store import Outline
from delivery import outlines, outlook, reads
from delivery.outlines import HeldSlots, RunOutline
from delivery.outlook import NOTHING, Outlook
from scheduler.model import Schedule, ScheduleType, Status
from web.rules_told import rule_in_words
from web.tally import Tally, tally

SOON = timedelta(hours=24)
GROWN = 5
"""By how many times the people of the last run there may be before it is worth a word."""
OVER = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The newest run of a schedule, as its row shows it. reason: of one that is running, why it does not get on."""

    id: int
    status: str
    reason: str | None
    finished_at: datetime | None
    is_finished: bool
    seconds: float | None
    rate: float | None
    eta: float | None
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A schedule in a list.

    can_return: its entry was taken out of the file, and may be brought back.
    status: the schedule's, or "holding" while its slot is due and can still be taken back; starts_at: until when.
    people is how many the audiences hold, and an upper bound (is_bound) where somebody may be in two of them.
    times_last: how many times those of the last run that is, where it is many times.
    """

    id: int
    campaign_id: int
    campaign: str
    audiences: str
    people: int
    is_bound: bool
    times_last: int | None
    rule: str
    zone: str
    status: str
    next_run: datetime | None
    starts_at: datetime | None
    note: str | None
    total_runs: int
    is_once: bool
    is_over: bool
    can_return: bool
    enabled: bool
    held: HeldSlots | None
    run: RunSummary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What campaigns and audiences are called, read once for a page."""

    campaigns: Mapping[int, Outline]
    audiences: Mapping[int, Audience]

    def campaign(self, campaign_id: int) -> str:
        found = self.campaigns.get(campaign_id)
        return found.name if found else f"Campaign {campaign_id} (deleted)"

    def of_audiences(self, campaign_id: int) -> list[Audience]:
        found = self.campaigns.get(campaign_id)
        ids = found.audience_ids if found else ()
        return [self.audiences[i] for i in ids if i in self.audiences]


def names_of(house: Sendonce) -> Names:
    """Read what things are called."""
    with house.database.read() as tx:
        return Names(campaigns=campaigns.outlines(tx), audiences=audiences.by_id(tx))


def is_due(schedule: Schedule, *, now: datetime) -> bool:
    """Say whether the time of the schedule's next slot has come."""
    return schedule.enabled and schedule.next_run is not None and schedule.next_run <= now


def display_status(schedule: Schedule, *, now: datetime) -> str:
    """Return the schedule's status, or "holding": due, and not claimed yet."""
    if is_due(schedule, now=now) and schedule.status is Status.PENDING:
        return "holding"
    return schedule.status


def in_order(schedules: Iterable[Schedule], *, now: datetime) -> list[Schedule]:
    """Return what needs a person first, then what comes next, then what is over, newest first."""
    ranks = {"holding": 0, "held": 1, "running": 2, "pending": 3, "paused": 4}

    def place(schedule: Schedule) -> tuple[int, float]:
        status = display_status(schedule, now=now)
        if status in ranks:
            upcoming = schedule.next_run.timestamp() if schedule.next_run else float("inf")
            return ranks[status], upcoming
        last = schedule.last_run or schedule.created_at
        return len(ranks), -last.timestamp()

    return sorted(schedules, key=place)


def rows_of(
    house: Sendonce, schedules: Sequence[Schedule], names: Names, *, now: datetime
) -> list[Row]:
    """Return the rows of these schedules, in the order given."""
    ids = [schedule.id for schedule in schedules]
    with house.database.read() as tx:
        newest = outlines.newest_of(tx, ids)
        held = outlines.held_slots(tx, ids)
        expected = outlook.outlooks(tx, now)
    buffer = house.settings.execution_buffer
    taken_out = house.store.taken_out()
    return [
        _row(
            schedule,
            names,
            summary_of(run, expected, now=now) if (run := newest.get(schedule.id)) else None,
            held.get(schedule.id),
            buffer,
            now,
            can_return=schedule.id in taken_out,
        )
        for schedule in schedules
    ]


def _row(
    schedule: Schedule,
    names: Names,
    run: RunSummary | None,
    held: HeldSlots | None,
    buffer: timedelta,
    now: datetime,
    *,
    can_return: bool,
) -> Row:
    lists = names.of_audiences(schedule.campaign_id)
    status = display_status(schedule, now=now)
    people = sum(one.recipients for one in lists)
    last = run.tally.recipients if run else 0
    holds = status == "holding" and schedule.next_run is not None
    return Row(
        id=schedule.id,
        campaign_id=schedule.campaign_id,
        campaign=names.campaign(schedule.campaign_id),
        audiences=", ".join(one.name for one in lists),
        people=people,
        is_bound=len(lists) > 1,
        times_last=people // last if last and people > GROWN * last else None,
        rule=rule_in_words(schedule),
        zone=schedule.timezone,
        status=status,
        next_run=schedule.next_run,
        starts_at=schedule.next_run + buffer if holds and schedule.next_run else None,
        note=schedule.note,
        total_runs=schedule.total_runs,
        is_once=schedule.schedule_type is ScheduleType.ONCE,
        is_over=schedule.status in OVER,
        can_return=can_return,
        enabled=schedule.enabled,
        held=held,
        run=run,
    )


def summary_of(run: RunOutline, expected: Mapping[int, Outlook], *, now: datetime) -> RunSummary:
    """Return a run as rows show it; expected is what outlooks says of all that are running."""
    its = expected.get(run.id, NOTHING)
    started = run.started_at or run.claimed_at
    return RunSummary(
        id=run.id,
        status=run.status,
        reason=run.reason or its.waits_for,
        finished_at=run.finished_at,
        is_finished=run.finished_at is not None,
        seconds=(run.finished_at - started).total_seconds() if run.finished_at else None,
        rate=reads.rate_per_second(run, now),
        eta=its.eta_seconds,
        tally=tally(run.counts, finished=run.finished_at is not None),
    )
