"""What people do with schedules: make, change, pause, skip a slot, decide about missed ones, run now.

An edit goes: id, file, copy, answer; the store sees to that. What is decided about slots goes to the ledger, under
the store's lock, so that it and a tick never decide at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Literal

from campaigns import store as campaign_store
from delivery import reads, slots
from delivery.model import Decision, Origin, Run
from foundation.errors import Conflict, FieldError, Invalid, NotFound, Stale
from scheduler.due import as_row, is_decided, next_undecided
from scheduler.fields import ScheduleFields, check
from scheduler.model import Schedule, ScheduleType, Slot, Status
from scheduler.parts import SchedulerParts
from scheduler.recurrence import at_most_daily, first_slot, slots_after, slots_between
from scheduler.recurrence import upcoming as upcoming_slots
from scheduler.standing import record_of, refreshed
from scheduler.store import Book
from scheduler.tick import make_run
from storage.aliveness import current_epoch
from storage.database import Tx

SKIPPED_BY_A_PERSON = "skipped by a person"
MOST_CALENDAR_ITEMS = 5000
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
    if found is None:
        raise NotFound(f"There is no schedule {schedule_id}.")
    return found


def create(parts: SchedulerParts, given: ScheduleFields) -> Schedule:
    """Make a schedule. Raises Invalid: every wrong field, an unknown campaign, a one-time schedule in the past."""
    now = parts.clock.now()
    _check(parts, given, now)
    with parts.store.edit() as book:
        made = book.add(lambda schedule_id: _new(schedule_id, given, now))
    return _follow_up(parts, made.id)


def edit(
    parts: SchedulerParts,
    schedule_id: int,
    changes: Mapping[str, Any],
    *,
    expected_version: int | None,
    again_today: bool,
) -> Schedule:
    """Change some fields of a schedule; enabled=True brings back one that was taken out of the file.

    Raises NotFound, Stale, Invalid, and Conflict for a one-time schedule after its claim.
    """
    now = parts.clock.now()
    with parts.store.edit() as book:
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
        if again_today:
            with parts.database.write(durable=True) as tx:
                slots.mark_day(tx, schedule_id, None)
        if new != old:
            book.put(new, edit=True)
    return _follow_up(parts, schedule_id)


def delete(parts: SchedulerParts, schedule_id: int, *, expected_version: int | None) -> None:
    """Delete a schedule for good. Raises NotFound, Stale, and Conflict while a run of it is unfinished."""
    with parts.store.edit() as book:
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


def pause(parts: SchedulerParts, schedule_id: int, *, note: str | None) -> Schedule:
    """Let no slot run until resume; those that fall into the pause are skipped. Pausing twice changes nothing."""
    return _switch(parts, schedule_id, enabled=False, note=note)


def resume(parts: SchedulerParts, schedule_id: int, *, note: str | None) -> Schedule:
    """Let the slots from now on run again. Resuming what is not paused changes nothing."""
    return _switch(parts, schedule_id, enabled=True, note=note)


def skip_next(parts: SchedulerParts, schedule_id: int, *, slot: datetime) -> Schedule:
    """Skip the next slot, which the caller names. Raises Conflict when another one is the next."""
    now = parts.clock.now()
    with parts.store.edit() as book:
        schedule = _of(book, schedule_id)
        with parts.database.write(durable=True) as tx:
            standing = slots.standings(tx, [schedule_id], now)[schedule_id]
            upcoming = next_undecided(schedule, standing)
            if upcoming is None:
                raise Conflict(f"Schedule {schedule_id} has no slot left that could be skipped.")
            if upcoming.at != slot:
                raise Conflict(
                    f"The next slot is {upcoming.at.isoformat()}, not {slot.isoformat()}. Look at it"
                    " again, then skip.",
                    next_slot=upcoming.at,
                )
            slots.write(
                tx,
                schedule_id,
                as_row(upcoming, Decision.SKIPPED, SKIPPED_BY_A_PERSON),
                run_id=None,
                epoch=current_epoch(tx),
                now=now,
            )
            if at_most_daily(schedule):
                slots.mark_day(tx, schedule_id, upcoming.local.date())
            fresh = refreshed(schedule, record_of(tx, [schedule_id], now))
        book.put(fresh, edit=False)
    return get(parts, schedule_id)


def missed(
    parts: SchedulerParts,
    schedule_id: int,
    *,
    action: Literal["send", "skip"],
    through: datetime | None,
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
            fresh = refreshed(schedule, record_of(tx, [schedule_id], now))
        book.put(fresh, edit=False)
    parts.wake()
    return get(parts, schedule_id)


def run_now(parts: SchedulerParts, schedule_id: int, *, request_key: str | None) -> Run:
    """Make a run at once, without the buffer; the schedule's slots are left alone. Works on a paused one too.

    request_key: a second call with the same one returns the first one's run. Raises Conflict while a run is unfinished.
    """
    now = parts.clock.now()
    with parts.store.edit() as book:
        schedule = _of(book, schedule_id)
        with parts.database.write(durable=True) as tx:
            if request_key is not None:
                earlier = reads.run_of_request(tx, schedule_id, request_key)
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
                slot=now,
                origin=Origin.RUN_NOW,
                request_key=request_key,
                waits_for=None,
                epoch=current_epoch(tx),
                now=now,
            )
            run = reads.run(tx, run_id)
            fresh = refreshed(schedule, record_of(tx, [schedule_id], now))
        book.put(fresh, edit=False)
    parts.wake()
    return run


def upcoming(parts: SchedulerParts, schedule_id: int, *, count: int) -> list[Slot]:
    """Return the next slots that will be decided; none of a paused schedule's are left out."""
    schedule = get(parts, schedule_id)
    with parts.database.read() as tx:
        standing = slots.standings(tx, [schedule_id], parts.clock.now()).get(schedule_id)
    if standing is None:
        return upcoming_slots(schedule, parts.clock.now(), count=count)
    left = count
    if schedule.max_runs is not None:
        left = min(count, schedule.max_runs - standing.claimed)
    found: list[Slot] = []
    for slot in slots_after(schedule, standing.decided_until):
        if len(found) >= left:
            break
        if not is_decided(schedule, standing, slot):
            found.append(slot)
    return found


