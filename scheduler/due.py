"""Decides what becomes of slots that are due. Pure: schedules and times come in, decisions go out.

Nothing is claimed here. What is decided is written by the tick, where the unique key of the slot has the last word.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.model import Decision, Predecessor, SlotDecision, Standing
from scheduler.model import CatchUp, Overlap, Schedule, Slot
from scheduler.recurrence import (
    at_most_daily,
    count_between,
    latest_slots,
    next_slot,
    slots_after,
    slots_between,
)

MOST_ROWS = 100
CHECK_THE_CLOCK = "more than 100 slots were missed: check the clock"
_GRACE = timedelta(minutes=1)


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
) -> Verdict | None:
    """Say what becomes of the schedule's slots that have waited for the buffer; None when there are none.

    Slots older than the window go by catch_up. Of the others only the latest is claimed, the earlier ones are merged
    into its run: nobody gets ten mails because the server was down for ten slots.
    """
    if not schedule.enabled or is_used_up(schedule, standing):
        return None
    after, until = standing.decided_until, now - buffer
    if until <= after:
        return None
    # A window shorter than the buffer would hold every slot there is: what was claimable only a moment ago is not late.
    late_until = min(until, now - max(window, buffer + min(window, _GRACE)))
    late = _stretch(schedule, standing, after, late_until)
    recent = _stretch(schedule, standing, max(after, late_until), until)
    if late.newest is None and recent.newest is None:
        return None
    newest = recent.newest or late.newest
    assert newest is not None
    if schedule.catch_up == CatchUp.SEND and recent.newest is None:
        recent, late = late, _NOTHING
    claim, rest = recent.newest, recent.without_newest()
    rows: list[SlotDecision] = []
    match schedule.catch_up:
        case CatchUp.HOLD:
            rows += late.rows(
                Decision.HELD, "missed: the server was not running, or the clock jumped"
            )
        case CatchUp.SKIP:
            rows += late.rows(Decision.SKIPPED, "catch_up")
        case CatchUp.SEND:
            rows += late.rows(Decision.MERGED, "one run for all that were missed")
    waits_for = None
    if claim is not None and predecessor is not None and predecessor.untried:
        if schedule.overlap == Overlap.SKIP or predecessor.waits:
            rows += (rest.with_newest(claim)).rows(Decision.SKIPPED, "overlap")
            claim, rest = None, _NOTHING
        else:
            waits_for = predecessor.run_id
    rows += rest.rows(Decision.MERGED, "a later slot was due at the same time")
    return Verdict(
        schedule=schedule,
        standing=standing,
        claim=claim,
        waits_for=waits_for,
        rows=tuple(rows),
        decided_until=newest.at,
    )


def is_used_up(schedule: Schedule, standing: Standing) -> bool:
    """Whether max_runs slots have been claimed."""
    return schedule.max_runs is not None and standing.claimed >= schedule.max_runs


def next_undecided(schedule: Schedule, standing: Standing) -> Slot | None:
    """Return the next slot that will be decided: what next_run shows, whether the schedule is enabled or not."""
    if is_used_up(schedule, standing):
        return None
    candidates = slots_after(schedule, standing.decided_until)
    return next((slot for slot in candidates if not is_decided(schedule, standing, slot)), None)


def is_decided(schedule: Schedule, standing: Standing, slot: Slot) -> bool:
    """Whether a slot beyond the watermark is decided all the same: by its key, or with its whole day."""
    if slot.key in standing.keys:
        return True
    return standing.decided_day is not None and (
        at_most_daily(schedule) and slot.local.date() == standing.decided_day
    )


def passed_over(
    schedule: Schedule, standing: Standing, *, until: datetime, reason: str
) -> tuple[SlotDecision, ...]:
    """Return rows for the slots that were due and not decided when the schedule was changed or resumed."""
    stretch = _stretch(schedule, standing, standing.decided_until, until)
    return tuple(stretch.rows(Decision.SKIPPED, reason))


def as_row(slot: Slot, decision: Decision, reason: str | None) -> SlotDecision:
    """Return the row that says this about a slot."""
    return SlotDecision(
        key=slot.key, at=slot.at, local=slot.local.isoformat(), decision=decision, reason=reason
    )


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

    def with_newest(self, slot: Slot) -> "_Stretch":
        return _Stretch((*self.slots, slot), self.count + 1)

    def rows(self, decision: Decision, reason: str) -> list[SlotDecision]:
        if self.count <= MOST_ROWS:
            return [as_row(slot, decision, reason) for slot in self.slots]
        first, last = self.slots[0], self.slots[-1]
        return [
            SlotDecision(
                key=last.key,
                at=first.at,
                local=first.local.isoformat(),
                decision=decision,
                reason=f"{reason}; {CHECK_THE_CLOCK}",
                until=last.at,
                count=self.count,
            )
        ]


_NOTHING = _Stretch((), 0)


def _stretch(schedule: Schedule, standing: Standing, after: datetime, until: datetime) -> _Stretch:
    if until <= after:
        return _NOTHING
    count = count_between(schedule, after, until)
    if count > MOST_ROWS + 1:
        first = next_slot(schedule, after)
        assert first is not None
        # Decided ones among so many are few, and stand as they are: their rows are written already.
        return _Stretch((first, *latest_slots(schedule, after, until, limit=2)), count)
    found = slots_between(schedule, after, until)
    undecided = tuple(s for s in found if not is_decided(schedule, standing, s))
    return _Stretch(undecided, len(undecided))
