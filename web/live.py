"""What has changed, for whoever watches: one publisher for the process, any number of readers.

It says states, not differences, so that a lost event costs nothing. It looks four times a second, and only while
somebody watches.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from assembly import Sendonce
from delivery import outlines, outlook, reads
from delivery.model import RunStatus
from delivery.outlines import RunOutline
from delivery.outlook import NOTHING, Outlook
from foundation.errors import SendonceError, Unavailable
from foundation.log import log_for
from scheduler.model import Schedule
from web.fields import rfc3339
from web.schedule_rows import is_due
from web.shell import Heartbeat, heartbeat_of

log = log_for(__name__)

MOST_READERS = 16
"""Each holds a thread of the server, which has twice as many."""

_LOOK_EVERY = timedelta(seconds=0.25)
_BEAT_EVERY = timedelta(seconds=1)
_ENDED_LATELY = timedelta(seconds=20)


@dataclass(frozen=True, slots=True)
class Event:
    """The newest state of one thing. sequence rises with every change of anything."""

    sequence: int
    kind: str
    data: str


class Publisher:
    """Keeps the newest state of every thing that changed, for its readers."""

    def __init__(self, house: Sendonce) -> None:
        self._house = house
        self._changed = threading.Condition()
        self._events: dict[str, Event] = {}
        self._sequence = 0
        self._readers = 0
        self._is_running = False
        self._schedules_seen: object = None
        self._next_beat = timedelta(0)
        self._next_outlook = timedelta(0)
        self._expected: dict[int, Outlook] = {}

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Keep the news coming while the block lasts. Raises Unavailable where as many read as may."""
        with self._changed:
            if self._readers >= MOST_READERS:
                raise Unavailable(
                    "As many streams of events are open as this server has threads to spare. Poll instead, or ask"
                    " again later."
                )
            self._readers += 1
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="events", daemon=True).start()
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1

    def current(self) -> tuple[int, list[Event]]:
        """Return where the news stands, and how what moves by itself does: unfinished runs, and the scheduler."""
        self.look()
        with self._changed:
            moving = [event for event in self._events.values() if event.kind != "schedule"]
            return self._sequence, moving

    def since(self, sequence: int, wait: timedelta) -> list[Event]:
        """Return what has changed since then, oldest first; waits so long where nothing has."""
        with self._changed:
            self._changed.wait_for(lambda: self._sequence > sequence, wait.total_seconds())
            events = [event for event in self._events.values() if event.sequence > sequence]
        return sorted(events, key=lambda event: event.sequence)

    def look(self) -> None:
        """Note what has changed since the last look."""
        house = self._house
        now = house.clock.now()
        elapsed = house.clock.elapsed()
        with house.database.read() as tx:
            runs = outlines.on_their_way(tx, or_ended_since=now - _ENDED_LATELY)
            beat = heartbeat_of(house, tx, now)
            if elapsed >= self._next_outlook:
                self._next_outlook = elapsed + _BEAT_EVERY
                self._expected = outlook.outlooks(tx, now)
        news: dict[str, tuple[str, object]] = {
            f"run {run.id}": ("run", _run_state(run, self._expected_of(run), now)) for run in runs
        }
        with self._changed:
            if elapsed >= self._next_beat:
                self._next_beat = elapsed + _BEAT_EVERY
                news["scheduler"] = ("scheduler", _beat_state(beat, now))
            news |= self._schedule_news(now)
            for key in [k for k, e in self._events.items() if e.kind == "run" and k not in news]:
                del self._events[key]  # it ended a while ago, and has said so
            for key, (kind, state) in news.items():
                self._note(key, kind, json.dumps(state))
            self._changed.notify_all()

    def _expected_of(self, run: RunOutline) -> Outlook:
        # Made once a second, so it may be of a run that has been paused since.
        is_running = run.status is RunStatus.RUNNING
        return self._expected.get(run.id, NOTHING) if is_running else NOTHING

    def _schedule_news(self, now: datetime) -> dict[str, tuple[str, object]]:
        schedules = self._house.store.read()
        due = frozenset(s.id for s in schedules if is_due(s, now=now))
        seen = (self._house.store.stamp(), due)
        if seen == self._schedules_seen:
            return {}
        self._schedules_seen = seen
        news: dict[str, tuple[str, object]] = {
            key: ("schedule", {"id": int(key.partition(" ")[2]), "deleted": True})
            for key, event in self._events.items()
            if event.kind == "schedule"
        }
        return news | {
            f"schedule {s.id}": ("schedule", _schedule_state(s, is_due=s.id in due))
            for s in schedules
        }

    def _note(self, key: str, kind: str, data: str) -> None:
        before = self._events.get(key)
        if before is None or before.data != data:
            self._sequence += 1
            self._events[key] = Event(self._sequence, kind, data)

    def _run(self) -> None:
        never = threading.Event()
        while True:
            try:
                self.look()
            except SendonceError as error:
                log.warning("no news for the dashboard", reason=error.message)
            except Exception:
                log.exception("looking for news failed")
            self._house.clock.wait(never, _LOOK_EVERY)
            with self._changed:
                if not self._readers or self._house.thread.is_stopping:
                    self._is_running = False
                    return


def _run_state(run: RunOutline, expected: Outlook, now: datetime) -> object:
    return {
        "id": run.id,
        "schedule_id": run.schedule_id,
        "status": run.status,
        "reason": run.reason or expected.waits_for,
        "counts": asdict(run.counts),
        "rate_per_second": reads.rate_per_second(run, now) if run.finished_at is None else None,
        "eta_seconds": expected.eta_seconds,
    }


def _schedule_state(schedule: Schedule, *, is_due: bool) -> object:
    return {
        "id": schedule.id,
        "version": schedule.version,
        "status": schedule.status,
        "enabled": schedule.enabled,
        "next_run": rfc3339(schedule.next_run) if schedule.next_run else None,
        "due": is_due,
    }


def _beat_state(beat: Heartbeat, now: datetime) -> object:
    return {
        "now": rfc3339(now),
        "status": beat.status,
        "last_tick": rfc3339(beat.last_tick) if beat.last_tick else None,
    }
