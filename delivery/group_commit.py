"""Intents and outcomes of all connections, committed together by one writer, once in a few turns of the event loop.

A connection waits for the commit that holds its intent before it gives the first byte of content to the socket. The
commits are relaxed: they survive the death of this process; the next lease, or a second of quiet, makes them durable.

While another process writes, everything waits, in short tries, so that the event loop goes on reading replies and
sees a stop. Where the ledger can't be written, intents are refused, so nothing goes out; outcomes are tried again for
as long as the process lives.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accounts import usage
from delivery import leases
from delivery.leases import Leased
from delivery.outcome import NotBegun, Outcome
from delivery.tally import Tally
from foundation.clock import Clock
from foundation.errors import Unavailable
from foundation.log import log_for
from storage.database import Busy, Database, Tx

log = log_for(__name__)

Note = Callable[[Tx], object]

_AGAIN_SECONDS = 0.5
# Replies that arrive while the first of them is dealt with share its commit: one turn reads them, the next hears them.
_TURNS = 2
# The event loop stands still for so long at most, and goes on for a while before the next try.
_WAIT = timedelta(seconds=0.1)
_BUSY_AGAIN_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Intent:
    item: Leased
    account_id: int
    message_id: str
    answer: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class _Outcome:
    item: Leased
    outcome: Outcome
    begun: bool
    retry_at: datetime
    answer: asyncio.Future[bool]


@dataclass(slots=True)
class _Batch:
    """What one commit holds: outcomes first, since a note (a pause) or an intent may follow from them."""

    outcomes: list[_Outcome] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    intents: list[_Intent] = field(default_factory=list)

    @property
    def asking(self) -> list[_Outcome | _Intent]:
        """Those that wait for an answer: outcomes whether they were written, intents whether they are allowed."""
        return [*self.outcomes, *self.intents]

    def singles(self) -> list["_Batch"]:
        """Return the same, each in a commit of its own."""
        return [
            *(_Batch(outcomes=[o]) for o in self.outcomes),
            *(_Batch(notes=[n]) for n in self.notes),
            *(_Batch(intents=[i]) for i in self.intents),
        ]


class GroupCommit:
    """The one writer of intents and outcomes; lives in the event loop."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        epoch: int,
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._epoch = epoch
        self._loop = loop
        self._on_commit = on_commit
        self._waiting = _Batch()
        self._planned = False
        self._busy_since: float | None = None
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the ledger can't be written just now, in a sentence; None where it can."""
        return self._trouble

    async def intend(self, item: Leased, *, account_id: int, message_id: str) -> bool:
        """Pass the fence: True when content may go out now. False when it must not, or could not be written."""
        intent = _Intent(item, account_id, message_id, self._loop.create_future())
        self._waiting.intents.append(intent)
        self._plan()
        return await intent.answer

    def record(
        self, item: Leased, outcome: Outcome, *, begun: bool, retry_at: datetime
    ) -> asyncio.Future[bool]:
        """Write an outcome in this turn's commit; the future has an end when it is written, however long that takes.

        False: the row was no longer ours.
        """
        entry = _Outcome(item, outcome, begun, retry_at, self._loop.create_future())
        self._waiting.outcomes.append(entry)
        self._plan()
        return entry.answer

    def give_back(self, item: Leased) -> None:
        """Queue a leased delivery again that was not begun."""
        future = self._loop.create_future()
        self._waiting.outcomes.append(_Outcome(item, NotBegun(), False, self._clock.now(), future))
        self._plan()

    def note(self, change: Note) -> None:
        """Write something else in the next commit: an account that rests, a run that is paused."""
        self._waiting.notes.append(change)
        self._plan()

    async def drained(self) -> None:
        """Return when everything that was given so far is written; at a stop."""
        while self._planned:
            await asyncio.sleep(0.01)

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._wait_turns(_TURNS)

    def _wait_turns(self, turns: int) -> None:
        """Flush after so many turns of the loop, none of which waits for anything."""
        if turns:
            self._loop.call_soon(self._wait_turns, turns - 1)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        batch, self._waiting = self._waiting, _Batch()
        try:
            self._commit(batch)
        except Busy as error:
            self._wait_for_others(batch, error)
        except Unavailable as error:
            self._keep(batch, error)
        except Exception:
            # A bug, or a row that the database refuses. Only the one whose fault it is may come to harm by it.
            log.exception("a commit of several deliveries failed, each is tried alone")
            for single in batch.singles():
                self._commit_alone(single)

    def _commit_alone(self, single: _Batch) -> None:
        try:
            self._commit(single)
        except Unavailable as error:
            self._keep(single, error)
        except Exception:
            # What stands in the ledger stands: leased or sending, and the next leader settles it.
            log.exception("a delivery's state could not be written")
            _answer(single, [False] * len(single.asking))

    def _commit(self, batch: _Batch) -> None:
        tally = Tally()
        now = self._clock.now()
        with self._database.write(durable=False, wait=_WAIT) as tx:
            written = [self._write_outcome(tx, o, tally, now) for o in batch.outcomes]
            for note in batch.notes:
                note(tx)
            allowed = [self._write_intent(tx, i, tally, now) for i in batch.intents]
            begun = [i for i, ok in zip(batch.intents, allowed, strict=True) if ok]
            self._count_usage(tx, begun, now)
            tally.write(tx)
        if self._trouble is not None:
            log.info("the ledger can be written again")
        self._trouble = self._busy_since = None
        self._on_commit()
        _answer(batch, written + allowed)

    def _keep(self, batch: _Batch, error: Unavailable) -> None:
        """Nothing was committed, so nothing may go out; what is known of earlier messages is tried again."""
        if self._trouble is None:  # once, not for every try
            log.error("the ledger can't be written, nothing is sent", reason=error.message)
        self._trouble = error.message
        self._put_back(_Batch(batch.outcomes, batch.notes), again_seconds=_AGAIN_SECONDS)
        _answer(_Batch(intents=batch.intents), [False] * len(batch.intents))

    def _wait_for_others(self, batch: _Batch, error: Busy) -> None:
        """Try again soon, intents too, unless others have been writing for too long, or we stop."""
        now = self._loop.time()
        if self._busy_since is None:
            self._busy_since = now
        is_too_long = now - self._busy_since >= self._database.busy.total_seconds()
        if is_too_long or self._database.is_hurried:
            self._keep(batch, error)
        else:
            self._put_back(batch, again_seconds=_BUSY_AGAIN_SECONDS)

    def _put_back(self, batch: _Batch, *, again_seconds: float) -> None:
        """Put what was not committed before what has come since, and plan the next try."""
        self._waiting.outcomes[:0] = batch.outcomes
        self._waiting.notes[:0] = batch.notes
        self._waiting.intents[:0] = batch.intents
        if (batch.asking or batch.notes) and not self._planned:
            self._planned = True
            self._loop.call_later(again_seconds, self._flush)

    def _write_outcome(self, tx: Tx, entry: _Outcome, tally: Tally, now: datetime) -> bool:
        was_ours = leases.record(
            tx,
            entry.item,
            entry.outcome,
            tally,
            begun=entry.begun,
            epoch=self._epoch,
            retry_at=entry.retry_at,
            now=now,
        )
        if not was_ours and entry.begun:
            log.error(
                "an outcome came for a delivery that is not ours any more",
                delivery_id=entry.item.id,
                outcome=type(entry.outcome).__name__,
            )
        return was_ours

    def _write_intent(self, tx: Tx, intent: _Intent, tally: Tally, now: datetime) -> bool:
        return leases.mark_sending(
            tx,
            intent.item,
            tally,
            epoch=self._epoch,
            message_id=intent.message_id,
            now=now,
        )

    def _count_usage(self, tx: Tx, intents: list[_Intent], now: datetime) -> None:
        for account_id, messages in Counter(i.account_id for i in intents).items():
            usage.count(tx, account_id, messages, now)


def _answer(batch: _Batch, values: list[bool]) -> None:
    for entry, value in zip(batch.asking, values, strict=True):
        if not entry.answer.done():  # its connection may have been cancelled meanwhile
            entry.answer.set_result(value)
