"""Intents and outcomes of all connections, committed together by one writer, once in a turn of the event loop.

A connection waits for the commit that holds its intent before it gives the first byte of content to the socket. The
commits are relaxed: they survive the death of this process; the next lease, or a second of quiet, makes them durable.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from accounts import usage
from delivery import ledger
from delivery.ledger import Leased
from delivery.outcome import NotBegun, Outcome
from foundation.clock import Clock
from foundation.errors import Unavailable
from foundation.log import log_for
from storage.database import Database, Tx

log = log_for(__name__)

_AGAIN_SECONDS = 0.5


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
    done: asyncio.Future[bool]


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
        self._intents: list[_Intent] = []
        self._outcomes: list[_Outcome] = []
        self._notes: list[Callable[[Tx], object]] = []
        self._planned = False

    async def intend(self, item: Leased, *, account_id: int, message_id: str) -> bool:
        """Pass the fence: True when content may go out now. False when it must not, or could not be written."""
        intent = _Intent(item, account_id, message_id, self._loop.create_future())
        self._intents.append(intent)
        self._plan()
        return await intent.answer

    async def record(
        self, item: Leased, outcome: Outcome, *, begun: bool, retry_at: datetime
    ) -> bool:
        """Write an outcome; return when it is written, however long the ledger can't be.

        False: the row was no longer ours.
        """
        entry = _Outcome(item, outcome, begun, retry_at, self._loop.create_future())
        self._outcomes.append(entry)
        self._plan()
        return await entry.done

    def give_back(self, item: Leased) -> None:
        """Queue a leased delivery again that was not begun."""
        future = self._loop.create_future()
        self._outcomes.append(_Outcome(item, NotBegun(), False, self._clock.now(), future))
        self._plan()

    def note(self, change: Callable[[Tx], object]) -> None:
        """Write something else in the next commit: an account that rests, a run that is paused."""
        self._notes.append(change)
        self._plan()

    async def drained(self) -> None:
        """Return when everything that was given so far is written; at a stop."""
        while self._planned:
            await asyncio.sleep(0.01)

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._planned = False
        intents, self._intents = self._intents, []
        outcomes, self._outcomes = self._outcomes, []
        notes, self._notes = self._notes, []
        try:
            with self._database.write(durable=False) as tx:
                written = [self._write_outcome(tx, o) for o in outcomes]
                for note in notes:
                    note(tx)
                allowed = [self._write_intent(tx, i) for i in intents]
                self._count_usage(tx, [i for i, ok in zip(intents, allowed, strict=True) if ok])
        except Unavailable as error:
            # Nothing was committed, so nothing may go out; what is known of earlier messages is kept and tried again.
            log.error("the ledger can't be written, nothing is sent", reason=error.message)
            self._outcomes = outcomes + self._outcomes
            self._notes = notes + self._notes
            if self._outcomes or self._notes:
                self._planned = True
                self._loop.call_later(_AGAIN_SECONDS, self._flush)
            for intent in intents:
                _answer(intent.answer, value=False)
            return
        self._on_commit()
        for entry, was_ours in zip(outcomes, written, strict=True):
            _answer(entry.done, value=was_ours)
        for intent, ok in zip(intents, allowed, strict=True):
            _answer(intent.answer, value=ok)

    def _write_outcome(self, tx: Tx, entry: _Outcome) -> bool:
        was_ours = ledger.record(
            tx,
            entry.item,
            entry.outcome,
            begun=entry.begun,
            epoch=self._epoch,
            retry_at=entry.retry_at,
            now=self._clock.now(),
        )
        if not was_ours and entry.begun:
            log.error(
                "an outcome came for a delivery that is not ours any more",
                delivery_id=entry.item.id,
                outcome=type(entry.outcome).__name__,
            )
        return was_ours

    def _write_intent(self, tx: Tx, intent: _Intent) -> bool:
        return ledger.mark_sending(
            tx,
            intent.item,
            epoch=self._epoch,
            message_id=intent.message_id,
            now=self._clock.now(),
        )

    def _count_usage(self, tx: Tx, intents: list[_Intent]) -> None:
        for account_id, messages in Counter(i.account_id for i in intents).items():
            usage.count(tx, account_id, messages, self._clock.now())


def _answer(future: asyncio.Future[bool], *, value: bool) -> None:
    if not future.done():  # its connection may have been cancelled meanwhile
        future.set_result(value)
