"""Takes runs from the ledger and sends them: leases batches in one thread, sends them in another.

It is only ever woken, without data: what there is to do stands in the ledger, so a run that was just claimed, one that another process
made and one that a crash left behind take the same path. Only the leader's dispatcher runs.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

from accounts import store as account_store
from accounts import usage
from accounts.model import Account, State
from accounts.picker import remaining
from delivery import ledger, reads
from delivery.compose import Composer, RunContent
from delivery.group_commit import GroupCommit
from delivery.lane import Connect, Lane, Office, Work
from delivery.ledger import SteppedDown
from delivery.model import RunStatus
from delivery.outcome import Patience
from delivery.reads import Progress
from delivery.sender import send_all
from foundation.clock import Clock
from foundation.errors import Invalid, NotFound, Unavailable
from foundation.log import log_for
from storage import aliveness
from storage.database import Database, Tx
from storage.sealed import SecretKey

log = log_for(__name__)

MATERIALISED_AT_ONCE = 5000
_LOOK_AGAIN = timedelta(seconds=0.2)
_BEAT_EVERY = timedelta(seconds=1)
_REPLIES_AWAITED_SECONDS = 8.0
_CHECKPOINT_BYTES = 16 * 1024 * 1024
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
    ) -> None:
        self.database = database
        self.clock = clock
        self.key = key
        self.connect = connect
        self.patience = patience
        self.composer = Composer(key=key, public_url=public_url)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, epoch: int) -> None:
        """Begin to send, as the leader of this epoch."""
        self._stopping.clear()
        sending = _Sending(self, epoch)
        leasing = _Leasing(self, epoch, sending)
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
        """Stop without waiting: another process leads."""
        self._stopping.set()

    @property
    def is_alive(self) -> bool:
        """Whether both threads work; False before start, after stop, and when one of them has died."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    @property
    def must_stop(self) -> bool:
        # Under gunicorn and Flask's reloader nobody calls stop: the main thread is just gone.
        return self._stopping.is_set() or not threading.main_thread().is_alive()


