"""One tick of the scheduler: claim what is due, then save the schedule file in one batch, then wake the dispatcher.

The order is the guarantee. The slot's row, the watermark and the run are durable before the file is touched; a crash
between the two leaves a file that is behind, which the next tick brings up to date: the ledger decides, the file
follows.
"""

import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from delivery import ledger, reads, slots
from delivery.model import Decision, Origin, Standing
from foundation.log import log_for
from identity.audit import SCHEDULER
from scheduler.due import Verdict, as_row, decide, may_be_due, undecided
from scheduler.edits import times_of
from scheduler.making import Frozen, freeze, make_run
from scheduler.model import CatchUp, Schedule, Slot
from scheduler.parts import Agenda, SchedulerParts, scheduler_lock
from scheduler.standing import Record, record_of, refreshed
from scheduler.store import Book
from storage import installation
from storage.database import StoreFault, Tx
from storage.installation import Installation

log = log_for(__name__)

_LONGEST_NOTE = 500
# So many at once have a line each in the log; of more it says how many.
_MOST_TOLD = 20


def check_and_execute_scheduled_campaigns(parts: SchedulerParts) -> list[int]:
    """Run one tick and return the ids of the runs it has made; nothing is sent here.

    Only the leader claims: in any other process it does nothing; nor is anything decided while the clock is doubted.
    Reads nothing and takes no lock while the file has not changed, nothing is due and no run has ended. A schedule that
    raises is logged and stops nobody but itself.
    """
    epoch = parts.epoch()
    if epoch is None or not _has_something_to_do(parts):
        return []
    now = parts.clock.now()
    stamp = parts.store.stamp()
    schedules = parts.store.read()
    verdicts = _decide_all(parts, schedules, now)
    with scheduler_lock, parts.store.edit(by=SCHEDULER) as book:
        with parts.database.write(durable=True) as tx:
            ledger.must_lead(tx, epoch)
            written = _write_all(tx, _current(tx, book, verdicts, now), epoch=epoch, now=now)
            untold = reads.runs_untold(tx)
            behind = slots.behind(tx) | set(untold.values()) | book.edited
            failures = reads.failures(tx, untold)
            record = record_of(tx, set(book.schedules), now)
        made = [w for w in written if w.run_id is not None]
        _tell(written, made)
        _pause_failing(book, record, failures)
        _bring_up_to_date(book, record, set(book.schedules) if book.foreign else behind)
        book.refreshed()
        current = list(book.schedules.values())
    if behind:
        # After the file, so that a crash between the two tells it again.
        with parts.database.write(durable=False) as tx:
            ledger.mark_told(tx, untold)
            slots.mark_told(tx, behind)
    parts.agenda.stamp = stamp
    _plan_next_look(parts, current, record.standings, now)
    if made:
        parts.wake()
    return [w.run_id for w in made if w.run_id is not None]


def _has_something_to_do(parts: SchedulerParts) -> bool:
    agenda = parts.agenda
    if agenda.stamp is None or agenda.stamp != parts.store.stamp():
        return True
    if agenda.look_at is not None and parts.clock.now() >= agenda.look_at:
        return True
    if agenda.seen is not None and parts.is_fresh(agenda.seen):
        return False
    seen = parts.look()
    with parts.database.read() as tx:
        has_news = bool(reads.runs_untold(tx) or slots.behind(tx))
    # News stay news until a tick has told them: one that fails must be repeated.
    agenda.seen = None if has_news else seen
    return has_news


