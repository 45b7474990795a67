"""One account's work in the event loop: what is leased for it, the connections that send it, and whether it rests."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice

from accounts import store as account_store
from accounts.model import Account, State
from accounts.picker import Bucket
from delivery import ledger
from delivery.compose import Composer, RunContent
from delivery.group_commit import GroupCommit
from delivery.leases import Leased
from delivery.model import RunStatus
from delivery.outcome import Failed, Outcome, Patience, rest_after
from delivery.refusals import RefusalStreak, words
from foundation.clock import Clock
from foundation.log import log_for
from mail.message import Message
from mail.reply import Broken, Reply, Stage
from mail.transport import Transport

log = log_for(__name__)

Connect = Callable[[Account], Awaitable[Transport | Reply | Broken]]

LARGEST_LEASE = 500
_LEASE_SECONDS = 0.5
_SOON = timedelta(seconds=_LEASE_SECONDS)
_PACE_WINDOW = timedelta(seconds=0.5)
_FIRST_PACE_WINDOW = timedelta(seconds=0.1)
_IDLE = timedelta(seconds=15)
# So long at most a lease that was made on an older look at the account can arrive after the account's fault.
_FAULT_IS_NEWS = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Made:
    """A delivery's message, for the account as it was at this version."""

    message: Message
    message_id: str
    version: int


@dataclass(slots=True)
class Work:
    """A leased delivery with the content of its run; made is its message, where there was time to make it early."""

    item: Leased
    content: RunContent
    made: Made | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """Work whose message is made, and which may go as far as the account's rate is concerned."""

    work: Work
    message: Message
    message_id: str


def work_of(given: Work | Ready) -> Work:
    """Return the delivery itself."""
    return given.work if isinstance(given, Ready) else given


@dataclass(slots=True, eq=False)
class Connection:
    """One connection of a lane: to the account as it was at this version, and what it is at."""

    version: int
    opening: asyncio.Future[Transport | Reply | Broken] | None = None
    transport: Transport | None = None
    work: Work | None = None
    begun: bool = False  # content of its work may be on its way
    # What comes next; where its message is made, its envelope may be on its way.
    ahead: Work | Ready | None = None
    written: asyncio.Future[bool] | None = None  # the outcome before this one, or being written

    @property
    def is_usable(self) -> bool:
        """Whether a message can be sent on it now."""
        return self.transport is not None and self.transport.usable

    @property
    def is_served(self) -> bool:
        """Whether the server has taken it and, as far as we know, has not closed it."""
        return self.is_usable or (self.transport is not None and self.work is not None)

    async def leave(self) -> None:
        """Take leave of the server, if there is one."""
        transport, self.transport = self.transport, None
        if transport is not None:
            await transport.close()


