"""One process of the product on the simulated machine: everything is real but its edges and its threads.

The steps that its threads would take are taken by the world, one at a time and in any order that threads may have. It
may die at each commit and at each step on the network or the disk; whatever of it still runs then finds every edge
raising.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from accounts.endpoint import endpoint_of
from accounts.model import Account
from assembly import Edges, Sendonce, assemble
from delivery.dispatcher import Dispatcher, Sending
from delivery.leasing import Leasing
from mail import opening
from mail.reply import Broken, Reply
from mail.transport import Transport
from scheduler.thread import step
from tests.simulation.clock import NOTHING
from tests.simulation.disk import ProcessDisk
from tests.simulation.loop import SimLoop
from tests.simulation.mail_server import ClientTransport

if TYPE_CHECKING:
    from tests.simulation.world import World

LOOKS_AGAIN = timedelta(seconds=0.2)  # the leasing thread
MOST_TO_STOP = timedelta(seconds=10)


class Died(BaseException):
    """The process is gone: no line of it has any effect from here on."""


class Unthreaded(Dispatcher):
    """The dispatcher without its two threads: the world takes their steps."""

    process: "Process"

    def start(self, epoch: int) -> None:
        self.stop()
        self._stopping.clear()
        sending = Sending(self, epoch)
        self.process.begin_sending(sending, Leasing(self, epoch, sending), epoch)

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        self.process.end_sending()

    @property
    def is_alive(self) -> bool:
        return self.process.sends


class Process:
    """A process that was just started."""

    def __init__(self, world: "World", name: str, *, dies_after: int, of_a_power_cut: bool) -> None:
        self.world = world
        self.name = name
        self.dies_after = 0
        self.dies_of_a_power_cut = of_a_power_cut
        self.is_dead = False
        self.is_frozen = False
        self.connections: set[ClientTransport] = set()
        self.loop = SimLoop(world.clock, self._reach, self._dial)
        self.loop.set_exception_handler(self._complain)
        self._sending: asyncio.Task[None] | None = None
        self._leasing: Leasing | None = None
        self._leasing_ended: Callable[[], None] | None = None
        self._epoch = 0
        self._next_lease = NOTHING
        self._next_tick = world.clock.true
        self._commits: bool | None = None
        disk = ProcessDisk(world.disk, self.edge)
        self.house: Sendonce = assemble(world.settings, Edges(clock=world.clock, disk=disk))
        self._take_the_edges()
        self.dies_after = dies_after

    def _take_the_edges(self) -> None:
        house, dispatcher = self.house, self.house.dispatcher
        # The very object that assembly has plugged in everywhere, run by the world.
        dispatcher.__class__ = Unthreaded
        assert isinstance(dispatcher, Unthreaded)
        dispatcher.process = self
        dispatcher.connect = self._connect
        engine = house.database._engine
        self.world.share_statements(engine)
        event.listen(engine, "begin", self._begins)
        event.listen(engine, "commit", self._will_commit)
        event.listen(engine, "checkin", self._gave_back)

    # the edges

    def must_live(self) -> None:
        """Raise Died in a process that is gone."""
        if self.is_dead:
            raise Died

    def edge(self, what: str) -> None:
        """A place where the process may die. Raises Died."""
        self.must_live()
        self.world.count_step()
        if self.world.is_calm or not self.dies_after:
            return
        self.dies_after -= 1
        if self.dies_after == 0:
            self.world.tell(self.name, f"dies, about to {what}")
            self.is_dead = True
            self.world.power_fails |= self.dies_of_a_power_cut
            raise Died

    def _begins(self, connection: Any) -> None:
        self.must_live()

    def _will_commit(self, connection: Any) -> None:
        options = connection.get_execution_options()
        if "sendonce_synchronous" not in options:
            return
        self.edge("commit")
        if self.world.disk.is_full:
            full = sqlite3.OperationalError("database or disk is full")
            raise OperationalError("COMMIT", {}, full)
        self._commits = options["sendonce_synchronous"] == "FULL"

    def _gave_back(self, *args: Any) -> None:
        if self._commits is not None and not self.is_dead:
            durable, self._commits = self._commits, None
            self.world.committed(self, durable=durable)

    async def _reach(self) -> None:
        """Reach the mail server's host."""
        self.edge("connect")
        match self.world.mischief("connect", 4):
            case 1:
                raise ConnectionRefusedError(111, "refused")
            case 2:
                await asyncio.sleep(3600)
            case 3:
                raise OSError(101, "unreachable")

    def _dial(self, protocol: asyncio.Protocol) -> ClientTransport:
        return ClientTransport(self, protocol)

    async def _connect(self, account: Account) -> Transport | Reply | Broken:
        return await opening.connect(endpoint_of(account, sandbox_port=25))

    def _complain(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Died):
            self.world.found_bug(str(context.get("message")), error)

    # what its threads do

    def ready(self) -> list[Callable[[], object]]:
        """Return the steps that its threads could take now."""
        if self.is_frozen:
            return []
        now = self.world.clock.true
        steps: list[Callable[[], object]] = []
        if self.loop.is_ready:
            steps.append(self.loop.turn)
        if self._leasing is not None and (now >= self._next_lease or self._is_woken):
            steps.append(self.lease)
        if now >= self._next_tick:
            steps.append(self.tick)
        return steps

    @property
    def _is_woken(self) -> bool:
        return self.house.dispatcher._wake.is_set()

    def next_in(self, *, polls: bool) -> timedelta | None:
        """Return how long it is until something wants to happen; polls counts what only looks whether there is."""
        if self.is_frozen:
            return None
        found = [self.loop.due_in(but=None if polls else self._sending)]
        if polls:
            now = self.world.clock.true
            found.append(self._next_tick - now)
            if self._leasing is not None:
                found.append(self._next_lease - now)
        return min((f for f in found if f is not None), default=None)

    def tick(self) -> None:
        """What the scheduler's thread does once every check interval."""
        house = self.house
        self._next_tick = self.world.clock.true + house.scheduler.check_interval
        step(house.scheduler, house.leader)

    def lease(self) -> None:
        """One turn of the leasing thread's loop, as Leasing.run has it."""
        dispatcher = self.house.dispatcher
        assert self._leasing is not None
        dispatcher._wake.clear()
        if dispatcher.must_stop:
            self._end_leasing()
        elif not self._leasing._step_safely():
            self._next_lease = self.world.clock.true + LOOKS_AGAIN

    def _end_leasing(self) -> None:
        assert self._leasing is not None
        self.house.dispatcher.give_up()
        self._leasing._sending.leasing_ended.set()
        self._leasing = None

    def begin_sending(self, sending: Sending, leasing: Leasing, epoch: int) -> None:
        self._epoch = epoch
        self.world.note_sending(self)
        self._sending = self.loop.create_task(self._send(sending))
        self._leasing = leasing
        self._next_lease = self.world.clock.true
        self.loop.turn()
        self.must_live()

    async def _send(self, sending: Sending) -> None:
        """What Sending.run does."""
        try:
            await sending._main()
        except Exception as error:
            self.world.found_bug("sending ended in a bug", error)
        finally:
            self.house.dispatcher.give_up()

    def end_sending(self) -> None:
        """Let the two threads end, as a stop waits for them."""
        begun = self.world.clock.true
        while self._leasing is not None or self.sends:
            if self._leasing is not None:
                self._end_leasing()
            elif self.loop.is_ready:
                self.loop.turn()
            else:
                self.world.let_the_network_go_on(until=self.loop.due_in())
            self.must_live()
        assert self.world.clock.true - begun <= MOST_TO_STOP, "a stop takes too long"
        self._sending = None

    @property
    def sends(self) -> bool:
        return self._sending is not None and not self._sending.done()

    @property
    def epoch(self) -> int:
        """The epoch that it sends under, or did last."""
        return self._epoch

    # its end

    def bury(self) -> None:
        """Do for a dead process what the kernel does: close its connections, free its locks."""
        self.is_dead = True
        self.loop.abandon(Died())
        for connection in list(self.connections):
            connection.cut()
        self.house.store.resign()
        self.house.leader._witness.release()
        self.house.database.close()

    def stop(self) -> None:
        """Stop as on SIGTERM."""
        self.house.leader.step_down()
