"""What the scheduler is made of, handed over by assembly."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scheduler.model import Slot
from scheduler.steady_clock import SteadyClock
from scheduler.store import ScheduleStore
from storage.database import Database
from storage.installation import Installation
from storage.sealed import SecretKey

scheduler_lock = threading.Lock()
"""Held for a tick, never while sending. Locks are taken in one order: this one, the store's file lock, the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look at the database, as it was before: how often this process had written, and the time."""

    writes: int
    elapsed: timedelta


@dataclass(slots=True, kw_only=True)
class Agenda:
    """What a tick remembers for the next one, so that one with nothing due reads nothing. Losing it costs one look.

    look_at: when something is due next. waiting: slots of which the log says already that they wait for the buffer.
    seen: the look at which the ledger had nothing to tell. installation: what was read about it last, and when.
    trouble: why the last tick could not be done, in a sentence; None where it could.
    """

    stamp: object = None
    goes_back: bool = True  # what lies ahead of the clock has yet to go back with it
    look_at: datetime | None = None
    slots: dict[int, tuple[object, Slot | None]] = field(default_factory=dict)
    waiting: set[tuple[int, str]] = field(default_factory=set)
    seen: Seen | None = None
    installation: tuple[Seen, Installation] | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerParts:
    """Everything a tick and the desk need.

    epoch says under which epoch this process leads, None while it stands by; wake wakes the dispatcher; key is what the
    audit log is sealed with.
    """

    database: Database
    key: SecretKey
    store: ScheduleStore
    clock: SteadyClock
    check_interval: timedelta
    buffer: timedelta
    catch_up_window: timedelta
    wake: Callable[[], None]
    epoch: Callable[[], int | None]
    agenda: Agenda = field(default_factory=Agenda)

    def look(self) -> Seen:
        """Say that the database is looked at from now on."""
        return Seen(writes=self.database.writes, elapsed=self.clock.elapsed())

    def is_fresh(self, seen: Seen) -> bool:
        """Whether what was seen then still holds: this process has written nothing since.

        For what other processes write there has to be a look in every check interval.
        """
        return (
            seen.writes == self.database.writes
            and self.clock.elapsed() - seen.elapsed < self.check_interval
        )
