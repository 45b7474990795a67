"""The schedules while somebody holds the store's lock: read them, change them, and leaving the block keeps the changes.

Nothing is written here; the store asks changes() when the block is left.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

from foundation.errors import NotFound
from scheduler.entries import same_definition
from scheduler.model import Schedule
from scheduler.reconcile import Edit, cancelled, raised


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What a block has changed.

    edits: a person's, in the order they were made. followed: definitions that ended by themselves, the copy takes them
    over without a word. removed: deleted for good.
    """

    edits: tuple[Edit, ...]
    followed: tuple[Schedule, ...]
    removed: tuple[int, ...]


class Book:
    """The schedules, and what has been changed in this block.

    now: when the block began. Edits count from then, so whoever asks whether a time lies ahead must ask it of this.
    schedules: the live ones, in the file's order; a view that shows changes at once.
    gone: those that somebody took out of the file, as cancelled; bring_back() makes them live again.
    bad: ids whose entry can't be used, with a sentence that says why.
    foreign: something else than this process has changed the store since refreshed() was last called here.
    edited: ids whose definition was found changed (by hand, or late in the copy) since then.
    """

    def __init__(
        self,
        *,
        now: datetime,
        schedules: Mapping[int, Schedule],
        gone: Mapping[int, Schedule],
        bad: Mapping[int, str],
        foreign: bool,
        edited: frozenset[int],
        new_id: Callable[[], int],
    ) -> None:
        """gone has the schedules as they were before their entries went."""
        self.now = now
        self._live_before = schedules
        self._gone_before = gone
        self._live = dict(schedules)
        self._gone = {id_: cancelled(schedule) for id_, schedule in gone.items()}
        self._touched: dict[int, None] = {}  # in the order of the first change
        self._edited_here: set[int] = set()
        self._new_id = new_id
        self.schedules: Mapping[int, Schedule] = MappingProxyType(self._live)
        self.gone: Mapping[int, Schedule] = MappingProxyType(self._gone)
        self.bad: Mapping[int, str] = MappingProxyType(dict(bad))
        self.foreign = foreign
        self.edited = edited
        self.is_refreshed = False

    def put(self, schedule: Schedule, *, edit: bool) -> Schedule:
        """Put the schedule in the place of the one with its id; return it with the version it has now.

        edit: a person changed the definition. The version is raised, once in a block however often it is put. Otherwise
        the ledger's fields changed, or a definition ended by itself. Raises NotFound.
        """
        now_there = self._live.get(schedule.id)
        if now_there is None:
            raise NotFound(f"There is no schedule {schedule.id}.")
        if edit:
            self._edited_here.add(schedule.id)
        schedule = self._with_its_version(schedule)
        if schedule == now_there:
            return now_there
        return self._keep(schedule)

    def add(self, make: Callable[[int], Schedule]) -> Schedule:
        """Make a schedule with a new id, which is never given out again even if this block fails."""
        id_ = self._new_id()
        self._edited_here.add(id_)
        return self._keep(replace(make(id_), id=id_, version=1))

    def remove(self, id_: int) -> None:
        """Delete the schedule for good, live or gone; its id is never used again. Raises NotFound."""
        if id_ not in self._live and id_ not in self._gone:
            raise NotFound(f"There is no schedule {id_}.")
        self._live.pop(id_, None)
        self._gone.pop(id_, None)
        self._touched.setdefault(id_)

    def bring_back(self, id_: int) -> Schedule:
        """Make a schedule live again whose entry was taken out of the file, as it was then. Raises NotFound."""
        if id_ not in self._gone:
            raise NotFound(f"There is no schedule {id_} that could be brought back.")
        del self._gone[id_]
        self._edited_here.add(id_)
        return self._keep(self._with_its_version(self._gone_before[id_]))

    def refreshed(self) -> None:
        """Say that all that is foreign or edited has been dealt with; it holds once the block has been left well."""
        self.is_refreshed = True

    def changes(self) -> Changes | None:
        """Return what has been changed; None: nothing."""
        if not self._touched:
            return None
        edits, followed, removed = [], [], []
        for id_ in self._touched:
            old, new = self._before(id_), self._live.get(id_)
            if new is None:
                removed.append(id_)
            elif id_ in self._edited_here:
                edits.append(Edit(old=old, new=new))
            elif old is not None and not same_definition(old, new):
                followed.append(new)
        return Changes(edits=tuple(edits), followed=tuple(followed), removed=tuple(removed))

    def _keep(self, schedule: Schedule) -> Schedule:
        self._live[schedule.id] = schedule
        self._touched.setdefault(schedule.id)
        return schedule

    def _before(self, id_: int) -> Schedule | None:
        if id_ in self._live_before:
            return self._live_before[id_]
        return cancelled(self._gone_before[id_]) if id_ in self._gone_before else None

    def _with_its_version(self, schedule: Schedule) -> Schedule:
        before = self._before(schedule.id)
        if before is None:
            return replace(schedule, version=1)
        if schedule.id in self._edited_here:
            return raised(schedule, above=before.version)
        if schedule.version == before.version:
            return schedule
        return replace(schedule, version=before.version)
