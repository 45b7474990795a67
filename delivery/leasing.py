"""The leasing thread: makes deliveries, starts and ends runs, leases batches, says that the leader is alive.

Whatever may wait for the disk is here, so that the event loop that sends never does but for its own short commits.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from accounts import store as account_store
from accounts import usage
from accounts.model import Account, State
from accounts.picker import remaining
from delivery import leases, ledger, progress, reads
from delivery.compose import RunContent
from delivery.lane import Lane, Work
from delivery.ledger import SteppedDown
from delivery.model import RunStatus
from delivery.progress import Progress, Step
from delivery.turns import Turns
from foundation.errors import Invalid, NotFound, Unavailable
from foundation.log import log_for
from storage import aliveness
from storage.database import Tx

if TYPE_CHECKING:
    from delivery.dispatcher import Dispatcher, Sending

log = log_for(__name__)

MATERIALISED_AT_ONCE = 5000
_LOOK_AGAIN = timedelta(seconds=0.2)
_BEAT_EVERY = timedelta(seconds=1)
_COUNT_EVERY = timedelta(minutes=1)
_CHECKPOINT_BYTES = 16 * 1024 * 1024


class Leasing:
    """What the leasing thread runs, from the start of a dispatcher until it must stop."""

    def __init__(self, dispatcher: Dispatcher, epoch: int, sending: Sending) -> None:
        self._d = dispatcher
        self._epoch = epoch
        self._sending = sending
        self._contents: dict[int, RunContent] = {}
        self._turns = Turns()
        self.trouble: str | None = None  # why the last step could not be taken
        self._next_beat = timedelta(0)
        self._next_minute = timedelta(0)

    def run(self) -> None:
        """Take one step after the other, each as soon as the last has left something, or somebody says so."""
        try:
            while not self._d.must_stop:
                if not self._step_safely():
                    self._d.wait_for_wake(_LOOK_AGAIN)
        finally:
            self._d.give_up()
            # The event loop gives back what it was promised, so nothing may be promised after this.
            self._sending.leasing_ended.set()

    def _step_safely(self) -> bool:
        try:
            went = self._step()
        except SteppedDown:
            log.warning("another process leads, this one stops sending", epoch=self._epoch)
            self._d.give_up()
        except Unavailable as error:
            if self.trouble is None:  # once, not five times a second
                log.error("the ledger can't be used, nothing is leased", reason=error.message)
            self.trouble = error.message
        except Exception:
            log.exception("leasing failed, and is tried again")
        else:
            if self.trouble is not None:
                log.info("the ledger can be used again")
            self.trouble = None
            return went
        return False

    def _step(self) -> bool:
        """Do what there is to do now; return whether there is more to be done at once."""
        d = self._d
        now = d.clock.now()
        self._beat(now)
        with d.database.read() as tx:
            unfinished = progress.unfinished(tx)
        self._contents = {p.id: c for p in unfinished if (c := self._contents.get(p.id))}
        went = [self._advance(p, now) for p in unfinished]
        running = [p.id for p in unfinished if p.may_send]
        for lane in self._sending.lanes:
            if lane.outstanding:
                self._sending.call(functools.partial(lane.keep_only, frozenset(running)))
        leased = self._lease([r for r in running if self._is_compiled(r)], now)
        return any(went) or leased

    def _beat(self, now: datetime) -> None:
        """Say once a second that the leader is alive; make outcomes durable within a second; tidy the log."""
        d = self._d
        elapsed = d.clock.elapsed()
        if elapsed < self._next_beat:
            return
        self._next_beat = elapsed + _BEAT_EVERY
        is_minute = elapsed >= self._next_minute
        if is_minute:
            self._next_minute = elapsed + _COUNT_EVERY
        unsynced = self._sending.unsynced_since
        is_due = unsynced is not None and elapsed - unsynced >= _BEAT_EVERY
        if is_due:
            self._sending.unsynced_since = None
        with d.database.write(durable=is_due or is_minute) as tx:
            if is_minute:
                aliveness.count_minute(tx)
            aliveness.beat(tx, self._epoch, now=now, elapsed=elapsed)
            counts = aliveness.counts(tx)
        d.testify(counts)
        if d.database.log_size_bytes() > _CHECKPOINT_BYTES:
            d.database.checkpoint()

    def _advance(self, p: Progress, now: datetime) -> bool:
        """Bring one run a step further; return whether it went. A run that can't be is paused, the others go on."""
        step = p.next_step
        if step is None:
            return False
        try:
            return self._take(step, p.id, now)
        except (SteppedDown, Unavailable):
            raise
        except Exception as error:
            log.exception("a run could not be brought further", run_id=p.id, step=step.name)
            self._pause(p.id, f"an error of our own ({type(error).__name__}), the log says more")
            return False

    def _take(self, step: Step, run_id: int, now: datetime) -> bool:
        # What a power cut takes of the deliveries it takes with the cursor; the start carries all of them to the disk.
        with self._d.database.write(durable=step != Step.MATERIALISE) as tx:
            match step:
                case Step.MATERIALISE:
                    ledger.materialise(tx, run_id, rows=MATERIALISED_AT_ONCE, now=now)
                    return True
                case Step.START:
                    went = ledger.start(tx, run_id, now)
                case Step.SKIP_UNSENT:
                    return ledger.skip_unsent(tx, run_id, reason="cancelled", now=now) > 0
                case Step.FINISH:
                    went = ledger.finish(tx, run_id, now)
            run = reads.run(tx, run_id)
        if went:
            what = "run started" if step == Step.START else "run finished"
            log.info(what, run_id=run_id, status=str(run.status), **asdict(run.counts))
        return went

    def _pause(self, run_id: int, reason: str) -> None:
        log.warning("run paused", run_id=run_id, reason=reason)
        with self._d.database.write(durable=True) as tx:
            leaves = [RunStatus.CLAIMED, RunStatus.RUNNING]
            ledger.set_status(tx, run_id, leaves, to=RunStatus.PAUSED, reason=reason[:1000])

    def _is_compiled(self, run_id: int) -> bool:
        """See to it that the run's content is compiled; a run whose content can't be is paused, and says why."""
        if run_id in self._contents:
            return True
        try:
            with self._d.database.read() as tx:
                self._contents[run_id] = RunContent.of(tx, reads.run(tx, run_id))
        except Unavailable:
            raise
        except Invalid as error:
            self._pause(run_id, error.message)
            return False
        except Exception as error:
            log.exception("a run's content could not be compiled", run_id=run_id)
            self._pause(run_id, f"an error of our own ({type(error).__name__}), the log says more")
            return False
        return True

    def _lease(self, running: list[int], now: datetime) -> bool:
        """Lease a batch for each account that has room; return whether anything was leased."""
        if not running:
            return False
        self._turns.keep_only(running)
        # Before the view in which usage is read begins: a message that is counted in between is in both, never in none.
        outstanding = {lane.account.id: lane.outstanding for lane in self._sending.lanes}
        with self._d.database.read() as tx:
            found = self._accounts(tx, running)
            wishes = [
                w
                for a in found.values()
                if (w := self._wish(tx, a, running, outstanding.get(a.id, 0), now)) is not None
            ]
        for run_id in running:
            if not found.keys() & set(self._account_ids(run_id)):
                self._pause(run_id, "none of its sender accounts exists any more")
        leased = [self._lease_for(account, run_ids, room, now) for account, run_ids, room in wishes]
        return any(leased)

    def _account_ids(self, run_id: int) -> Collection[int]:
        return self._contents[run_id].snapshot.account_ids

    def _accounts(self, tx: Tx, running: list[int]) -> dict[int, Account]:
        found = {}
        for account_id in sorted({a for r in running for a in self._account_ids(r)}):
            try:
                found[account_id] = account_store.get(tx, account_id, self._d.key)
            except NotFound:
                continue
        return found

    def _wish(
        self, tx: Tx, account: Account, running: list[int], outstanding: int, now: datetime
    ) -> tuple[Account, list[int], int] | None:
        """Return the runs of which the account can take something now, and how much in all.

        outstanding: how much was leased for it, and may be in no count yet.
        """
        if not _is_usable(account, now):
            return None
        lane = self._sending.lane(account)
        room = lane.room(account)
        if room <= 0:  # so it is most of the times that we look
            return None
        used = usage.used(tx, account.id, now)
        left = remaining(account, used.hour, used.day, outstanding)
        room = room if left is None else min(room, left)
        if room <= 0:
            return None
        mine = [r for r in running if account.id in self._account_ids(r)]
        due = [r for r in mine if progress.has_due(tx, r, account.id, now)]
        due = self._turns.in_order(account.id, due)
        return (account, due, room) if due else None

    def _lease_for(self, account: Account, run_ids: list[int], room: int, now: datetime) -> bool:
        leased = False
        lane: Lane = self._sending.lane(account)
        for position, run_id in enumerate(run_ids):
            share = -(-room // (len(run_ids) - position))
            if share <= 0 or self._d.must_stop:
                break
            # On the platter before the first byte of any of them goes out.
            with self._d.database.write(durable=True) as tx:
                items = leases.lease(tx, run_id, account, limit=share, epoch=self._epoch, now=now)
                counts = aliveness.counts(tx)
            # After the commit, so that the witness is never above the ledger; before the first byte.
            self._d.testify(counts)
            if items:
                works = [Work(item, self._contents[run_id]) for item in items]
                lane.promise(len(works))
                self._turns.served(account.id, run_id)
                self._sending.call(functools.partial(lane.take, account, works))
                leased = True
            room -= len(items)
        return leased


def _is_usable(account: Account, now: datetime) -> bool:
    if account.state == State.PAUSED:
        return False
    return account.rest_until is None or account.rest_until <= now
