"""Decides what becomes of slots that are due. Pure: schedules and times come in, decisions go out.

Nothing is claimed here. What is decided is written by the tick, where the unique key of the slot has the last word.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from delivery.model import Decision, Predecessor, SlotDecision, Standing
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Slot
from scheduler.recurrence import (
    at_most_daily,
    count_between,
    latest_slots,
    slots_after,
    slots_between,
)

MOST_ROWS = 100
# Beyond that a count is not worth the time that the store's lock is held for it.
MOST_COUNTED = 10_000
SKIPPED_BY_A_PERSON = "skipped by a person"
OVERLAP = "overlap"
MISSED = "missed: the server was not running, or the clock jumped"
PAUSED = "paused"
DOUBTED = "this data directory is in doubt"
CHECK_THE_CLOCK = "more than 100 slots were missed: check the clock"
_LEAST_GRACE = timedelta(seconds=5)
_MOST_GRACE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be written about one schedule.

    rows are the slots that do not run by themselves (skipped, held, merged into the claimed one); decided_until is
    the new watermark.
    """

    schedule: Schedule
    standing: Standing
    claim: Slot | None
    waits_for: int | None
    rows: tuple[SlotDecision, ...]
    decided_until: datetime


def decide(
    schedule: Schedule,
    standing: Standing,
    *,
    predecessor: Predecessor | None,
    now: datetime,
    buffer: timedelta,
    window: timedelta,
    is_doubted: bool,
) -> Verdict | None:
    """Say what becomes of the schedule's slots that have waited for the buffer; None when there are none.

    Slots older than the window go by catch_up. Of the others only the latest is claimed, the earlier ones are merged
    into its run: nobody gets ten mails because the server was down for ten slots. In a data directory that is in doubt
    all are held, whatever catch_up says: another copy of it may have sent them.
    """
    if is_used_up(schedule, standing):
        return None
    if not schedule.enabled:
        return _decide_paused(schedule, standing, until=now - buffer)
    after, until = standing.decided_until, now - buffer
    if until <= after:
        return None
    if is_doubted:
        return _without_a_run(
            schedule, standing, until=until, decision=Decision.HELD, reason=DOUBTED
        )
    # A window shorter than the buffer would hold every slot there is: what was claimable only a moment ago is not late.
    grace = max(_LEAST_GRACE, min(window, _MOST_GRACE))
    late_until = min(until, now - max(window, buffer + grace))
    late, recent = _split(schedule, standing, after, late_until, until)
    if late.newest is None and recent.newest is None:
        return None
    newest = recent.newest or late.newest
    assert newest is not None
    if schedule.catch_up == CatchUp.SEND and recent.newest is None:
        recent, late = late, _NOTHING
    claim, merged = recent.newest, recent.without_newest()
    rows: list[SlotDecision] = []
    waits_for = None
    if claim is not None and predecessor is not None and predecessor.untried:
        waits_for = predecessor.run_id
        if schedule.overlap == Overlap.SKIP or predecessor.waits:
            rows += recent.rows(schedule, Decision.SKIPPED, OVERLAP)
            claim, merged, waits_for = None, _NOTHING, None
    match schedule.catch_up:
        case CatchUp.HOLD:
            rows += late.rows(schedule, Decision.HELD, MISSED)
        case CatchUp.SKIP:
            rows += late.rows(schedule, Decision.SKIPPED, "catch_up")
        case CatchUp.SEND if claim is None:
            rows += late.rows(schedule, Decision.SKIPPED, OVERLAP)
        case CatchUp.SEND:
            rows += late.rows(schedule, Decision.MERGED, "one run for all that were missed")
    rows += merged.rows(schedule, Decision.MERGED, "a later slot was due at the same time")
    return Verdict(
        schedule=schedule,
        standing=standing,
        claim=claim,
        waits_for=waits_for,
        rows=tuple(rows),
        decided_until=newest.at,
    )


def _decide_paused(schedule: Schedule, standing: Standing, *, until: datetime) -> Verdict | None:
    """Skip the slot of a one-time schedule that falls into a pause: it is over, there is nothing to resume.

    Slots of a repeating one get their rows when it is resumed.
    """
    if schedule.schedule_type != ScheduleType.ONCE:
        return None
    return _without_a_run(schedule, standing, until=until, decision=Decision.SKIPPED, reason=PAUSED)


def _without_a_run(
    schedule: Schedule, standing: Standing, *, until: datetime, decision: Decision, reason: str
) -> Verdict | None:
    """Say the same of all slots that are due; None when there are none."""
    due = _stretch(schedule, standing, standing.decided_until, until)
    if due.newest is None:
        return None
    return Verdict(
        schedule=schedule,
        standing=standing,
        claim=None,
        waits_for=None,
        rows=tuple(due.rows(schedule, decision, reason)),
        decided_until=due.newest.at,
    )


def may_be_due(schedule: Schedule) -> bool:
    """Whether there is anything to decide about the schedule's slots: not while a repeating one is paused."""
    return schedule.enabled or schedule.schedule_type == ScheduleType.ONCE


def is_used_up(schedule: Schedule, standing: Standing) -> bool:
    """Whether max_runs slots have been claimed."""
    return schedule.max_runs is not None and standing.claimed >= schedule.max_runs