def preview(parts: SchedulerParts, given: ScheduleFields, *, count: int) -> list[Slot]:
    """Return the first slots of a schedule that is not saved yet. Raises Invalid as create does."""
    now = parts.clock.now()
    _check(parts, given, now)
    return upcoming_slots(given, now, count=min(count, given.max_runs or count))


def calendar(parts: SchedulerParts, start: datetime, end: datetime) -> list[CalendarItem]:
    """Return the slots of all schedules from start to end, decided and to come, in the order of time; 5,000 at most."""
    schedules = {s.id: s for s in parts.store.read()}
    now = parts.clock.now()
    with parts.database.read() as tx:
        decided = reads.slots_between(tx, start, end, limit=MOST_CALENDAR_ITEMS)
        standings = slots.standings(tx, set(schedules), now)
    items = [
        CalendarItem(
            schedule_id=schedule_id,
            campaign_id=schedules[schedule_id].campaign_id if schedule_id in schedules else None,
            slot=row.at,
            local=row.local,
            decision=row.decision,
            reason=row.reason,
            run_id=row.run_id,
        )
        for schedule_id, row in decided
    ]
    for schedule in schedules.values():
        standing = standings.get(schedule.id)
        if not schedule.enabled or standing is None:
            continue
        left = MOST_CALENDAR_ITEMS
        if schedule.max_runs is not None:
            left = schedule.max_runs - standing.claimed
        after = max(standing.decided_until, start)
        to_come = slots_between(schedule, after, end, limit=max(0, left))
        items += [
            CalendarItem(
                schedule_id=schedule.id,
                campaign_id=schedule.campaign_id,
                slot=slot.at,
                local=slot.local.isoformat(),
                decision=None,
                reason=slot.note,
                run_id=None,
            )
            for slot in to_come
            if not is_decided(schedule, standing, slot)
        ]
    return sorted(items, key=lambda i: (i.slot, i.schedule_id))[:MOST_CALENDAR_ITEMS]


def _switch(
    parts: SchedulerParts, schedule_id: int, *, enabled: bool, note: str | None
) -> Schedule:
    with parts.store.edit() as book:
        old = _of(book, schedule_id)
        if old.next_run is None:
            raise Conflict(
                f"Schedule {schedule_id} is {old.status}: it has no slot left that could be"
                f" {'resumed' if enabled else 'paused'}."
            )
        if old.enabled != enabled or (note is not None and note != old.note):
            book.put(replace(old, enabled=enabled, note=note or old.note), edit=True)
    return _follow_up(parts, schedule_id)


def _follow_up(parts: SchedulerParts, schedule_id: int) -> Schedule:
    """Bring the ledger's fields of an edited schedule up to date; the answer carries the new next_run."""
    with parts.store.edit() as book:
        schedule = _of(book, schedule_id)
        with parts.database.read() as tx:
            record = record_of(tx, [schedule_id], parts.clock.now())
        book.put(refreshed(schedule, record), edit=False)
    parts.wake()
    return get(parts, schedule_id)


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
            raise Invalid.field(
                "schedule_time", f"{slot.local.isoformat()} is in the past. Choose a time ahead"
            )


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
    run_id = make_run(
        tx,
        schedule,
        slot=held[-1][1],
        origin=Origin.MISSED,
        request_key=None,
        waits_for=None,
        epoch=current_epoch(tx),
        now=now,
    )
    for slot_id, _ in held[:-1]:
        slots.release(tx, slot_id, Decision.MERGED, reason="sent late by a person", run_id=run_id)
    slots.release(tx, held[-1][0], Decision.CLAIMED, reason="sent late by a person", run_id=run_id)
    slots.count_claim(tx, schedule.id)
