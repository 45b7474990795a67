"""What people do with schedules: make, change, pause, skip a slot, decide about missed ones, run now.

An edit goes: id, file, copy, answer; the store sees to that. What is decided about slots goes to the ledger, under
the store's lock, so that it and a tick never decide at once.

by: who does it, for the audit log, which is written in the transaction of what it tells of.
"""

import heapq
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Literal
from zoneinfo import ZoneInfo

from campaigns import store as campaign_store
from delivery import control, reads, slots
from delivery.model import Decision, Origin, Run, Standing
from foundation.errors import Conflict, FieldError, Invalid, NotFound, Stale, Unavailable
from foundation.log import log_for
from identity import audit
from identity.audit import SENDONCE, Author
from scheduler.deeds import names, object_of
from scheduler.due import (
    MOST_COUNTED,
    SKIPPED_BY_A_PERSON,
    as_row,
    next_undecided,
    undecided,
)
from scheduler.fields import ScheduleFields, check
from scheduler.making import freeze, make_run
from scheduler.model import Schedule, ScheduleType, Slot, Status
from scheduler.parts import SchedulerParts
from scheduler.recurrence import count_between, first_slot
from scheduler.recurrence import upcoming as upcoming_slots
from scheduler.standing import record_of, refreshed
from scheduler.store import Book
from storage.aliveness import current_epoch
from storage.database import Tx

MOST_CALENDAR_ITEMS = 5000
DELETED = "the schedule was deleted"
log = log_for(__name__)

_MOMENT = timedelta(microseconds=1)
_DEFINITION = tuple(f.name for f in fields(ScheduleFields))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarItem:
    """A slot of any schedule, decided (with its decision and run) or still to come."""

    schedule_id: int
    campaign_id: int | None
    slot: datetime
    local: str
    decision: Decision | None
    reason: str | None
    run_id: int | None


def list_schedules(parts: SchedulerParts) -> list[Schedule]:
    """Return all schedules in the file's order, then those that can be brought back."""
    return parts.store.read()


def get(parts: SchedulerParts, schedule_id: int) -> Schedule:
    """Return a schedule. Raises NotFound."""
    found = next((s for s in parts.store.read() if s.id == schedule_id), None)
    if found is not None:
        return found
    with (
        parts.store.edit() as book
    ):  # settles what the file says, and knows the entries that can't be used
        return _of(book, schedule_id)


def create(parts: SchedulerParts, given: ScheduleFields, *, by: Author = SENDONCE) -> Schedule:
    """Make a schedule. Raises Invalid: every wrong field, an unknown campaign, a one-time schedule in the past."""
    with parts.store.edit(by=by) as book:
        # By the moment from which it counts: a time that passes while it is written down still runs.
        _check(parts, given, book.now)
        made = book.add(lambda schedule_id: _new(schedule_id, given, book.now))
    return _follow_up(parts, made.id)


def edit(
    parts: SchedulerParts,
    schedule_id: int,
    changes: Mapping[str, Any],
    *,
    expected_version: int | None,
    again_today: bool,
    by: Author = SENDONCE,
) -> Schedule:
    """Change some fields of a schedule; enabled=True brings back one that was taken out of the file.

    Raises NotFound, Stale, Invalid, and Conflict for a one-time schedule after its claim.
    """
    with parts.store.edit(by=by) as book:
        now = book.now
        if schedule_id in book.gone and changes.get("enabled") is True:
            _refuse_stale(book.gone[schedule_id], expected_version)
            old = book.bring_back(schedule_id)
        else:
            old = _of(book, schedule_id)
            _refuse_stale(old, expected_version)
        with parts.database.read() as tx:
            _refuse_too_late(tx, old)
        new = replace(old, **changes)
        given = ScheduleFields(**{name: getattr(new, name) for name in _DEFINITION})
        _check(parts, given, now, old=old)
        if new != old:
            book.put(new, edit=True)
    if again_today:
        # After the edit: it must not be left behind by one that was refused.
        with parts.database.write(durable=True) as tx:
            today = now.astimezone(ZoneInfo(new.timezone)).date()
            slots.let_day_run_again(tx, schedule_id, today)
            slots.mark_behind(tx, schedule_id)
            _note(parts, tx, by, "run again today", new, now, day=today.isoformat())
    return _follow_up(parts, schedule_id)