def _decide_all(
    parts: SchedulerParts, schedules: Iterable[Schedule], now: datetime
) -> list[Verdict]:
    """Compute what is due before any lock is taken: a rule that is slow holds up nobody who waits for one."""
    if parts.clock.step is not None:
        return []
    waiting = {s.id: s for s in schedules if may_be_due(s)}
    with parts.database.read() as tx:
        here = installation.read(tx)
        standings = slots.standings(tx, waiting, now)
        predecessors = reads.predecessors(tx, waiting)
    verdicts = []
    for schedule in waiting.values():
        standing = standings.get(schedule.id)
        if standing is None:
            continue
        try:
            verdict = decide(
                schedule,
                standing,
                predecessor=predecessors.get(schedule.id),
                now=now,
                buffer=parts.buffer,
                window=parts.catch_up_window,
                is_doubted=_is_doubted(here, schedule),
            )
        except Exception:
            log.exception(
                "a schedule could not be decided, the others go on", schedule_id=schedule.id
            )
            continue
        if verdict is not None:
            verdicts.append(verdict)
    return verdicts


def _is_doubted(here: Installation, schedule: Schedule) -> bool:
    if here.doubted_reason is None:
        return False
    return not (here.doubt_spares_send and schedule.catch_up is CatchUp.SEND)


def _current(tx: Tx, book: Book, verdicts: Iterable[Verdict], now: datetime) -> list[Verdict]:
    """Leave out what changed since it was decided: it waits for the next tick."""
    verdicts = list(verdicts)
    standings = slots.standings(tx, {v.schedule.id for v in verdicts}, now)
    return [
        v
        for v in verdicts
        if book.schedules.get(v.schedule.id) == v.schedule
        and standings.get(v.schedule.id) == v.standing
    ]


@dataclass(frozen=True, slots=True)
class _Written:
    """What was decided about a schedule and is written; run_id is of the run that was made, if any."""

    verdict: Verdict
    run_id: int | None


def _write_all(tx: Tx, verdicts: Sequence[Verdict], *, epoch: int, now: datetime) -> list[_Written]:
    """Write what was decided about each schedule, and return what is written.

    What fails for one schedule is undone and logged, and the others go on; a database that can't be written stops all.
    """
    frozen = functools.cache(partial(freeze, tx))
    write = partial(_write, tx, freeze=frozen, epoch=epoch, now=now)
    try:
        # A savepoint for each costs as much as what is written: only where one fails they are worth it.
        with tx.begin_nested():
            return [write(verdict) for verdict in verdicts]
    except StoreFault:
        raise
    except Exception:
        return list(_write_one_by_one(tx, verdicts, write))


def _write_one_by_one(
    tx: Tx, verdicts: Iterable[Verdict], write: Callable[[Verdict], _Written]
) -> Iterator[_Written]:
    for verdict in verdicts:
        try:
            with tx.begin_nested():
                written = write(verdict)
        except StoreFault:
            raise
        except Exception:
            log.exception(
                "a slot could not be claimed, the others go on", schedule_id=verdict.schedule.id
            )
            continue
        yield written


def _write(
    tx: Tx,
    verdict: Verdict,
    *,
    freeze: Callable[[int], Frozen],
    epoch: int,
    now: datetime,
) -> _Written:
    """Write what was decided about one schedule: its slots' rows, the watermark, and the run if there is one."""
    schedule, slot = verdict.schedule, verdict.claim
    run_id = None
    if slot is not None:
        row = as_row(schedule, slot, Decision.CLAIMED, slot.note)
        if slots.write(tx, schedule.id, row, run_id=None, epoch=epoch, now=now):
            run_id = make_run(
                tx,
                schedule,
                frozen=freeze(schedule.campaign_id),
                slot=slot.at,
                origin=Origin.SLOT,
                request_key=None,
                waits_for=verdict.waits_for,
                epoch=epoch,
                now=now,
            )
            slots.attach_run(tx, schedule.id, slot.key, run_id)
    for decision in verdict.rows:
        merged = decision.decision == Decision.MERGED
        slots.write(
            tx, schedule.id, decision, run_id=run_id if merged else None, epoch=epoch, now=now
        )
    claims = 0 if run_id is None else 1
    slots.decide(tx, schedule.id, until=verdict.decided_until, claims=claims)
    return _Written(verdict, run_id)