class _Sending:
    """The sending thread: one event loop, a coroutine for each connection."""

    def __init__(self, dispatcher: Dispatcher, epoch: int) -> None:
        self._dispatcher = dispatcher
        self._epoch = epoch
        self._ready = threading.Event()
        self._lanes: dict[int, Lane] = {}
        self.leasing_ended = threading.Event()
        self.unsynced_since: timedelta | None = None

    def run(self) -> None:
        asyncio.run(self._main())

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
        commits = GroupCommit(
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
        while not self.leasing_ended.is_set():
            await asyncio.sleep(0.01)
        for lane in self.lanes:
            lane.close()
        await self._settle()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(commits.drained(), 1.0)

    async def _settle(self) -> None:
        """Wait for the replies to dots already written; then cut what is still open."""
        for seconds, cut in ((_REPLIES_AWAITED_SECONDS, False), (1.0, True)):
            if cut:
                for lane in self.lanes:
                    lane.abort()
            tasks = [task for lane in self.lanes for task in lane.tasks]
            if not tasks:
                return
            await asyncio.wait(tasks, timeout=seconds)

    def _note_commit(self) -> None:
        if self.unsynced_since is None:
            self.unsynced_since = self._dispatcher.clock.elapsed()


class _Leasing:
    """The leasing thread: makes deliveries, starts and ends runs, leases batches, says that the leader is alive."""

    def __init__(self, dispatcher: Dispatcher, epoch: int, sending: _Sending) -> None:
        self._d = dispatcher
        self._epoch = epoch
        self._sending = sending
        self._contents: dict[int, RunContent] = {}
        self._turn = 0
        self._next_beat = timedelta(0)

    def run(self) -> None:
        d = self._d
        while not d.must_stop:
            busy = False
            try:
                busy = self._step()
            except SteppedDown:
                log.warning("another process leads, this one stops sending", epoch=self._epoch)
                d.give_up()
            except Unavailable as error:
                log.error("the ledger can't be used, nothing is leased", reason=error.message)
            except Exception:
                log.exception("leasing failed, and is tried again")
            if not busy:
                d.wait_for_wake(_LOOK_AGAIN)
        self._sending.leasing_ended.set()

    def _step(self) -> bool:
        """Do what there is to do now; return whether there is more to be done at once."""
        d = self._d
        now = d.clock.now()
        self._beat(now)
        with d.database.read() as tx:
            unfinished = reads.progress(tx)
        self._contents = {p.id: c for p in unfinished if (c := self._contents.get(p.id))}
        busy = [self._advance(p, now) for p in unfinished]
        running = [p.id for p in unfinished if p.status == RunStatus.RUNNING and p.materialised]
        for lane in self._sending.lanes:
            if lane.outstanding:
                self._sending.call(functools.partial(lane.keep_only, frozenset(running)))
        leased = self._lease([r for r in running if self._is_compiled(r)], now)
        return any(busy) or leased

    def _beat(self, now: datetime) -> None:
        """Say once a second that the leader is alive; make outcomes durable after a second of quiet; tidy the log."""
        d = self._d
        elapsed = d.clock.elapsed()
        if elapsed < self._next_beat:
            return
        self._next_beat = elapsed + _BEAT_EVERY
        unsynced = self._sending.unsynced_since
        quiet = unsynced is not None and elapsed - unsynced >= _BEAT_EVERY
        if quiet:
            self._sending.unsynced_since = None
        with d.database.write(durable=quiet) as tx:
            aliveness.beat(tx, self._epoch, now=now, last_tick=None)
        if d.database.log_size_bytes() > _CHECKPOINT_BYTES:
            d.database.checkpoint()

    def _advance(self, p: Progress, now: datetime) -> bool:
        """Bring one run a step further; return whether it went."""
        under_way = p.queued or p.sending
        if (
            under_way
            and p.materialised
            and p.status not in (RunStatus.CLAIMED, RunStatus.CANCELLED)
        ):
            return False
        with self._d.database.write(durable=True) as tx:
            if not p.materialised:
                ledger.materialise(tx, p.id, rows=MATERIALISED_AT_ONCE, now=now)
                return True
            if p.status == RunStatus.CLAIMED:
                if started := ledger.start(tx, p.id, now):
                    log.info("run started", run_id=p.id)
                return started
            if p.status == RunStatus.CANCELLED and p.queued:
                return ledger.skip_unsent(tx, p.id, reason="cancelled", now=now) > 0
            if under_way:
                return False
            if finished := ledger.finish(tx, p.id, now):
                run = reads.run(tx, p.id)
                log.info("run finished", run_id=p.id, status=str(run.status), **asdict(run.counts))
            return finished

    def _is_compiled(self, run_id: int) -> bool:
        """See to it that the run's content is compiled; a run whose content can't be is paused, and says why."""
        if run_id in self._contents:
            return True
        with self._d.database.read() as tx:
            run = reads.run(tx, run_id)
        try:
            self._contents[run_id] = RunContent.of(run)
        except Invalid as error:
            with self._d.database.write(durable=True) as tx:
                ledger.set_status(
                    tx, run_id, [RunStatus.RUNNING], to=RunStatus.PAUSED, reason=error.message
                )
            return False
        return True

    def _lease(self, running: list[int], now: datetime) -> bool:
        """Lease a batch for each account that has room; return whether anything was leased."""
        if not running:
            return False
        # Whoever was first the last time is last now: runs that share an account get on together.
        self._turn = (self._turn + 1) % len(running)
        fair = running[self._turn :] + running[: self._turn]
        with self._d.database.read() as tx:
            due = [r for r in fair if reads.has_due(tx, r, now)]
            ids = {a for r in due for a in self._contents[r].snapshot.account_ids}
            found = [a for a in (self._account(tx, i) for i in sorted(ids)) if a is not None]
            used = {a.id: usage.used(tx, a.id, now) for a in found}
        leased = False
        for account in found:
            if not _is_usable(account, now):
                continue
            lane = self._sending.lane(account)
            room = lane.room(account)
            left = remaining(account, used[account.id].hour, used[account.id].day, lane.outstanding)
            room = room if left is None else min(room, left)
            mine = [r for r in due if account.id in self._contents[r].snapshot.account_ids]
            leased = self._lease_for(lane, account, mine, room, now) or leased
        return leased

    def _account(self, tx: Tx, account_id: int) -> Account | None:
        try:
            return account_store.get(tx, account_id, self._d.key)
        except NotFound:
            return None

    def _lease_for(
        self, lane: Lane, account: Account, run_ids: list[int], room: int, now: datetime
    ) -> bool:
        leased = False
        for position, run_id in enumerate(run_ids):
            share = -(-room // (len(run_ids) - position))
            if share <= 0:
                break
            # On the platter before the first byte of any of them goes out.
            with self._d.database.write(durable=True) as tx:
                items = ledger.lease(tx, run_id, account, limit=share, epoch=self._epoch, now=now)
            if items:
                works = [Work(item, self._contents[run_id]) for item in items]
                self._sending.call(functools.partial(lane.take, account, works))
                leased = True
            room -= len(items)
        return leased


def _is_usable(account: Account, now: datetime) -> bool:
    if account.state == State.PAUSED:
        return False
    return account.rest_until is None or account.rest_until <= now
