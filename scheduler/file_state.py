"""What the schedule file says, as one process remembers it: pure values, made anew for each change of the file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson

from foundation.errors import Invalid
from scheduler.book import Book
from scheduler.copies import Kept
from scheduler.entries import Entry, check, to_entry, to_schedule, written_id
from scheduler.model import Schedule
from scheduler.reconcile import Copy, Gone, Plan, SetAside, Written, cancelled
from scheduler.schedule_file import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The store as it was found under one stamp.

    places: the file's entries in order, the good ones by id. written: each schedule with the entry it is written as, so
    that one that has not changed is neither understood nor written out again. kept: the copies, for the same reason.
    """

    stamp: Stamp | None
    places: tuple[int | SetAside, ...] = ()
    schedules: Mapping[int, Schedule] = field(default_factory=dict)
    gone: Mapping[int, Copy] = field(default_factory=dict)
    written: Mapping[int, tuple[Schedule, Entry]] = field(default_factory=dict)
    kept: Mapping[int, Kept] = field(default_factory=dict)

    def everything(self, now: datetime) -> list[Schedule]:
        returning = (c.schedule for c in self.gone.values() if c.can_return(now))
        return [*self.schedules.values(), *map(cancelled, returning)]

    def bad(self) -> dict[int, str]:
        aside = (place for place in self.places if isinstance(place, SetAside))
        return {place.id: place.sentence for place in aside if place.id is not None}

    def entries(self) -> list[Any]:
        return [
            place.raw if isinstance(place, SetAside) else self.written[place][1]
            for place in self.places
        ]


def understand(
    raws: Sequence[Any],
    kept: Mapping[int, Kept],
    known: Mapping[int, tuple[Schedule, Entry]],
    *,
    now: datetime,
) -> list[Written]:
    """Say of each entry what it means; known are schedules with the entries they were written as."""
    return [_understand_one(index, raw, kept, known, now) for index, raw in enumerate(raws)]


def _understand_one(
    index: int,
    raw: Any,
    kept: Mapping[int, Kept],
    known: Mapping[int, tuple[Schedule, Entry]],
    now: datetime,
) -> Written:
    id_ = written_id(raw)
    last = known.get(id_) if id_ is not None else None
    if last is not None and _same_text(raw, last[1]):
        return Written(index=index, raw=raw, id=id_, schedule=last[0])
    copy = kept[id_].copy.schedule if id_ is not None and id_ in kept else None
    try:
        schedule = to_schedule(raw, known=copy, now=now)
        check(schedule, known=copy)
    except Invalid as invalid:
        return Written(index=index, raw=raw, id=id_, schedule=None, errors=invalid.errors)
    return Written(index=index, raw=raw, id=id_, schedule=schedule)


def _same_text(one: Entry, other: Entry) -> bool:
    # As text: to Python true, 1 and 1.0 are equal.
    return one == other and orjson.dumps(one) == orjson.dumps(other)


def copies_in(kept: Mapping[int, Kept]) -> dict[int, Copy]:
    return {id_: k.copy for id_, k in kept.items()}


def state_of(
    stamp: Stamp | None,
    plan: Plan,
    kept: Mapping[int, Kept],
    known: Mapping[int, tuple[Schedule, Entry]],
    now: datetime,
) -> State:
    schedules = {place.id: place for place in plan.places if isinstance(place, Schedule)}
    missing = {
        id_: replace(kept[id_].copy, gone_at=now, gone_why=Gone.MISSING) for id_ in plan.missing
    }
    gone = {
        id_: copy
        for id_, copy in (copies_in(kept) | missing).items()
        if id_ not in schedules and copy.can_return(now)
    }
    return State(
        stamp=stamp,
        places=tuple(p.id if isinstance(p, Schedule) else p for p in plan.places),
        schedules=schedules,
        gone=gone,
        written=_write_out(schedules, known),
        kept=kept,
    )


def state_after(state: State, book: Book) -> State:
    schedules = dict(book.schedules)
    there = [p for p in state.places if isinstance(p, SetAside) or p in schedules]
    new = [id_ for id_ in schedules if id_ not in state.schedules]
    return replace(
        state,
        places=(*there, *new),
        schedules=schedules,
        gone={id_: copy for id_, copy in state.gone.items() if id_ in book.gone},
        written=_write_out(schedules, state.written),
    )


def _write_out(
    schedules: Mapping[int, Schedule], known: Mapping[int, tuple[Schedule, Entry]]
) -> dict[int, tuple[Schedule, Entry]]:
    written = {}
    for id_, schedule in schedules.items():
        last = known.get(id_)
        is_known = last is not None and last[0] is schedule
        written[id_] = last if last is not None and is_known else (schedule, to_entry(schedule))
    return written