@dataclass(slots=True)
class Pace:
    """How many messages a second an account gets rid of, while it has any."""

    per_second: float = 0.0
    _since: timedelta = timedelta(0)
    _last: timedelta = timedelta(0)
    _messages: int = 0

    def begin(self, elapsed: timedelta) -> None:
        """Measure from here, where there was nothing to do for a while: that says nothing of the pace.

        A short wait for the next lease is counted: leases that were too small would stay so, if it were not.
        """
        if not self._messages or elapsed - self._last >= _PACE_WINDOW:
            self._since, self._messages = elapsed, 0

    def count(self, elapsed: timedelta) -> None:
        """Count a message."""
        self._messages += 1
        self._last = elapsed
        window = elapsed - self._since
        if window >= (_PACE_WINDOW if self.per_second else _FIRST_PACE_WINDOW):
            self.per_second = self._messages / window.total_seconds()
            self._since, self._messages = elapsed, 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What all lanes share."""

    clock: Clock
    commits: GroupCommit
    composer: Composer
    connect: Connect
    send_all: Callable[["Lane", Connection], Coroutine[None, None, None]]
    patience: Patience
    wake: Callable[[], None]  # the leasing thread: a lane runs low, or has something to say
    stopping: asyncio.Event


class Lane:
    """One account's queue of leased deliveries, in memory only: the ledger knows what it holds.

    room, outstanding and promise are for the leasing thread; everything else happens in the event loop. Each of the
    three counts has one writer, so that both may read them: what was promised to the lane, what it has taken up, and
    what it has settled.
    """

    def __init__(self, account: Account, office: Office) -> None:
        self.account = account
        self.office = office
        self._queue: deque[Work] = deque()
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._idle: list[asyncio.Future[None]] = []
        self._ceiling: int | None = None
        self._faults = 0
        self._rests_until = timedelta(0)
        self._rate = account.rate_per_second  # as the leasing thread has seen it last
        self._bucket: Bucket | None = None
        self._streaks: dict[int, RefusalStreak] = {}
        self._promised = 0
        self._taken_up = 0
        self._settled = 0
        self._pacing = 0
        self._has_asked = False
        self._wanted = 0
        self._pace = Pace()

    # called by the leasing thread

    def room(self, account: Account) -> int:
        """Return how many more deliveries this lane wants: half a second of work at the pace it has shown."""
        if self._rests:
            return 0
        self._rate = rate = account.rate_per_second
        # What may not go soon stays in the ledger: another account of its run may have room for it.
        if rate is not None and self._next_place(rate)[1] > _SOON:
            return 0
        if account.state == State.FAILING:
            # One message tries whether the account is well again.
            return 0 if self.outstanding else 1
        wanted = max(account.max_connections, int(self._pace.per_second * _LEASE_SECONDS))
        if rate is not None:
            wanted = min(wanted, max(1, int(rate * _LEASE_SECONDS)))
        self._wanted = min(wanted, LARGEST_LEASE)
        # Not for every one that left: a lease costs a wait for the disk.
        return 0 if self._has_enough else self._wanted - self._waiting

    @property
    def outstanding(self) -> int:
        """How many deliveries are leased for this lane, and may not be in the account's usage yet."""
        return self._promised - self._settled

    def promise(self, deliveries: int) -> None:
        """Count deliveries that are leased for this lane, before take has been called in the event loop."""
        self._promised += deliveries
        self._has_asked = False

    # called in the event loop

    def take(self, account: Account, works: Collection[Work]) -> None:
        """Add leased work that was promised, and open the connections that it wants."""
        self.account = account
        if not self._queue and not self._in_hand:
            self._pace.begin(self.office.clock.elapsed())
        self._queue.extend(works)
        if self.office.stopping.is_set() or self._rests:
            self._give_back_queue()
            return
        self._open_wanted()
        self._wake_idle()

    def keep_only(self, running: Collection[int]) -> None:
        """Give back what is leased of runs that are paused, cancelled or ended."""
        self._streaks = {r: s for r, s in self._streaks.items() if r in running}
        self._give_back_of({w.item.run_id for w in self._queue} - set(running))

    def close(self) -> None:
        """Begin nothing more: give back what has not begun, and wait only for what has."""
        self._give_back_queue()
        self._wake_idle()
        for connection in self._connections.values():
            if connection.opening is not None:
                connection.opening.cancel()
            elif connection.work and connection.transport and not connection.begun:
                connection.transport.abort()

    def abort(self) -> None:
        """Cut all connections: what has its end given is in doubt, what has not is queued again."""
        for connection in self._connections.values():
            if connection.transport is not None:
                connection.transport.abort()

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        return list(self._connections)

    # called by the connections

    async def next(self, connection: Connection) -> Work | Ready | None:
        """Return the next delivery to send; None when there has been none for a while, or none may begin.

        The one that was looked ahead to comes first; where its message is made, the account's rate lets it go.
        """
        while self.may_go_on(connection):
            connection.begun = False
            if connection.ahead is not None:
                ahead, connection.ahead = connection.ahead, None
                connection.work = work_of(ahead)
                return ahead
            if self._queue:
                connection.work = self._take_up()
                return connection.work
            if not await self._more_comes():
                return None
        return None

    def look_ahead(self, connection: Connection) -> Work | None:
        """Take the delivery after the one at hand, where it may go at once; the caller sets or gives back ahead."""
        if connection.ahead is not None or not self._queue or not self.may_go_on(connection):
            return None
        if (rate := self._rate) is not None:
            bucket, wait = self._next_place(rate)
            if wait:
                return None
            self._bucket = bucket
        return self._take_up()

    def first_unmade(self) -> Work | None:
        """Return what is soon to go and has no message yet: of each connection, what it comes to after the next one."""
        soon = islice(self._queue, len(self._connections))
        return next((work for work in soon if work.made is None), None)

    def may_go_on(self, connection: Connection) -> bool:
        """Whether another message may begin on this connection."""
        return not self.office.stopping.is_set() and self._may_stay(connection)

    def give_back(self, work: Work) -> None:
        """Queue again what was taken up and not begun."""
        self.office.commits.give_back(work.item)
        self._settled += 1

    async def wait_for_rate(self, connection: Connection) -> None:
        """Wait until the account's rate lets the next message go, or the lane is stopped."""
        rate = self._rate
        if rate is None:
            return
        self._bucket, wait = self._next_place(rate)
        if not wait:
            return
        self._pacing += 1
        try:
            if wait > _IDLE:
                await connection.leave()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.office.stopping.wait(), wait.total_seconds())
        finally:
            self._pacing -= 1
            self._ask_for_more()

    def holds(self, connection: Connection, transport: Transport) -> None:
        """Note that the server has taken a connection: there may be more of them."""
        connection.transport = transport
        self._open_wanted()

    async def record(self, connection: Connection, work: Work, outcome: Outcome) -> None:
        """Write what an attempt came to; pause the run when its refusals have become too many in a row.

        Waits only where the outcome before could not be written yet: what comes next on this connection asks its fence
        in the same commit.
        """
        if connection.written is not None:
            await connection.written
        retry_at = self.office.clock.now() + self.office.patience.retry_delay
        connection.written = self.office.commits.record(
            work.item, outcome, begun=connection.begun, retry_at=retry_at
        )
        connection.work = None
        self._settled += 1
        self._pace.count(self.office.clock.elapsed())
        run_id = work.item.run_id
        refused = self._streaks.setdefault(run_id, RefusalStreak()).add(work.item.id, outcome)
        if refused and isinstance(outcome, Failed):
            self._pause_run(run_id, refused, words(outcome))

    def well(self) -> None:
        """Note that the server took part in a conversation as it should: ends a row of faults."""
        if self._faults or self.account.state == State.FAILING:
            self._faults = 0
            self.office.commits.note(lambda tx: account_store.recover(tx, self.account.id))
        if self.account.worked_at is None:
            now = self.office.clock.now()
            self.account = replace(self.account, worked_at=now)
            self.office.commits.note(lambda tx: account_store.note_worked(tx, self.account.id, now))

    def fault(self, answer: Reply | Broken, *, pause: bool) -> None:
        """Note a fault of the account: it rests, and what is leased for it is given back."""
        said = f"{answer.stage}: {answer if isinstance(answer, Reply) else answer.detail}"
        account_id = self.account.id
        served = sum(c.is_served for c in self._connections.values())
        if served and not pause and answer.stage in (Stage.CONNECT, Stage.BANNER):
            # The others are being served: the server wants fewer connections, it is not sick.
            self._ceiling = served
            log.info("fewer connections", account_id=account_id, now=served, said=said)
            return
        if self._rests and not pause:
            return
        self._faults += 1
        rest = rest_after(self._faults)
        until = self.office.clock.now() + rest
        self._rests_until = self.office.clock.elapsed() + _FAULT_IS_NEWS
        if pause:
            log.warning("account paused", account_id=account_id, said=said)
            self.office.commits.note(lambda tx: account_store.pause(tx, account_id, said))
        else:
            seconds = rest.total_seconds()
            log.warning("account rests", account_id=account_id, seconds=seconds, said=said)
            self.office.commits.note(lambda tx: account_store.rest(tx, account_id, said, until))
        self._give_back_queue()

    def _take_up(self) -> Work:
        self._taken_up += 1
        work = self._queue.popleft()
        self._ask_for_more()
        return work

    def _next_place(self, rate: float) -> tuple[Bucket, timedelta]:
        """Return the bucket with the next message's place taken at this rate, and how long that message waits."""
        elapsed = self.office.clock.elapsed()
        bucket = self._bucket or Bucket(rate=rate)
        return (bucket if bucket.rate == rate else bucket.at_rate(rate, elapsed)).take(elapsed)

    @property
    def _in_hand(self) -> bool:
        return any(c.work is not None for c in self._connections.values())

    @property
    def _rests(self) -> bool:
        return self.office.clock.elapsed() < self._rests_until

    @property
    def _waiting(self) -> int:
        return self._promised - self._taken_up + self._pacing

    @property
    def _has_enough(self) -> bool:
        return 2 * self._waiting > self._wanted

    @property
    def _most_connections(self) -> int:
        most = self.account.max_connections
        return most if self._ceiling is None else min(most, self._ceiling)

    def _may_stay(self, connection: Connection) -> bool:
        """Whether a connection is one too many, or to an account that was edited meanwhile."""
        fits = len(self._connections) <= self.account.max_connections
        return fits and connection.version == self.account.version

    def _open_wanted(self) -> None:
        """Open connections for the work that no idle one will take.

        One at first, then at most twice as many as the server serves: one that is down, or refuses our password, is
        asked once and not fifty times.
        """
        if self.office.stopping.is_set() or self._rests:
            return
        served = sum(c.is_served for c in self._connections.values())
        allowed = min(self._most_connections, max(1, 2 * served))
        idle = sum(not waiter.done() for waiter in self._idle)
        for _ in range(min(allowed - len(self._connections), len(self._queue) - idle)):
            connection = Connection(self.account.version)
            task = asyncio.get_running_loop().create_task(self.office.send_all(self, connection))
            self._connections[task] = connection
            task.add_done_callback(self._closed)

    def _closed(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task, None)
        if not self._connections:
            self._ceiling = None
        if not task.cancelled() and task.exception() is not None:
            log.error("a connection ended in a bug", exc_info=task.exception())
            self._rests_until = self.office.clock.elapsed() + _FAULT_IS_NEWS
            self._give_back_queue()
        # Work may have come while it was taking leave.
        self._open_wanted()
        self.office.wake()

    async def _more_comes(self) -> bool:
        """Wait for work; return False when there has been none for a while."""
        waiter = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        try:
            await asyncio.wait_for(waiter, _IDLE.total_seconds())
        except TimeoutError:
            return bool(self._queue)
        finally:
            self._idle.remove(waiter)
        return True

    def _wake_idle(self) -> None:
        for waiter in self._idle:
            if not waiter.done():
                waiter.set_result(None)

    def _ask_for_more(self) -> None:
        """Wake the leasing thread, once: where it finds nothing now, it looks again by itself."""
        if not self._has_asked and not self._has_enough:
            self._has_asked = True
            self.office.wake()

    def _pause_run(self, run_id: int, refused: Collection[int], last: str) -> None:
        reason = f"account {self.account.name}: {len(refused)} refusals in a row, the last: {last}"
        log.warning("run paused by refusals", run_id=run_id, account_id=self.account.id)
        self.office.commits.note(
            lambda tx: ledger.set_status(
                tx,
                run_id,
                [RunStatus.RUNNING],
                to=RunStatus.PAUSED,
                reason=reason[:1000],
                refused_ids=list(refused),
            )
        )
        # In the same commit, not when the leasing thread sees the pause: by then many more may be refused.
        self._give_back_of({run_id})

    def _give_back_of(self, run_ids: Collection[int]) -> None:
        goes = [w for w in self._queue if w.item.run_id in run_ids]
        self._queue = deque(w for w in self._queue if w.item.run_id not in run_ids)
        self._give_back(goes)

    def _give_back_queue(self) -> None:
        goes, self._queue = list(self._queue), deque()
        self._give_back(goes)

    def _give_back(self, works: Collection[Work]) -> None:
        for work in works:
            self.office.commits.give_back(work.item)
        self._taken_up += len(works)
        self._settled += len(works)