def delete(
    parts: SchedulerParts,
    schedule_id: int,
    *,
    expected_version: int | None,
    by: Author = SENDONCE,
) -> None:
    """Delete a schedule for good. Raises NotFound, Stale, and Conflict while a run of it is unfinished."""
    with parts.store.edit(by=by) as book:
        if schedule_id not in book.gone:
            _refuse_stale(_of(book, schedule_id), expected_version)
        with parts.database.read() as tx:
            run = reads.unfinished_of(tx, schedule_id)
        if run is not None:
            raise Conflict(
                f"Run {run.id} of this schedule is not finished. Cancel it or wait for its end, then delete.",
                run_id=run.id,
            )
        book.remove(schedule_id)
        with parts.database.write(durable=True) as tx:
            # Nobody could answer their question any more.
            for slot_id, _ in slots.held(tx, schedule_id, through=None):
                slots.release(tx, slot_id, Decision.SKIPPED, reason=DELETED, run_id=None)


def pause(
    parts: SchedulerParts, schedule_id: int, *, note: str | None, by: Author = SENDONCE
) -> Schedule:
    """Let no slot run until resume; those that fall into the pause are skipped. Pausing twice changes nothing."""
    return _switch(parts, schedule_id, enabled=False, note=note, by=by)


def resume(
    parts: SchedulerParts, schedule_id: int, *, note: str | None, by: Author = SENDONCE
) -> Schedule:
    """Let the slots from now on run again. Resuming what is not paused changes nothing."""
    return _switch(parts, schedule_id, enabled=True, note=note, by=by)


def skip_next(
    parts: SchedulerParts, schedule_id: int, *, slot: datetime, by: Author = SENDONCE
) -> Schedule:
    """Skip the next slot, which the caller names. Raises Conflict when another one is the next."""
    now = parts.clock.now()
    with parts.store.edit() as book:
        schedule = _of(book, schedule_id)
        with parts.database.write(durable=True) as tx:
            standing = slots.standings(tx, [schedule_id], now)[schedule_id]
            upcoming = next_undecided(schedule, standing, now)
            if upcoming is None:
                raise Conflict(f"Schedule {schedule_id} has no slot left that could be skipped.")
            if upcoming.at != slot:
                raise Conflict(
                    f"The next slot is {_rfc3339(upcoming.at)}, not {_rfc3339(slot)}. Look at it"
                    " again, then skip.",
                    next_slot=_rfc3339(upcoming.at),
                )
            slots.write(
                tx,
                schedule_id,
                as_row(schedule, upcoming, Decision.SKIPPED, SKIPPED_BY_A_PERSON),
                run_id=None,
                epoch=current_epoch(tx),
                now=now,
            )
            slots.mark_behind(tx, schedule_id)
            _note(parts, tx, by, "skip slot", schedule, now, slot=_rfc3339(slot))
    return _follow_up(parts, schedule_id)


