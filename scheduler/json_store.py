"""The schedules in a JSON file that a person can read and mend, with the database's copy beside it.

Everything that changes goes in one order: ids (and notices), file, copy. So whatever a crash leaves behind looks like
a file that is ahead of the copy, and the next load finishes it by the same code that takes over an edit by hand;
on_edit is called in the transaction that brings the copy up to date, so it happens exactly once.

Locks, in this order: the caller's scheduler_lock, this file's two (threads, then processes), the database.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from foundation.clock import Clock
from foundation.errors import Unavailable
from foundation.log import log_for
from identity.audit import SCHEDULE_FILE, SENDONCE, Author
from scheduler import copies
from scheduler.book import Book, Changes
from scheduler.copies import Kept
from scheduler.entries import to_entry
from scheduler.file_state import State, copies_in, state_after, state_of, understand
from scheduler.leadership import Leadership
from scheduler.model import Schedule
from scheduler.reconcile import (
    HIGHEST_ACCEPTED,
    Copy,
    Edit,
    Finding,
    Gone,
    Kind,
    Plan,
    Written,
    reconcile,
    strays,
)
from scheduler.schedule_file import (
    STILL,
    Content,
    Damage,
    ScheduleFile,
    Stamp,
    save_scheduled_campaigns,
)
from scheduler.store import NoteChanges, Notice, OnEdit
from scheduler.store_lock import StoreLock
from storage import sequence
from storage.database import Database, Tx
from storage.disk import Disk

__all__ = ["Book", "JsonStore", "save_scheduled_campaigns"]

log = log_for(__name__)

SEQUENCE = "schedules"
LOCK_WAIT = timedelta(seconds=10)

_IDS_LOGGED = 20


class JsonStore:
    """scheduled_campaigns.json in a folder. Safe to use from any number of threads and processes."""

    def __init__(
        self,
        folder: Path,
        *,
        disk: Disk,
        database: Database,
        clock: Clock,
        on_edit: OnEdit,
        note: NoteChanges | None = None,
        lock_wait: timedelta = LOCK_WAIT,
    ) -> None:
        """note: keeps the audit log; None: there is none."""
        self._file = ScheduleFile(folder / "scheduled_campaigns.json", disk=disk, clock=clock)
        self._lock = StoreLock(folder / "scheduled_campaigns.json.lock", wait=lock_wait)
        self._leadership = Leadership(folder / "scheduler.lock")
        self._database = database
        self._clock = clock
        self._on_edit = on_edit
        self._note = note
        # What the file said last, and its stamp when file and copy were last made to agree. Set under the lock only.
        self._last = State(stamp=None)
        self._settled: Stamp | None = None
        self._foreign = True
        self._edited: frozenset[int] = frozenset()

    def lead(self) -> bool:
        """Take or keep the leadership, without waiting; return whether this process leads."""
        return self._leadership.lead()

    def resign(self) -> None:
        """Let another process lead."""
        self._leadership.resign()

    def stamp(self) -> Stamp | None:
        """Return a value that changes whenever the file does; None when there is none. One stat, no lock."""
        return self._file.stamp()

    def read(self) -> list[Schedule]:
        """Return all schedules in the file's order, then those missing from it that can be brought back, as cancelled.

        Costs one stat while the file has not changed. Waits for no lock and writes nothing: while the file makes no
        sense it returns the last good list, and leaves the mending to edit().
        """
        return self._current().everything(self._clock.now())

    def taken_out(self) -> frozenset[int]:
        """Return those that read() gives as cancelled because their entry is missing: they can be brought back."""
        now = self._clock.now()
        gone = self._current().gone
        return frozenset(id_ for id_, copy in gone.items() if copy.can_return(now))

    def _current(self) -> State:
        stamp = self._file.stamp()
        last = self._last
        return last if stamp is not None and stamp == last.stamp else self._look(last)

    @contextlib.contextmanager
    def edit(self, *, by: Author = SENDONCE) -> Iterator[Book]:
        """Lock the file and give its schedules to a block that may change them; leaving it saves once.

        by: who changes them, for the audit log. Never enter it inside a transaction. Raises Unavailable when the file
        can't be locked, read or written, or is just being changed by somebody else.
        """
        with self._lock.held():
            now = self._clock.now()
            state = self._settle(now)
            book = Book(
                now=now,
                schedules=state.schedules,
                gone={id_: c.schedule for id_, c in state.gone.items() if c.can_return(now)},
                bad=state.bad(),
                foreign=self._foreign,
                edited=self._edited,
                new_id=self._take_id,
            )
            yield book
            changes = book.changes()
            if changes is not None:
                self._save(state, book, changes, by)
            if book.is_refreshed:
                self._foreign, self._edited = False, frozenset()

    def notices(self, tx: Tx, *, since: datetime | None) -> list[Notice]:
        """Return what was found since then, newest first; None: since ever."""
        return copies.list_notices(tx, since=since)

    def _settle(self, now: datetime) -> State:
        """Make file and copy agree, and return what holds then."""
        stamp = self._file.stamp()
        if stamp is not None and stamp == self._settled == self._last.stamp:
            return self._last
        if self._settled is None:
            self._file.sweep()
        with self._database.read() as tx:
            kept = copies.read_copies(tx, known=self._last.kept)
            last_id = sequence.last_id(tx, SEQUENCE)
            told = copies.open_bad_entries(tx)
        found = self._file.read()
        if isinstance(found, Damage) and found.stamp is None and last_id is None and not kept:
            return self._begin()
        raws, damage = self._entries_in(found, kept, now)
        written = understand(raws, kept, self._last.written, now=now)
        known = copies_in(kept)
        new_ids = self._take_ids(written, strays(written, known, now=now), last_id)
        plan = reconcile(written, known, new_ids=new_ids, now=now)
        self._tell([*damage, *plan.findings], told, now)
        state = state_of(found.stamp, plan, kept, self._last.written, now)
        if plan.file_changes or damage:
            state = replace(state, stamp=self._file.save(state.entries()))
        self._follow(plan, known, now)
        self._foreign = True
        self._edited |= {edit.new.id for edit in plan.edits}
        return self._agree(state)

    def _agree(self, state: State) -> State:
        self._last = state
        self._settled = state.stamp
        return state

    def _begin(self) -> State:
        """Begin a store that was never there."""
        state = State(stamp=self._file.save([]))
        # After the file: a crash between the two is a good file, not a store that was there and is gone.
        with self._database.write(durable=True) as tx:
            sequence.reserve(tx, SEQUENCE, at_least=0)
        log.info("schedule file begun", path=str(self._file.path))
        return self._agree(state)

    def _entries_in(
        self, found: Content | Damage, kept: Mapping[int, Kept], now: datetime
    ) -> tuple[list[Any], list[Finding]]:
        """Return the entries to go on with, and the damage if there was any: then they are the copy's."""
        if isinstance(found, Content):
            return found.entries, []
        name = self._file.path.name
        if not self._file.is_still(found):
            raise Unavailable(
                f"{name} is being changed or damaged ({found.reason}); it will be mended in"
                f" {STILL.total_seconds():g} seconds. Try again then."
            )
        aside = self._file.quarantine(found, now)
        where = f"What it held is kept as quarantine/{aside.name}." if aside else ""
        message = f"{name} was damaged ({found.reason}) and was mended from the database. {where}"
        log.error("schedule file damaged", reason=found.reason, quarantine=str(aside))
        finding = Finding(
            kind=Kind.DAMAGE,
            schedule_id=None,
            message=message.strip(),
            detail={"reason": found.reason, "quarantine": aside.name if aside else None},
        )
        return self._entries_of_copies(kept), [finding]

    def _entries_of_copies(self, kept: Mapping[int, Kept]) -> list[Any]:
        live = {id_: k.copy.schedule for id_, k in kept.items() if k.copy.is_live()}
        known_order = [id_ for id_ in self._last.schedules if id_ in live]
        return [to_entry(live[id_]) for id_ in dict.fromkeys([*known_order, *live])]

    def _take_ids(
        self, written: Sequence[Written], indexes: Sequence[int], last_id: int | None
    ) -> dict[int, int]:
        """Return a new id for each index; see to it that no id of the file is ever given out."""
        ids = [entry.id for entry in written if entry.id is not None]
        highest = max((id_ for id_ in ids if id_ <= HIGHEST_ACCEPTED), default=0)
        if not indexes and last_id is not None and highest <= last_id:
            return {}
        with self._database.write(durable=True) as tx:
            sequence.reserve(tx, SEQUENCE, at_least=highest)
            return {index: sequence.next_id(tx, SEQUENCE) for index in indexes}

    def _take_id(self) -> int:
        with self._database.write(durable=True) as tx:
            return sequence.next_id(tx, SEQUENCE)

    def _tell(self, findings: Sequence[Finding], told: Sequence[Notice], now: datetime) -> None:
        # Before the file is written: a text that is replaced there must be in a notice first.
        new = [f for f in copies.untold(findings, told) if f.kind is not Kind.MISSING]
        over = copies.over(findings, told)
        if new or over:
            with self._database.write(durable=True) as tx:
                copies.tell(tx, new, now)
                copies.close_notices(tx, over, now)
        for finding in new:
            log.warning(
                "notice about the schedule file", kind=finding.kind, message=finding.message
            )

    def _follow(self, plan: Plan, known: Mapping[int, Copy], now: datetime) -> None:
        """Bring the copy up to what the file says. Who was the one to write it there nobody knows."""
        if not plan.edits and not plan.missing:
            return
        with self._database.write(durable=True) as tx:
            copies.keep_copies(tx, [edit.new for edit in plan.edits], now)
            copies.mark_gone(tx, plan.missing, Gone.MISSING, now)
            copies.tell(tx, [f for f in plan.findings if f.kind is Kind.MISSING], now)
            self._call_on_edit(tx, plan.edits, now)
            if self._note is not None:
                gone = [known[id_].schedule for id_ in plan.missing]
                self._note(tx, SCHEDULE_FILE, plan.edits, gone, now)
        log.info(
            "schedules taken over from the file",
            changed=len(plan.edits),
            missing=len(plan.missing),
            ids=[*(edit.new.id for edit in plan.edits), *plan.missing][:_IDS_LOGGED],
        )

    def _save(self, state: State, book: Book, changes: Changes, by: Author) -> None:
        """Keep what a block has changed: first the file, then the copy."""
        new = state_after(state, book)
        new = replace(new, stamp=self._file.save(new.entries()))
        try:
            self._keep_copies(state, changes, by, book.now)
        except Unavailable as error:
            if changes.removed:
                raise
            # The file has it, so it is made: to say otherwise would make people ask twice. The next look at the file
            # finds it ahead of the copy, and finishes this.
            log.warning("the copy of the schedules is behind", reason=error.message)
            return
        self._agree(new)

    def _keep_copies(self, state: State, changes: Changes, by: Author, now: datetime) -> None:
        if changes.edits or changes.followed or changes.removed:
            with self._database.write(durable=True) as tx:
                definitions = [*(edit.new for edit in changes.edits), *changes.followed]
                copies.keep_copies(tx, definitions, now)
                copies.mark_gone(tx, changes.removed, Gone.DELETED, now)
                self._call_on_edit(tx, changes.edits, now)
                if self._note is not None:
                    was = {id_: copy.schedule for id_, copy in state.gone.items()}
                    was.update(state.schedules)
                    gone = [was[id_] for id_ in changes.removed if id_ in was]
                    self._note(tx, by, changes.edits, gone, now)

    def _call_on_edit(self, tx: Tx, edits: Iterable[Edit], now: datetime) -> None:
        for edit in edits:
            self._on_edit(tx, edit.old, edit.new, now)

    def _look(self, last: State) -> State:
        """Return what the file says, without changing anything."""
        with self._lock.tried() as is_held:
            now = self._clock.now()
            # The copy first: a writer changes the file first, so what is seen is at most a file that is ahead.
            with self._database.read() as tx:
                kept = copies.read_copies(tx, known=last.kept)
            found = self._read_or(last)
            if isinstance(found, State):
                return found
            raws = found.entries if isinstance(found, Content) else self._entries_of_copies(kept)
            written = understand(raws, kept, last.written, now=now)
            plan = reconcile(written, copies_in(kept), new_ids={}, now=now)
            state = state_of(found.stamp, plan, kept, last.written, now)
            if is_held and isinstance(found, Content):
                # Without the lock the copy may have been on its way: that view is good for this once only.
                self._last = state
            return state

    def _read_or(self, last: State) -> Content | Damage | State:
        """Return what stands in the file, or the last good list while that is nothing to go by."""
        try:
            found = self._file.read()
        except Unavailable:
            if last.stamp is None:
                raise
            return last
        return last if isinstance(found, Damage) and last.stamp is not None else found