def next_undecided(schedule: Schedule, standing: Standing, now: datetime) -> Slot | None:
    """Return the next slot that will be decided: what next_run shows.

    Of a paused schedule the next from now on: those that pass during a pause never run.
    """
    return next(undecided(schedule, standing, now), None)


def undecided(schedule: Schedule, standing: Standing, now: datetime) -> Iterator[Slot]:
    """Yield the slots that will be decided, as far as max_runs leaves any."""
    left = None if schedule.max_runs is None else max(0, schedule.max_runs - standing.claimed)
    after = standing.decided_until if schedule.enabled else max(standing.decided_until, now)
    to_come = slots_after(schedule, after)
    return islice((s for s in to_come if not is_decided(schedule, standing, s)), left)


def is_decided(schedule: Schedule, standing: Standing, slot: Slot) -> bool:
    """Whether a slot beyond the watermark is decided all the same: by its key, its instant, or with its whole day.

    The instant counts where the clock has gone back, and the watermark with it: a rule that was changed since names
    the same moment otherwise. A one-time schedule's time was chosen for itself, whatever that day has seen.
    """
    if slot.key in standing.keys or slot.at in standing.instants:
        return True
    if any(first <= slot.at <= last for first, last in standing.stretches):
        return True
    if schedule.schedule_type == ScheduleType.ONCE or not standing.days:
        return False
    return at_most_daily(schedule) and slot.local.date() in standing.days


def passed_over(
    schedule: Schedule, standing: Standing, *, until: datetime, reason: str, edit: int
) -> tuple[SlotDecision, ...]:
    """Return rows for the slots that were due and not decided when the schedule was changed or resumed.

    Their keys carry the number of the edit: the floor stops these instants, and their names stay free, since the edit
    itself must not keep the same nominal time, in another zone say, from running.
    """
    stretch = _stretch(schedule, standing, standing.decided_until, until)
    rows = stretch.rows(schedule, Decision.SKIPPED, reason)
    return tuple(replace(row, key=f"{row.key}#edit{edit}") for row in rows)


def as_row(schedule: Schedule, slot: Slot, decision: Decision, reason: str | None) -> SlotDecision:
    """Return the row that says this about a slot."""
    return SlotDecision(
        key=slot.key,
        at=slot.at,
        local=slot.local.isoformat(),
        decision=decision,
        reason=reason,
        whole_day=_decides_day(schedule, decision, reason),
    )


def _decides_day(schedule: Schedule, decision: Decision, reason: str | None) -> bool:
    by_a_person = decision == Decision.SKIPPED and reason == SKIPPED_BY_A_PERSON
    decides = by_a_person or decision in (Decision.CLAIMED, Decision.HELD)
    return decides and at_most_daily(schedule)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Undecided slots in a row; of more than a hundred only the ends and the count."""

    slots: tuple[Slot, ...]
    count: int

    @property
    def newest(self) -> Slot | None:
        return self.slots[-1] if self.slots else None

    def without_newest(self) -> "_Stretch":
        return _Stretch(self.slots[:-1], max(0, self.count - 1))

    def rows(self, schedule: Schedule, decision: Decision, reason: str) -> list[SlotDecision]:
        if self.count <= MOST_ROWS:
            return [as_row(schedule, slot, decision, reason) for slot in self.slots]
        first, last = self.slots[0], self.slots[-1]
        return [
            SlotDecision(
                key=last.key,
                at=first.at,
                local=first.local.isoformat(),
                decision=decision,
                reason=f"{reason}; {CHECK_THE_CLOCK}",
                whole_day=_decides_day(schedule, decision, reason),
                until=last.at,
                count=self.count,
            )
        ]


_NOTHING = _Stretch((), 0)


def _split(
    schedule: Schedule,
    standing: Standing,
    after: datetime,
    late_until: datetime,
    until: datetime,
) -> tuple[_Stretch, _Stretch]:
    """Return the undecided slots up to late_until, and those after it; found by one walk where they are few."""
    found = slots_between(schedule, after, until, limit=MOST_ROWS + 2)
    if len(found) > MOST_ROWS + 1:
        late = _stretch(schedule, standing, after, late_until)
        return late, _stretch(schedule, standing, max(after, late_until), until)
    undecided = [s for s in found if not is_decided(schedule, standing, s)]
    late_ones = tuple(s for s in undecided if s.at <= late_until)
    recent_ones = tuple(undecided[len(late_ones) :])
    return _Stretch(late_ones, len(late_ones)), _Stretch(recent_ones, len(recent_ones))


def _stretch(schedule: Schedule, standing: Standing, after: datetime, until: datetime) -> _Stretch:
    if until <= after:
        return _NOTHING
    found = slots_between(schedule, after, until, limit=MOST_ROWS + 2)
    if len(found) > MOST_ROWS + 1:
        count = count_between(schedule, after, until, most=MOST_COUNTED)
        # Decided ones among so many are few, and stand as they are: their rows are written already.
        return _Stretch((found[0], *latest_slots(schedule, after, until, limit=2)), count)
    undecided = tuple(s for s in found if not is_decided(schedule, standing, s))
    return _Stretch(undecided, len(undecided))