def missed(
    parts: SchedulerParts,
    schedule_id: int,
    *,
    action: Literal["send", "skip"],
    through: datetime | None,
    by: Author = SENDONCE,
) -> Schedule:
    """Decide about the slots that are held, up to the newest one meant: one run for all of them, or none.

    Raises Conflict when nothing is held.
    """
    now = parts.clock.now()
    with parts.store.edit() as book:
        schedule = _of(book, schedule_id)
        with parts.database.write(durable=True) as tx:
            held = slots.held(tx, schedule_id, through=through)
            if not held:
                raise Conflict(f"Schedule {schedule_id} has no slot that waits for a decision.")
            if action == "send":
                _send_missed(tx, schedule, held, now)
            else:
                for slot_id, _ in held:
                    slots.release(
                        tx, slot_id, Decision.SKIPPED, reason=SKIPPED_BY_A_PERSON, run_id=None
                    )
            slots.mark_behind(tx, schedule_id)
            newest = _rfc3339(held[-1][1])
            what = f"{action} missed slots"
            _note(parts, tx, by, what, schedule, now, slots=len(held), through=newest)
    return _follow_up(parts, schedule_id)


def run_now(
    parts: SchedulerParts, schedule_id: int, *, request_key: str | None, by: Author = SENDONCE
) -> Run:
    """Make a run at once, without the buffer; the schedule's slots are left alone. Works on a paused one too.

    request_key: for 24 hours a second call with the same one returns the first one's run. Raises Conflict while a run
    is unfinished.
    """
    now = parts.clock.now()
    with parts.store.edit() as book:
        schedule = _of(book, schedule_id)
        with parts.database.write(durable=True) as tx:
            earlier = control.run_of_request(tx, schedule_id, request_key, now)
            if earlier is not None:
                return earlier
            unfinished = reads.unfinished_of(tx, schedule_id)
            if unfinished is not None:
                raise Conflict(
                    f"Run {unfinished.id} of this schedule is not finished. Wait for its end, or cancel it.",
                    run_id=unfinished.id,
                )
            run_id = make_run(
                tx,
                schedule,
                frozen=freeze(tx, schedule.campaign_id),
                slot=now,
                origin=Origin.RUN_NOW,
                request_key=request_key,
                waits_for=None,
                epoch=current_epoch(tx),
                now=now,
            )
            slots.mark_behind(tx, schedule_id)
            _note(parts, tx, by, "run now", schedule, now, run=run_id)
            run = reads.run(tx, run_id)
    _follow_up(parts, schedule_id)
    return run


def upcoming(parts: SchedulerParts, schedule_id: int, *, count: int) -> list[Slot]:
    """Return the next slots that will be decided; of a paused schedule as if it were resumed now."""
    schedule = get(parts, schedule_id)
    now = parts.clock.now()
    with parts.database.read() as tx:
        standing = slots.standings(tx, [schedule_id], now).get(schedule_id)
    if standing is None:
        return upcoming_slots(schedule, now, count=count)
    return list(islice(undecided(schedule, standing, now), count))


def preview(parts: SchedulerParts, given: ScheduleFields, *, count: int) -> list[Slot]:
    """Return the first slots of a schedule that is not saved yet. Raises Invalid as create does."""
    now = parts.clock.now()
    _check(parts, given, now)
    return upcoming_slots(given, now, count=min(count, given.max_runs or count))


def calendar(
    parts: SchedulerParts,
    start: datetime,
    end: datetime,
    *,
    most: int = MOST_CALENDAR_ITEMS,
    campaign_ids: Container[int] | None = None,
) -> list[CalendarItem]:
    """Return the slots of all schedules from start to end, decided and to come, in the order of time; most at most.

    campaign_ids: only of these campaigns. What it takes grows with how many schedules there are and with most, not
    with how many slots they have.
    """
    of_campaigns = (
        s for s in parts.store.read() if campaign_ids is None or s.campaign_id in campaign_ids
    )
    schedules = {s.id: s for s in of_campaigns}
    now = parts.clock.now()
    with parts.database.read() as tx:
        rows = reads.slots_between(tx, start, end, limit=most)
        standings = slots.standings(tx, set(schedules), now)
    decided = [
        CalendarItem(
            schedule_id=schedule_id,
            campaign_id=schedules[schedule_id].campaign_id if schedule_id in schedules else None,
            slot=row.at,
            local=row.local,
            decision=row.decision,
            reason=row.reason,
            run_id=row.run_id,
        )
        for schedule_id, row in rows
        if campaign_ids is None or schedule_id in schedules
    ]
    to_come = [
        _to_come(schedule, standing, start, end)
        for schedule in schedules.values()
        if schedule.enabled and (standing := standings.get(schedule.id)) is not None
    ]
    # Each is asked for its next slot only when that is the next of all.
    merged = heapq.merge(sorted(decided, key=_in_time), *to_come, key=_in_time)
    return [*islice(merged, most)]


