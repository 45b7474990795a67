"""What to do where the schedule file and the database's copy of it differ: pure, nothing is read or written here.

| the entry in the file | then |
| --- | --- |
| version as the copy's, same definition | nothing |
| version as the copy's, other definition | a hand edit: the file wins, its version is raised |
| lower version | made on an old text: the copy wins, a notice keeps both texts |
| higher version | the copy was late (a crash between file and copy): the file wins |
| not there | its copy is gone ("missing"): it can be brought back for 30 days |
| missing until now, there again | brought back by hand |
| no id, an id met twice, or the id of a dead one | a new id |
| an id never met before | accepted |
| can't be read | set aside as it is: it does not run, is not missing, and stops nobody else |
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from foundation.errors import FieldError
from scheduler.entries import HIGHEST, same_definition, to_entry
from scheduler.model import Schedule, Status

KEPT = timedelta(days=30)
"""How long a missing entry can be brought back."""

HIGHEST_ACCEPTED = 1_000_000_000
"""The highest id that is accepted from a person: it leaves room for the sequence that goes on behind it."""


class Gone(StrEnum):
    """Why a copy has no entry in the file any more."""

    MISSING = "missing"  # somebody took it out of the file
    DELETED = "deleted"  # somebody deleted the schedule


class Kind(StrEnum):
    """What a notice is about."""

    DAMAGE = "damage"
    OLD_VERSION = "old_version"
    MISSING = "missing"
    NEW_ID = "new_id"
    BAD_ENTRY = "bad_entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One entry of the file as it was read; schedule is None where it can't be used, errors say why."""

    index: int
    raw: Any
    id: int | None
    schedule: Schedule | None
    errors: tuple[FieldError, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """The last good definition of an entry, as the database has it."""

    schedule: Schedule
    gone_at: datetime | None = None
    gone_why: Gone | None = None

    def is_live(self) -> bool:
        return self.gone_at is None

    def can_return(self, now: datetime) -> bool:
        return (
            self.gone_at is not None and self.gone_why is Gone.MISSING and now - self.gone_at < KEPT
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An entry that can't be used, kept word for word at its place; id where one can be read and nobody else has it."""

    raw: Any
    id: int | None
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A definition that the copy must follow; old is None for one that was not there."""

    old: Schedule | None
    new: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a person should be told."""

    kind: Kind
    schedule_id: int | None
    message: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the file will hold, in order, and what has to be written to get there."""

    places: tuple[Schedule | SetAside, ...]
    edits: tuple[Edit, ...]
    missing: tuple[int, ...]
    findings: tuple[Finding, ...]
    file_changes: bool


def cancelled(schedule: Schedule) -> Schedule:
    """Return the schedule as it is shown while its entry is missing from the file."""
    return replace(schedule, enabled=False, status=Status.CANCELLED, next_run=None)


def strays(
    written: Sequence[Written], copies: Mapping[int, Copy], *, now: datetime
) -> tuple[int, ...]:
    """Return the indexes of the entries that need a new id."""
    owners = _owners(written, copies)
    return tuple(
        entry.index
        for entry in written
        if entry.schedule is not None
        and not (
            entry.id is not None
            and owners[entry.id] == entry.index
            and _is_acceptable(entry.id, copies.get(entry.id), now)
        )
    )


def reconcile(
    written: Sequence[Written],
    copies: Mapping[int, Copy],
    *,
    new_ids: Mapping[int, int],
    now: datetime,
) -> Plan:
    """Decide entry by entry.

    new_ids has an id for each index that strays() named; an entry that needs one and has none there is left out.
    """
    work = _Work(copies, now)
    needs_id = set(strays(written, copies, now=now))
    taken = {e.id for e in written if e.schedule is not None and e.index not in needs_id}
    for entry in written:
        if entry.schedule is None:
            work.set_aside(entry, id_=entry.id if entry.id not in taken else None)
        elif entry.index in needs_id:
            if entry.index in new_ids:
                work.give_id(entry, new_ids[entry.index])
        else:
            work.compare(entry.schedule, entry.raw, copies.get(entry.schedule.id))
    present = {entry.id for entry in written}
    work.missing = [id_ for id_, copy in copies.items() if copy.is_live() and id_ not in present]
    for id_ in work.missing:
        work.tell_missing(copies[id_].schedule)
    return work.plan()


def _is_acceptable(id_: int, copy: Copy | None, now: datetime) -> bool:
    if copy is None:
        return id_ <= HIGHEST_ACCEPTED
    return copy.is_live() or copy.can_return(now)


def _owners(written: Sequence[Written], copies: Mapping[int, Copy]) -> dict[int, int]:
    """Return for each id the index of the entry it belongs to.

    Of several it is one that can be read; of those the one that nobody changed, else the first: who copies an entry to
    make another may put the new one above the old.
    """
    by_id: dict[int, list[Written]] = defaultdict(list)
    for entry in written:
        if entry.id is not None:
            by_id[entry.id].append(entry)
    return {id_: _owner(entries, copies.get(id_)).index for id_, entries in by_id.items()}


def _owner(entries: Sequence[Written], copy: Copy | None) -> Written:
    if len(entries) == 1:
        return entries[0]

    def rank(entry: Written) -> tuple[bool, bool, int]:
        schedule = entry.schedule
        unchanged = (
            schedule is not None
            and copy is not None
            and schedule.version == copy.schedule.version
            and same_definition(schedule, copy.schedule)
        )
        return (schedule is None, not unchanged, entry.index)

    return min(entries, key=rank)


class _Work:
    """What a reconciliation has decided so far."""

    def __init__(self, copies: Mapping[int, Copy], now: datetime) -> None:
        self._copies = copies
        self._now = now
        self.places: list[Schedule | SetAside] = []
        self.edits: list[Edit] = []
        self.missing: list[int] = []
        self.findings: list[Finding] = []
        self.file_changes = False

    def plan(self) -> Plan:
        return Plan(
            places=tuple(self.places),
            edits=tuple(self.edits),
            missing=tuple(self.missing),
            findings=tuple(self.findings),
            file_changes=self.file_changes,
        )

    def compare(self, schedule: Schedule, raw: object, copy: Copy | None) -> None:
        if copy is None:
            self._edit(None, schedule)
        elif not copy.is_live():
            self._bring_back(schedule, raw, copy.schedule)
        elif schedule.version < copy.schedule.version:
            self._prefer_copy(schedule, raw, copy.schedule)
        elif schedule.version > copy.schedule.version:
            self._edit(copy.schedule, schedule)
        elif same_definition(schedule, copy.schedule):
            self.places.append(schedule)
        else:
            self.file_changes = True
            self._edit(copy.schedule, raised(schedule, above=copy.schedule.version))

    def give_id(self, entry: Written, new_id: int) -> None:
        assert entry.schedule is not None
        new = replace(
            entry.schedule,
            id=new_id,
            version=1,
            last_run=None,
            next_run=None,
            total_runs=0,
            status=Status.PENDING,
        )
        self.file_changes = True
        self._edit(None, new)
        self.findings.append(
            Finding(
                kind=Kind.NEW_ID,
                schedule_id=new_id,
                message=f"{_where(entry)} {self._why_new_id(entry.id)}: it is the new schedule {new_id} now.",
                detail={"index": entry.index, "written_id": entry.id},
            )
        )

    def set_aside(self, entry: Written, *, id_: int | None) -> None:
        reasons = "; ".join(f"{e.field} {e.message}" for e in entry.errors)
        sentence = f"{_where(entry)} can't be used and does not run: {reasons}. Mend it in scheduled_campaigns.json."
        self.places.append(SetAside(raw=entry.raw, id=id_, sentence=sentence))
        self.findings.append(
            Finding(
                kind=Kind.BAD_ENTRY,
                schedule_id=id_,
                message=sentence,
                detail={
                    "index": entry.index,
                    "errors": [{"field": e.field, "message": e.message} for e in entry.errors],
                    "entry": entry.raw,
                },
            )
        )

    def tell_missing(self, schedule: Schedule) -> None:
        self.findings.append(
            Finding(
                kind=Kind.MISSING,
                schedule_id=schedule.id,
                message=f"Schedule {schedule.id} was taken out of scheduled_campaigns.json, so it is cancelled. For"
                f" {KEPT.days} days PATCH /api/schedules/{schedule.id}"
                ' with {"enabled": true} brings it back, and so does putting the entry back into the file.',
                detail={"kept": to_entry(schedule)},
            )
        )

    def _edit(self, old: Schedule | None, new: Schedule) -> None:
        self.places.append(new)
        self.edits.append(Edit(old=old, new=new))

    def _bring_back(self, schedule: Schedule, raw: object, kept: Schedule) -> None:
        if schedule.version < kept.version and not same_definition(schedule, kept):
            self._tell_old_version(schedule, raw, kept)
            schedule = kept
        self.file_changes = True
        self._edit(cancelled(kept), raised(schedule, above=max(schedule.version, kept.version)))

    def _prefer_copy(self, schedule: Schedule, raw: object, kept: Schedule) -> None:
        if not same_definition(schedule, kept):
            self._tell_old_version(schedule, raw, kept)
        self.file_changes = True
        self.places.append(
            replace(
                kept,
                last_run=schedule.last_run,
                next_run=schedule.next_run,
                total_runs=schedule.total_runs,
                status=schedule.status,
            )
        )

    def _tell_old_version(self, schedule: Schedule, raw: object, kept: Schedule) -> None:
        self.findings.append(
            Finding(
                kind=Kind.OLD_VERSION,
                schedule_id=kept.id,
                message=f"An edit of schedule {kept.id} in scheduled_campaigns.json was made on version"
                f" {schedule.version}, but it was at version {kept.version} already: that one was kept. Make the edit"
                " again if it is still wanted.",
                detail={"file": raw, "kept": to_entry(kept)},
            )
        )

    def _why_new_id(self, id_: int | None) -> str:
        if id_ is None:
            return "had no id"
        copy = self._copies.get(id_)
        if copy is None and id_ > HIGHEST_ACCEPTED:
            return f"had an id above {HIGHEST_ACCEPTED}"
        if copy is None or _is_acceptable(id_, copy, self._now):
            return f"had the id {id_} of another entry"
        return f"had the id {id_} of a schedule that is no more, and ids are never used again"


def raised(schedule: Schedule, *, above: int) -> Schedule:
    """Return the schedule with the next version."""
    return replace(schedule, version=min(above + 1, HIGHEST))


def _where(entry: Written) -> str:
    return f"Entry {entry.index}" + (f" (id {entry.id})" if entry.id is not None else "")
