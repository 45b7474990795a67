"""The scheduler's thread: leads where nobody else does, ticks every check interval, and never ends by an error."""

import threading
from datetime import timedelta
from typing import Protocol

from delivery.ledger import SteppedDown
from foundation.errors import Unavailable
from foundation.log import log_for
from scheduler.clock_watch import look_at_clock
from scheduler.parts import SchedulerParts
from scheduler.tick import check_and_execute_scheduled_campaigns
from storage.database import Database

log = log_for(__name__)

_SLICE = timedelta(seconds=1)


class Leader(Protocol):
    """What leading means beyond the tick: assembly gives it."""

    @property
    def epoch(self) -> int | None:
        """The epoch this process leads under; None while it stands by."""

    def take_over(self) -> bool:
        """Raise the epoch, settle what the last leader left, begin to send; False: a copy is led on this machine."""

    def step_down(self) -> None:
        """Stop sending and let go of the leadership."""

    def look_after_sending(self) -> None:
        """Step down where sending has ended: a leader that claims and does not send would hold everybody up."""

    def ticked(self) -> None:
        """Say that a tick has been done."""


class SchedulerThread:
    """One thread for each process; standing by it looks every check interval whether it can lead."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._database: Database | None = None

    def start(self, parts: SchedulerParts, leader: Leader) -> None:
        """Begin to tick. Raises RuntimeError when it is running already: one process serves one data directory."""
        if self.is_alive():
            raise RuntimeError("the scheduler thread of this process is running already")
        self._stopping.clear()
        self._database = parts.database
        self._thread = threading.Thread(
            target=self._run, args=(parts, leader), name="scheduler", daemon=False
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop after the tick that is under way, and let another process lead."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            # Not for as long as another process may hold the database: a stop has ten seconds in all.
            assert self._database is not None
            with self._database.hurried():
                self._thread.join()
            self._thread = None

    @property
    def is_stopping(self) -> bool:
        """Whether this process is about to end; under gunicorn and Flask's reloader nobody calls stop."""
        return self._stopping.is_set() or not threading.main_thread().is_alive()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self, parts: SchedulerParts, leader: Leader) -> None:
        is_told = False
        while not self.is_stopping:
            begun = parts.clock.elapsed()
            stands_by = step(parts, leader)
            if stands_by and not is_told:
                log.info("this process stands by, another one leads")
            # A leader that loses the leadership has said so itself.
            is_told = is_told or stands_by or leader.epoch is not None
            self._wait(parts, until=begun + parts.check_interval)
        _step_down(leader)

    def _wait(self, parts: SchedulerParts, *, until: timedelta) -> None:
        """Wait for the next tick, in slices in which the main thread's end is seen."""
        while (left := until - parts.clock.elapsed()) > timedelta(0):
            if parts.clock.wait(self._stopping, min(left, _SLICE)):
                return
            if self.is_stopping:
                return


def step(parts: SchedulerParts, leader: Leader) -> bool:
    """Take or keep the leadership, and tick; return whether another process leads.

    Whatever goes wrong is logged, and the next step comes.
    """
    try:
        look_at_clock(parts)
        if not parts.store.lead():
            if leader.epoch is not None:
                log.warning("the leadership is lost, this process stands by")
                leader.step_down()
            _note_well(parts)
            return True
        if leader.epoch is None and not leader.take_over():
            parts.store.resign()
            _note_well(parts)
            return True
        leader.look_after_sending()
        check_and_execute_scheduled_campaigns(parts)
        leader.ticked()
        _note_well(parts)
    except SteppedDown:
        log.warning("another process leads, this one stands by")
        _step_down(leader)
    except Unavailable as error:
        if parts.agenda.trouble is None:  # once, not every tick
            log.error("a store can't be used, every tick tries again", reason=error.message)
        parts.agenda.trouble = error.message
    except Exception:
        log.exception("a tick failed, the next one comes")
    return False


def _note_well(parts: SchedulerParts) -> None:
    if parts.agenda.trouble is not None:
        log.info("the stores can be used again")
    parts.agenda.trouble = None


def _step_down(leader: Leader) -> None:
    try:
        leader.step_down()
    except Exception:
        log.exception("stepping down failed")


scheduler_thread = SchedulerThread()