def _in_time(item: CalendarItem) -> tuple[datetime, int]:
    return item.slot, item.schedule_id


def _to_come(
    schedule: Schedule, standing: Standing, start: datetime, end: datetime
) -> Iterator[CalendarItem]:
    try:
        for slot in _from(schedule, standing, start):
            if slot.at > end:
                return
            yield CalendarItem(
                schedule_id=schedule.id,
                campaign_id=schedule.campaign_id,
                slot=slot.at,
                local=slot.local.isoformat(),
                decision=None,
                reason=slot.note,
                run_id=None,
            )
    except Exception:
        log.exception("a schedule's slots can't be told", schedule_id=schedule.id)


def _from(schedule: Schedule, standing: Standing, start: datetime) -> Iterator[Slot]:
    """Yield the slots from start on that will be decided, without going through those before it."""
    before = start - _MOMENT
    if before <= standing.decided_until:
        return undecided(schedule, standing, start)
    if schedule.max_runs is not None:
        left = max(0, schedule.max_runs - standing.claimed)
        passed = count_between(
            schedule, standing.decided_until, before, most=min(left, MOST_COUNTED)
        )
        standing = replace(standing, claimed=standing.claimed + passed)
    return undecided(schedule, replace(standing, watermark=before), start)


def _note(
    parts: SchedulerParts,
    tx: Tx,
    by: Author,
    action: str,
    schedule: Schedule,
    now: datetime,
    **said: object,
) -> None:
    label = names(tx, [schedule])[schedule.id]
    deed = by.did(action, object_of(schedule.id), label=label, after=said)
    audit.record(tx, deed, key=parts.key, now=now)


def _switch(
    parts: SchedulerParts, schedule_id: int, *, enabled: bool, note: str | None, by: Author
) -> Schedule:
    now = parts.clock.now()
    with parts.store.edit(by=by) as book:
        old = _of(book, schedule_id)
        with parts.database.read() as tx:
            standing = slots.standings(tx, [schedule_id], now).get(schedule_id)
        if standing is not None and next_undecided(old, standing, now) is None:
            raise Conflict(
                f"Schedule {schedule_id} is {old.status}: it has no slot left that could be"
                f" {'resumed' if enabled else 'paused'}."
            )
        # What was said of the last pause is not said of this one.
        kept = note or (old.note if old.enabled == enabled else None)
        if (enabled, kept) != (old.enabled, old.note):
            book.put(replace(old, enabled=enabled, note=kept), edit=True)
    return _follow_up(parts, schedule_id)


def _follow_up(parts: SchedulerParts, schedule_id: int) -> Schedule:
    """Bring the ledger's fields of a schedule up to date, and return it: the answer carries the new next_run.

    What was asked for is durable by now: a store that can't be written for this must not make it look undone. The
    ledger knows that the store is behind, and the tick tells it.
    """
    parts.wake()
    try:
        with parts.store.edit() as book, parts.database.read() as tx:
            fresh = refreshed(
                _of(book, schedule_id), record_of(tx, [schedule_id], parts.clock.now())
            )
            return book.put(fresh, edit=False)
    except Unavailable as error:
        log.warning("the schedule file is behind", schedule_id=schedule_id, reason=error.message)
    schedule = get(parts, schedule_id)
    with parts.database.read() as tx:
        return refreshed(schedule, record_of(tx, [schedule_id], parts.clock.now()))