def _tell(written: Sequence[_Written], made: Sequence[_Written]) -> None:
    """Log what was decided, once it is durable; of very many only how many there are."""
    if len(made) > _MOST_TOLD:
        first, last = made[0].run_id, made[-1].run_id
        log.info("runs claimed", runs=len(made), first_run_id=first, last_run_id=last)
    else:
        for w in made:
            schedule, slot = w.verdict.schedule, w.verdict.claim
            assert slot is not None
            log.info(
                "run claimed", run_id=w.run_id, schedule_id=schedule.id, slot=slot.at.isoformat()
            )
    decided = [(w.verdict.schedule.id, row) for w in written for row in w.verdict.rows]
    if len(decided) > _MOST_TOLD:
        log.info("slots decided", **Counter(str(row.decision) for _, row in decided))
        return
    for schedule_id, row in decided:
        log.info(
            "slot decided",
            schedule_id=schedule_id,
            slot=row.at.isoformat(),
            decision=str(row.decision),
            reason=row.reason,
        )


def _pause_failing(book: Book, record: Record, failures: Mapping[int, str]) -> None:
    """Pause the schedules whose run has mostly failed: the next would do the same, and its readers are worth more."""
    for schedule_id, happened in failures.items():
        schedule = book.schedules.get(schedule_id)
        if schedule is None or not refreshed(schedule, record).enabled:
            continue
        log.warning("schedule paused after a run that failed", schedule_id=schedule_id)
        # A server's words may have several lines, a note has one.
        note = " ".join(f"by itself, since {happened}".split())[:_LONGEST_NOTE]
        book.put(replace(schedule, enabled=False, note=note), edit=True)


def _bring_up_to_date(book: Book, record: Record, schedule_ids: Collection[int]) -> None:
    for schedule_id in schedule_ids:
        schedule = book.schedules.get(schedule_id)
        if schedule is None:
            continue
        try:
            fresh = refreshed(schedule, record)
        except Exception:
            log.exception("a schedule could not be brought up to date", schedule_id=schedule_id)
            continue
        if fresh != schedule:
            book.put(fresh, edit=False)


def _plan_next_look(
    parts: SchedulerParts,
    schedules: Iterable[Schedule],
    standings: Mapping[int, Standing],
    now: datetime,
) -> None:
    """Remember when something is due next; say once of each slot that waits for the buffer that it does."""
    agenda = parts.agenda
    looks, waiting = [], set()
    known, agenda.slots = agenda.slots, {}
    for schedule in schedules:
        standing = standings.get(schedule.id)
        if standing is None or not may_be_due(schedule):
            continue
        slot = _next_slot(schedule, standing, known, agenda)
        if slot is None:
            continue
        if slot.at > now:
            looks.append(slot.at)
            continue
        looks.append(slot.at + parts.buffer)
        waiting.add((schedule.id, slot.key))
        if (schedule.id, slot.key) not in agenda.waiting:
            log.info(
                "Skipping schedule for now: too recent",
                schedule_id=schedule.id,
                slot=slot.at.isoformat(),
                claimed_at=(slot.at + parts.buffer).isoformat(),
            )
    agenda.waiting = waiting
    agenda.look_at = min(looks, default=None)


def _next_slot(
    schedule: Schedule,
    standing: Standing,
    known: dict[int, tuple[object, Slot | None]],
    agenda: Agenda,
) -> Slot | None:
    """Return the next slot that is to be decided, computed only when the schedule or its standing has changed."""
    basis = (times_of(schedule), schedule.ends_at, schedule.max_runs, standing)
    found = known.get(schedule.id)
    if found is None or found[0] != basis:
        try:
            found = (basis, next(undecided(schedule, standing, standing.decided_until), None))
        except Exception:
            log.exception("a schedule has no next slot", schedule_id=schedule.id)
            found = (basis, None)
    agenda.slots[schedule.id] = found
    return found[1]
