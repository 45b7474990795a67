"""One account's work in the event loop: what is leased for it, the connections that send it, and whether it rests."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import timedelta

from accounts import store as account_store
from accounts.model import Account
from accounts.picker import Bucket
from delivery import ledger
from delivery.compose import Composer, RunContent
from delivery.group_commit import GroupCommit
from delivery.ledger import Leased
from delivery.model import RunStatus
from delivery.outcome import Outcome, Patience, rest_after
from delivery.refusals import RefusalStreak
from foundation.clock import Clock
from foundation.log import log_for
from mail.reply import Broken, Reply, Stage
from mail.transport import Transport

log = log_for(__name__)

Connect = Callable[[Account], Awaitable[Transport | Reply | Broken]]

LARGEST_LEASE = 500
_LEASE_SECONDS = 0.5
_PACE_WINDOW = timedelta(seconds=0.5)
_IDLE_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Work:
    """A leased delivery with the content of its run."""

    item: Leased
    content: RunContent


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What all lanes share."""

    clock: Clock
    commits: GroupCommit
    composer: Composer
    connect: Connect
    send_all: Callable[["Lane"], Coroutine[None, None, None]]
    patience: Patience
    wake: Callable[[], None]  # the leasing thread: a lane runs low, or has something to say
    stopping: asyncio.Event