def _of(book: Book, schedule_id: int) -> Schedule:
    if schedule_id in book.bad:
        raise Conflict(
            f"The entry of schedule {schedule_id} in the file can't be used: {book.bad[schedule_id]}"
            " Mend it there first."
        )
    if schedule_id not in book.schedules:
        raise NotFound(f"There is no schedule {schedule_id}.")
    return book.schedules[schedule_id]


def _refuse_stale(schedule: Schedule, expected_version: int | None) -> None:
    if expected_version is not None and expected_version != schedule.version:
        raise Stale(
            f"Schedule {schedule.id} is at version {schedule.version}, not {expected_version}: somebody changed it"
            " meanwhile. Load it again and repeat your change."
        )


def _refuse_too_late(tx: Tx, schedule: Schedule) -> None:
    if schedule.schedule_type != ScheduleType.ONCE:
        return
    run_id = reads.claimed_run_id(tx, schedule.id)
    if run_id is not None:
        raise Conflict(
            f"Too late: this one-time schedule was claimed as run {run_id}. Make a new schedule, or cancel the run.",
            run_id=run_id,
        )


def _check(
    parts: SchedulerParts, given: ScheduleFields, now: datetime, *, old: Schedule | None = None
) -> None:
    problems: list[FieldError] = []
    try:
        check(given)
    except Invalid as error:
        problems += error.errors
    with parts.database.read() as tx:
        if campaign_store.missing(tx, [given.campaign_id]):
            problems.append(FieldError("campaign_id", f"there is no campaign {given.campaign_id}"))
    if problems:
        raise Invalid(problems)
    moved = old is None or (old.schedule_time, old.timezone, old.schedule_type) != (
        given.schedule_time,
        given.timezone,
        given.schedule_type,
    )
    if given.schedule_type == ScheduleType.ONCE and moved:
        slot = first_slot(given)
        if slot is not None and slot.at <= now:
            raise Invalid.field("schedule_time", _too_late(slot, given.timezone, now))


def _too_late(slot: Slot, zone: str, now: datetime) -> str:
    return (
        f"{slot.local:%H:%M} on {slot.local.day} {slot.local:%b %Y} is {_in_words(now - slot.at)} ago in {zone}."
        " Choose a later time; to send at once, use run now on the schedule"
    )


def _in_words(past: timedelta) -> str:
    minutes = past // timedelta(minutes=1)
    for size, unit in ((24 * 60, "day"), (60, "hour"), (1, "minute")):
        if minutes >= size:
            count = minutes // size
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "less than a minute"


def _new(schedule_id: int, given: ScheduleFields, now: datetime) -> Schedule:
    return Schedule(
        id=schedule_id,
        version=1,
        created_at=now,
        last_run=None,
        next_run=None,
        total_runs=0,
        status=Status.PENDING,
        **{name: getattr(given, name) for name in _DEFINITION},
    )


def _send_missed(
    tx: Tx, schedule: Schedule, held: list[tuple[int, datetime]], now: datetime
) -> None:
    """Make one run for all slots that were held: the newest is claimed, the others are merged into its run."""
    predecessor = reads.predecessors(tx, [schedule.id]).get(schedule.id)
    run_id = make_run(
        tx,
        schedule,
        frozen=freeze(tx, schedule.campaign_id),
        slot=held[-1][1],
        origin=Origin.MISSED,
        request_key=None,
        waits_for=predecessor.run_id if predecessor and predecessor.untried else None,
        epoch=current_epoch(tx),
        now=now,
    )
    for slot_id, _ in held[:-1]:
        slots.release(tx, slot_id, Decision.MERGED, reason="sent late by a person", run_id=run_id)
    slots.release(tx, held[-1][0], Decision.CLAIMED, reason="sent late by a person", run_id=run_id)
    slots.count_claim(tx, schedule.id)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
