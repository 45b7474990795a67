"""A machine, its clock and disk, a mail server, and the processes that come and go on it; one thing happens at a time.

All that is left to chance is drawn from one source, so a history can be repeated, and made shorter until only what
matters is left.
"""

import heapq
import itertools
import shutil
import sqlite3
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import structlog
from sqlalchemy import Engine

from delivery import sender
from storage import aliveness
from tests.house import _lay_tables, settings_for
from tests.simulation.clock import NOTHING, MachineClock
from tests.simulation.disk import MachineDisk
from tests.simulation.mail_server import Key, Truth
from tests.simulation.process import Died, Process
from tests.simulation.promise import Promise

_MOST_IDLE = timedelta(seconds=60)
_EARLY = ("connect", "greeting", "EHLO")
_FIRST_IDLE = timedelta(seconds=2)


class World:
    """Everything that there is in one history."""

    def __init__(self, folder: Path, dice: Random, **settings: str) -> None:
        self.folder = folder
        self.dice = dice
        self.clock = MachineClock()
        self.disk = MachineDisk()
        self.truth = Truth()
        self.settings = settings_for(folder, **settings)
        self.processes: list[Process] = []
        self.is_calm = False
        self.power_fails = False
        self.boots = 1
        self.steps = 0
        self.story: deque[str] = deque(maxlen=4000)
        self.bugs: list[str] = []
        self._events: list[tuple[timedelta, int, Callable[..., None], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._names = itertools.count(1)
        self._idle = _FIRST_IDLE
        self._mischief_in = 0
        self._mischief_every = 0
        self.deaths_within = 0
        self._log: list[int] = []  # lengths of the write-ahead log since the last durable commit
        self._copy: dict[str, bytes] | None = None
        self._copied_at: Any = None
        self._copied_in = 0, 0
        self._sent_in = 0, 0  # the leader and its minute in which somebody could last send
        self._lost_power = False  # since the copy was made
        self._slow = NOTHING
        _lay_tables(folder / "data")
        self._keeper = self._open_keeper()
        self.promise = Promise(self)

    # chance

    def odds(self, one_in: int) -> bool:
        return one_in > 0 and self.dice.randint(1, one_in) == one_in

    def be_nasty(self, *, mischief_every: int, deaths_within: int) -> None:
        """Say how often the mail server misbehaves at most, and within how many edges a process dies; 0 for never."""
        self._mischief_every = mischief_every
        self._mischief_in = mischief_every and self.dice.randint(1, mischief_every)
        self.deaths_within = deaths_within
        self._slow = timedelta(milliseconds=self.dice.choice([0, 0, 30, 300]))

    def mischief(self, point: str, ways: int) -> int:
        """Return what the mail server does at this point of a conversation: 0 for what it should."""
        self.count_step()
        if self.is_calm or not self._mischief_every:
            return 0
        if point in _EARLY and self.odds(2):
            return 0  # what makes an account rest makes a dull history
        # A conversation has one end among many other points, and it matters most.
        self._mischief_in -= 3 if point == "end" else 1
        if self._mischief_in > 0:
            return 0
        self._mischief_in = self.dice.randint(1, self._mischief_every)
        way = self.dice.randint(0, ways - 1)
        self.tell("server", f"{point}: {way}")
        return way

    def latency(self) -> timedelta:
        return self._slow

    # what happens

    def tell(self, who: str, what: str) -> None:
        self.story.append(f"{self.clock.now():%d %H:%M:%S.%f} {who}: {what}")

    def count_step(self) -> None:
        self.steps += 1

    def later(self, wait: timedelta, function: Callable[..., None], *args: Any) -> None:
        entry = (self.clock.true + wait, next(self._numbers), function, args)
        heapq.heappush(self._events, entry)

    def go_on(self, steps: int) -> None:
        """Let so many things happen, in an order that chance decides."""
        for _ in range(steps):
            self.go_on_once()

    def go_on_once(self) -> bool:
        """Let one thing happen; return whether it was more than looking whether there is anything."""
        ready: list[Callable[[], object]] = []
        for process in self.processes:
            ready += process.ready()
        if self._events and self._events[0][0] <= self.clock.true:
            ready.append(self._next_event)
        if not ready:
            self._wait()
            return False
        step = ready[self.dice.randint(0, len(ready) - 1)] if len(ready) > 1 else ready[0]
        polled = step.__name__ != "turn" and step.__name__ != "_next_event"
        if not polled:
            self._idle = _FIRST_IDLE
        self.attempt(step)
        return not polled

    def attempt(self, step: Callable[[], object]) -> Any:
        """Take a step of a process or a person; whoever dies in it is buried."""
        self.count_step()
        answer = None
        with suppress(Died):
            answer = step()
        for process in [p for p in self.processes if p.is_dead]:
            self.processes.remove(process)
            self.promise.process_died(process)
            process.bury()
        if self.power_fails:
            self.cut_the_power()
        self.promise.check()
        return answer

    def _next_event(self) -> None:
        _, _, function, args = heapq.heappop(self._events)
        function(*args)

    def _wait(self) -> None:
        """Move the clock to what comes next. Threads that only look whether there is anything may be late."""
        waits = [self._events[0][0] - self.clock.true] if self._events else []
        waits += [w for p in self.processes if (w := p.next_in(polls=False)) is not None]
        polls = [w for p in self.processes if (w := p.next_in(polls=True)) is not None]
        self._idle = _MOST_IDLE if self.is_calm else min(self._idle * 2, _MOST_IDLE)
        idle = max(min(polls, default=_FIRST_IDLE), self._idle)
        wait = min([*waits, idle]) if self._idle < _MOST_IDLE else min(waits, default=idle)
        self.clock.move_to(self.clock.true + max(wait, timedelta(microseconds=1)))

    def let_the_network_go_on(self, *, until: timedelta | None) -> None:
        """Let time go by for one process that waits inside a step of its own."""
        at = self._events[0][0] if self._events else None
        end = None if until is None else self.clock.true + until
        if at is not None and (end is None or at <= end):
            self.clock.move_to(max(self.clock.true, at))
            self._next_event()
        else:
            assert end is not None, "it waits for ever"
            self.clock.move_to(max(self.clock.true, end))

    def sleep(self, duration: timedelta) -> None:
        """Let the whole machine sleep: whoever wakes finds every time-out over."""
        self.tell("machine", f"sleeps for {duration}")
        self.clock.move_to(self.clock.true + duration)

    # processes and power

    def start(self) -> Process:
        name = f"process {next(self._names)}"
        self.tell(name, "starts")
        within = self.deaths_within
        dies_after = self.dice.randint(1, within) if within else 0
        of_a_power_cut = self.odds(3)
        process = Process(self, name, dies_after=dies_after, of_a_power_cut=of_a_power_cut)
        self.processes.append(process)
        return process

    def kill(self, process: Process) -> None:
        self.tell(process.name, "is killed")
        process.is_dead = True
        self.attempt(lambda: None)

    def cut_the_power(self) -> None:
        """Let the machine die: of what was not durable, some may be there when it comes up again."""
        self.tell("machine", "loses power")
        self.power_fails = False
        data = self.folder / "data"
        database, log = data / "sendonce.db", data / "sendonce.db-wal"
        kept = self._log[self.dice.randint(0, len(self._log) - 1)] if self._log else None
        copies = database.read_bytes(), log.read_bytes() if log.exists() else b""
        for process in self.processes:
            process.bury()
        self.processes.clear()
        self._keeper.close()
        for path in data.glob("sendonce.db*"):
            path.unlink()
        database.write_bytes(copies[0])
        log.write_bytes(copies[1][:kept])
        self.disk.lose(self.dice)
        self._lost_power = True
        self.boots += 1
        self.clock.boot()
        self._keeper = self._open_keeper()
        self._log.clear()
        self.promise.power_is_back()
        self.promise.check()

    @property
    def has_copy(self) -> bool:
        return self._copy is not None

    def copy(self) -> None:
        """Copy the database and the schedule file, as a tool for backups does while nothing else happens."""
        self.tell("somebody", "copies the directory")
        data = self.folder / "data"
        names = ("sendonce.db", "sendonce.db-wal", "scheduled_campaigns.json", "high_water")
        self._copy = {n: (data / n).read_bytes() for n in names if (data / n).exists()}
        self._copied_at, self._copied_in = self._mark(), self._minute()
        self._lost_power = False

    def put_back(self) -> None:
        """Stop everything, and put the copy in the place of what there is. The witness outside stays.

        A power cut takes from it what was leased since the last minute began: a copy of that very minute can't be told
        from the ledger that it replaces, unless somebody has led in between.
        """
        assert self._copy is not None
        if self._mark() == self._copied_at:
            return  # nothing is lost, and nothing to be noticed
        self.tell("somebody", "puts the directory back")
        for process in self.processes:
            process.bury()
        self.processes.clear()
        while self._events:  # what the dead have given to the network arrives before
            self._next_event()
        self._keeper.close()
        data = self.folder / "data"
        for path in data.iterdir():
            if path.is_file() and not path.name.endswith(".lock"):
                path.unlink()
        for name, content in self._copy.items():
            (data / name).write_bytes(content)
        self.disk.forget()
        self._log.clear()
        self._keeper = self._open_keeper()
        self.promise.is_put_back(
            can_be_told=not self._lost_power or self._sent_in > self._copied_in
        )
        self.promise.check()

    def _mark(self) -> Any:
        """Return what is another whenever something was sent, or may have been."""
        starts = self.ask("SELECT max(epoch) FROM epochs")
        return starts, self.ask("SELECT value FROM sequences WHERE name = 'leases'")

    def _minute(self) -> tuple[int, int]:
        [(starts, minutes)] = self.ask(
            "SELECT (SELECT coalesce(max(epoch), 0) FROM epochs),"
            " coalesce((SELECT value FROM sequences WHERE name = 'minutes'), 0)"
        )
        return starts, minutes

    def boot_id(self) -> str:
        return f"boot {self.boots}"

    # what the promise is checked by

    def note_sending(self, process: Process) -> None:
        """Keep how far the ledger was when its leader could send: no power cut may take that from the witness."""
        minute = self._minute()
        if minute[0] == process.epoch:
            self._sent_in = minute

    def committed(self, process: Process, *, durable: bool) -> None:
        size = process.house.database.log_size_bytes()
        if durable:
            self._log.clear()
        self._log.append(size)
        self.promise.committed(process)

    def content_begins(self, process: Process, key: Key) -> None:
        self.truth.begun[key] += 1
        self.note_sending(process)
        self.promise.content_begins(process, key)

    def accept(self, key: Key) -> None:
        self.tell("server", f"accepts {key}")
        self.truth.accepted[key] += 1
        self.promise.accepted(key)

    def refuse_all(self, email: str) -> None:
        self.promise.may_fail.add(email)

    def found_bug(self, what: str, error: BaseException | None) -> None:
        raise_later = f"{what}: {error!r}"
        self.tell("bug", raise_later)
        self.bugs.append(raise_later)

    def ask(self, question: str, **values: Any) -> list[Any]:
        return self._keeper.execute(question, values).fetchall()

    def _open_keeper(self) -> sqlite3.Connection:
        # As long as it is open, no process is the last to close the database, which would tidy its log.
        keeper = sqlite3.connect(self.folder / "data" / "sendonce.db", isolation_level=None)
        keeper.execute("PRAGMA journal_mode=WAL")
        keeper.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        keeper.execute("SELECT count(*) FROM runs").fetchall()
        return keeper

    def share_statements(self, engine: Engine) -> None:
        """Let all processes know what the first one has compiled: that is no state, and takes longest."""
        first = _COMPILED.setdefault("first", engine)
        engine.dialect = engine.pool._dialect = first.dialect
        engine._compiled_cache = first._compiled_cache

    def end(self) -> None:
        for process in self.processes:
            process.bury()
        self._keeper.close()


_COMPILED: dict[str, Engine] = {}


@contextmanager
def a_world(folder: Path, dice: Random, patch: Any, **settings: str) -> Iterator[World]:
    """Give a world, in which the boot's name, the log and the dice of retries are the world's own."""
    world = World(folder, dice, **settings)
    patch.setattr(aliveness, "boot_id", world.boot_id)
    patch.setattr(aliveness, "machine_id", lambda: "machine")
    sender._dice.seed(0)
    with _log_into(world):
        try:
            yield world
        finally:
            world.end()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _log_into(world: World) -> Iterator[None]:
    """An error of our own in the log is a find."""

    def look(logger: Any, method: str, said: dict[str, Any]) -> Any:
        if said.get("exc_info"):
            world.found_bug(str(said["event"]), _error_of(said["exc_info"]))
        elif method == "warning" or method == "error":
            world.tell("log", " ".join(f"{v}" for v in said.values()))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[look],
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _error_of(exc_info: Any) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    return sys.exc_info()[1]