class Lane:
    """One account's queue of leased deliveries, in memory only: the ledger knows what it holds.

    room and outstanding may be asked from the leasing thread; everything else happens in the event loop.
    """

    def __init__(self, account: Account, office: Office) -> None:
        self.account = account
        self.office = office
        self._queue: deque[Work] = deque()
        self._filled = asyncio.Event()
        self._connections: dict[asyncio.Task[None], Transport | None] = {}
        self._ceiling: int | None = None
        self._faults = 0
        self._resting = False
        self._bucket: Bucket | None = None
        self._streaks: dict[int, RefusalStreak] = {}
        self._in_hand = 0
        self._pace = 0.0
        self._pace_since = office.clock.elapsed()
        self._pace_count = 0

    # asked by the leasing thread

    def room(self, account: Account) -> int:
        """Return how many more deliveries this lane wants: half a second of work at the pace it has shown."""
        if account.state == "failing":
            return (
                0 if self._queue or self._in_hand else 1
            )  # one message tries whether the account is well again
        pace = self._pace
        if account.rate_per_second is not None:
            pace = min(pace, account.rate_per_second)
        wanted = min(LARGEST_LEASE, max(account.max_connections, int(pace * _LEASE_SECONDS)))
        return max(0, wanted - len(self._queue))

    @property
    def outstanding(self) -> int:
        """How many deliveries are leased for this lane, and may not be in the account's usage yet."""
        return len(self._queue) + self._in_hand

    # called in the event loop

    def take(self, account: Account, works: Collection[Work]) -> None:
        """Add leased work, and open the connections that it wants."""
        if account.rate_per_second != self.account.rate_per_second:
            self._bucket = None
        self.account = account
        self._resting = False
        self._queue.extend(works)
        if self.office.stopping.is_set():
            self.close()
            return
        self._filled.set()
        most = min(account.max_connections, self._ceiling or account.max_connections)
        for _ in range(min(most - len(self._connections), len(self._queue))):
            self._open()

    def keep_only(self, running: Collection[int]) -> None:
        """Give back what is leased of runs that are paused, cancelled or ended."""
        stays = deque(w for w in self._queue if w.item.run_id in running)
        goes = [w for w in self._queue if w.item.run_id not in running]
        self._queue = stays
        self._give_back(goes)

    def close(self) -> None:
        """Begin nothing more: give back what has not begun; connections end after the message they are at."""
        goes, self._queue = list(self._queue), deque()
        self._give_back(goes)
        self._filled.set()

    def abort(self) -> None:
        """Cut all connections: what has its end given is in doubt, what has not is queued again."""
        for transport in self._connections.values():
            if transport is not None:
                transport.abort()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._connections)

    # called by the connections

    async def next(self) -> Work | None:
        """Return the next delivery to send; None when there has been none for a while, or none may begin."""
        while not self._queue:
            if self.office.stopping.is_set():
                return None
            self._filled.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._filled.wait(), _IDLE_SECONDS)
            if not self._filled.is_set():
                return None
        work = self._queue.popleft()
        self._in_hand += 1
        if len(self._queue) <= self._pace * _LEASE_SECONDS / 2:
            self.office.wake()
        return work

    def holds(self, task: asyncio.Task[None], transport: Transport | None) -> None:
        """Note a connection's transport, so that a stop can cut it."""
        self._connections[task] = transport

    async def wait_for_rate(self) -> None:
        """Wait until the account's rate lets the next message go, or the lane is stopped."""
        rate = self.account.rate_per_second
        if rate is None:
            return
        bucket = self._bucket or Bucket(rate=rate)
        self._bucket, wait = bucket.take(self.office.clock.elapsed())
        if wait:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.office.stopping.wait(), wait.total_seconds())

    async def record(self, work: Work, outcome: Outcome, *, begun: bool) -> None:
        """Write what an attempt came to; pause the run when its refusals have become too many in a row."""
        retry_at = self.office.clock.now() + self.office.patience.retry_delay
        await self.office.commits.record(work.item, outcome, begun=begun, retry_at=retry_at)
        self._in_hand -= 1
        self._measure()
        run_id = work.item.run_id
        refused = self._streaks.setdefault(run_id, RefusalStreak()).add(work.item.id, outcome)
        if refused:
            last = getattr(outcome, "reply", None)
            reason = (
                f"account {self.account.name}: {len(refused)} refusals in a row, the last: {last}"
            )
            log.warning("run paused by refusals", run_id=run_id, account_id=self.account.id)
            self.office.commits.note(
                lambda tx: ledger.set_status(
                    tx,
                    run_id,
                    [RunStatus.RUNNING],
                    to=RunStatus.PAUSED,
                    reason=reason,
                    refused_ids=refused,
                )
            )

    def well(self) -> None:
        """Note that the server took part in a conversation as it should: ends a row of faults."""
        if self._faults or self.account.state == "failing":
            self._faults = 0
            self.office.commits.note(lambda tx: account_store.recover(tx, self.account.id))

    def fault(self, answer: Reply | Broken, *, pause: bool) -> None:
        """Note a fault of the account: it rests, and what is leased for it is given back."""
        words = f"{answer.stage}: {answer if isinstance(answer, Reply) else answer.detail}"
        busy = len(self._connections) - 1
        if not pause and busy > 0 and answer.stage in (Stage.CONNECT, Stage.BANNER):
            # The others are being served: the server wants fewer connections, it is not sick.
            self._ceiling = busy
            log.info("fewer connections", account_id=self.account.id, now=busy, said=words)
            return
        if self._resting:
            return
        self._resting = True
        self._ceiling = None
        self._faults += 1
        rest = rest_after(self._faults)
        until = self.office.clock.now() + rest
        account_id = self.account.id
        log.warning(
            "account rests", account_id=account_id, seconds=rest.total_seconds(), said=words
        )
        if pause:
            self.office.commits.note(lambda tx: account_store.pause(tx, account_id, words))
        else:
            self.office.commits.note(lambda tx: account_store.rest(tx, account_id, words, until))
        goes, self._queue = list(self._queue), deque()
        self._give_back(goes)

    def _open(self) -> None:
        task = asyncio.get_running_loop().create_task(self.office.send_all(self))
        self._connections[task] = None
        task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task, None)
        if not task.cancelled() and task.exception() is not None:
            log.error("a connection ended in a bug", exc_info=task.exception())
        self.office.wake()

    def _give_back(self, works: Collection[Work]) -> None:
        for work in works:
            self.office.commits.give_back(work.item)

    def _measure(self) -> None:
        self._pace_count += 1
        elapsed = self.office.clock.elapsed()
        window = elapsed - self._pace_since
        if window >= _PACE_WINDOW:
            self._pace = self._pace_count / window.total_seconds()
            self._pace_since, self._pace_count = elapsed, 0
