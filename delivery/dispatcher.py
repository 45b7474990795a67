"""Takes runs from the ledger and sends them: leases batches in one thread, sends them in another.

It is only ever woken, without data: what there is to do stands in the ledger, so a run that was just claimed, one that
another process made and one that a crash left behind take the same path. Only the leader's dispatcher runs.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from datetime import timedelta

from accounts.model import Account
from delivery.compose import Composer
from delivery.group_commit import GroupCommit
from delivery.lane import Connect, Lane, Office
from delivery.leasing import Leasing
from delivery.outcome import Patience
from delivery.sender import send_all
from foundation.clock import Clock
from foundation.log import log_for
from storage.aliveness import Counts
from storage.database import Database
from storage.sealed import SecretKey

log = log_for(__name__)

# Together under the ten seconds that a stop may take. All of it is counted from the moment that the stop is seen, so a
# commit that waits for another process makes none of it longer.
REPLIES_AWAITED = timedelta(seconds=8)
_CUT_SECONDS = 0.6
_DRAINED_SECONDS = 0.6
_STOP_SEEN_SECONDS = 0.1


class Dispatcher:
    """Sends what the ledger holds, from start until stop; may be started again."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        key: SecretKey,
        public_url: str,
        connect: Connect,
        patience: Patience,
        testify: Callable[[Counts], None],
        replies_awaited: timedelta = REPLIES_AWAITED,
    ) -> None:
        self.database = database
        self.clock = clock
        self.key = key
        self.connect = connect
        self.patience = patience
        self.testify = testify
        self.replies_awaited = replies_awaited
        self.composer = Composer(key=key, public_url=public_url)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sending: Sending | None = None
        self._leasing: Leasing | None = None

    def start(self, epoch: int) -> None:
        """Begin to send, as the leader of this epoch. Who sends already, under an older one, stops first."""
        self.stop()
        self._stopping.clear()
        self._sending = sending = Sending(self, epoch)
        self._leasing = leasing = Leasing(self, epoch, sending)
        self._threads = [
            threading.Thread(target=sending.run, name="sending", daemon=False),
            threading.Thread(target=leasing.run, name="leasing", daemon=False),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing more; wait until what is on its way is settled, 10 seconds at most."""
        self._stopping.set()
        self._wake.set()
        with self.database.hurried():
            for thread in self._threads:
                thread.join()
        self._threads = []

    def wake(self) -> None:
        """Say that there may be something to do."""
        self._wake.set()

    def wait_for_wake(self, at_most: timedelta) -> None:
        """Wait until somebody has said so."""
        self.clock.wait(self._wake, at_most)
        self._wake.clear()

    def give_up(self) -> None:
        """Stop without waiting: another process leads, or sending has ended in a bug."""
        self._stopping.set()
        self._wake.set()

    @property
    def is_alive(self) -> bool:
        """Whether it sends. A leader whose dispatcher has died leads no more: a new epoch settles what is left."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def trouble(self) -> str | None:
        """Why the ledger can't be used just now and so nothing is sent, in a sentence; None where it can."""
        if not self._threads or self._sending is None or self._leasing is None:
            return None
        return self._leasing.trouble or self._sending.trouble

    @property
    def must_stop(self) -> bool:
        # Under gunicorn and Flask's reloader nobody calls stop: the main thread is just gone.
        return self._stopping.is_set() or not threading.main_thread().is_alive()


class Sending:
    """The sending thread: one event loop, a coroutine for each connection."""

    def __init__(self, dispatcher: Dispatcher, epoch: int) -> None:
        self._dispatcher = dispatcher
        self._epoch = epoch
        self._ready = threading.Event()
        self._lanes: dict[int, Lane] = {}
        self.leasing_ended = threading.Event()
        self.unsynced_since: timedelta | None = None
        self._commits: GroupCommit | None = None

    @property
    def trouble(self) -> str | None:
        """Why outcomes can't be written just now, in a sentence; None where they can."""
        return None if self._commits is None else self._commits.trouble

    def run(self) -> None:
        """Send until the dispatcher must stop."""
        try:
            asyncio.run(self._main())
        except Exception:
            log.exception("sending ended in a bug")
        finally:
            self._dispatcher.give_up()
            self._ready.set()

    def call(self, function: Callable[[], None]) -> None:
        """Run a function in the event loop, soon. For the leasing thread, which ends before the loop does."""
        self._ready.wait()
        self._loop.call_soon_threadsafe(function)

    def lane(self, account: Account) -> Lane:
        """Return the account's lane, making it when there is none yet. For the leasing thread alone."""
        self._ready.wait()
        if account.id not in self._lanes:
            self._lanes[account.id] = Lane(account, self._office)
        return self._lanes[account.id]

    @property
    def lanes(self) -> list[Lane]:
        return list(self._lanes.values())

    async def _main(self) -> None:
        d = self._dispatcher
        self._loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        self._commits = commits = GroupCommit(
            d.database, d.clock, epoch=self._epoch, loop=self._loop, on_commit=self._note_commit
        )
        self._office = Office(
            clock=d.clock,
            commits=commits,
            composer=d.composer,
            connect=d.connect,
            send_all=send_all,
            patience=d.patience,
            wake=d.wake,
            stopping=stopping,
        )
        self._ready.set()
        while not d.must_stop:
            await asyncio.sleep(_STOP_SEEN_SECONDS)
        stopping.set()
        deadline = self._loop.time() + d.replies_awaited.total_seconds()
        while not self.leasing_ended.is_set():
            await asyncio.sleep(0.01)
        # What was promised before that is taken in this turn of the loop, and given back.
        await asyncio.sleep(0)
        for lane in self.lanes:
            lane.close()
        # Wait for the replies to dots already written; then cut what is still open.
        await self._ended(by=deadline)
        for lane in self.lanes:
            lane.abort()
        await self._ended(by=deadline + _CUT_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline + _CUT_SECONDS + _DRAINED_SECONDS):
                await commits.drained()

    async def _ended(self, *, by: float) -> None:
        tasks = [task for lane in self.lanes for task in lane.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, by - self._loop.time()))

    def _note_commit(self) -> None:
        if self.unsynced_since is None:
            self.unsynced_since = self._dispatcher.clock.elapsed()
