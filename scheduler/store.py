"""Where schedules are kept: what the tick and the desk need of it. There are two homes: a JSON file, and PostgreSQL."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from identity.audit import SENDONCE, Author
from scheduler.book import Book
from scheduler.model import Schedule
from scheduler.reconcile import Edit, Kind
from storage.database import Tx

__all__ = ["Book", "NoteChanges", "Notice", "OnEdit", "ScheduleStore"]

OnEdit = Callable[[Tx, Schedule | None, Schedule, datetime], None]
"""Called with the old definition (None: there was none) and the new one, in the transaction that keeps the new one."""

NoteChanges = Callable[[Tx, Author, Sequence[Edit], Sequence[Schedule], datetime], None]
"""Called with who has changed what, and what is gone by it, in the transaction that keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something about the store that a person should know."""

    id: int
    at: datetime
    kind: Kind
    schedule_id: int | None
    message: str
    detail: dict[str, Any]


class ScheduleStore(Protocol):
    """The schedules of one data directory, shared by all its processes."""

    def lead(self) -> bool:
        """Take or keep the leadership, without waiting; return whether this process leads."""

    def resign(self) -> None:
        """Let another process lead."""

    def read(self) -> list[Schedule]:
        """Return all schedules in their order, then those that are missing and can be brought back, as cancelled."""

    def taken_out(self) -> frozenset[int]:
        """Return the ids of those that are missing and can be brought back."""

    def stamp(self) -> object:
        """Return a value that changes whenever the store does; None when there is none. Takes no lock."""

    def edit(self, *, by: Author = SENDONCE) -> AbstractContextManager[Book]:
        """Lock the store and give the schedules to a block that may change them; leaving it keeps the changes.

        by: who changes them, for the audit log. All changes are kept at once, or, when the block raises, none. Never
        enter it inside a transaction: the store's lock comes before the database's. Raises Unavailable when the store
        can't be locked, read or written.
        """

    def notices(self, tx: Tx, *, since: datetime | None) -> list[Notice]:
        """Return what was found since then, newest first; None: since ever."""
