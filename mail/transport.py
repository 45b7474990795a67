"""Messages handed over, one at a time, on a connection that was greeted, secured and signed in to.

Whatever a server does comes back as a Reply or a Broken, never as an exception; a cancelled call leaves the connection
aborted. The order that everything rests on: the write that holds the end of the content is called after before_content
said yes, after all that had arrived was read, and with no await in between. So Broken(END_GIVEN) is the only doubt.

A server that offers PIPELINING (RFC 2920) is spoken to in groups, and one message costs one round trip:

    C: content of n, the final dot, MAIL, RCPT, DATA for n+1        one write
    S: 250 (n), 250, 250, 354                                       read together, most of the time

The content of n+1 waits for the reply to n and for its own before_content, so at any moment the end of one message
only can be open: pipelining adds no doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from mail import smtp
from mail.reply import Answer, Broken, Reply, Stage, Withdrawn
from mail.wire import Question, Wire

if TYPE_CHECKING:
    from mail.message import Message

BLOCK_BYTES = 64 * 1024

BeforeContent = Callable[[], Awaitable[bool]]
"""The fence: whether content may go out now. Asked once for each message, when the server is ready for it."""

LookAhead = Callable[[], "Message | None"]
"""Which message comes next, if one surely does; asked at the last moment before its envelope may travel along."""


def nothing_ahead() -> Message | None:
    """Let each message travel alone."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long to wait for each step (RFC 5321 4.5.3.2).

    end is the wait for the reply to the end of the content: giving up sooner makes doubts that need not be.
    """

    connect: timedelta = timedelta(seconds=30)
    tls: timedelta = timedelta(seconds=60)
    banner: timedelta = timedelta(minutes=5)
    command: timedelta = timedelta(minutes=5)
    data: timedelta = timedelta(minutes=2)
    block: timedelta = timedelta(minutes=3)
    end: timedelta = timedelta(minutes=10)
    reset: timedelta = timedelta(seconds=30)
    quit: timedelta = timedelta(seconds=2)


class Transport(Protocol):
    """A connection that messages are handed over on, one at a time."""

    @property
    def usable(self) -> bool:
        """Whether another message may be sent on it."""

    async def send(
        self,
        message: Message,
        before_content: BeforeContent,
        look_ahead: LookAhead = nothing_ahead,
    ) -> Answer:
        """Hand one message over; see SmtpTransport.send."""

    async def close(self) -> None:
        """Take leave of the server, within two seconds."""

    def abort(self) -> None:
        """Close at once; what is under way is broken."""


class _Envelope:
    """What asks for one message's transaction: MAIL, RCPT and DATA, and what the server said to them.

    answer is None where the server is ready for the content, else the first thing that stands against it.
    """

    __slots__ = ("_mail", "_rcpt", "_refusal", "_timeouts", "answer", "content", "message")

    def __init__(self, message: Message, mail: bytes, rcpt: bytes, timeouts: Timeouts) -> None:
        self.message = message
        self.content = smtp.dot_stuffed(message.content)
        self.answer: asyncio.Future[Reply | Broken | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._mail = mail
        self._rcpt = rcpt
        self._timeouts = timeouts
        self._refusal: Reply | Broken | None = None

    @property
    def questions(self) -> tuple[Question, ...]:
        """The three commands, to be asked together or one after the other."""
        return (
            (Stage.MAIL, self._mail, self._hear, self._timeouts.command),
            (Stage.RCPT, self._rcpt, self._hear, self._timeouts.command),
            (Stage.DATA, smtp.DATA, self._hear_last, self._timeouts.data),
        )

    def _hear(self, answer: Reply | Broken) -> None:
        if self._refusal is None and (isinstance(answer, Broken) or answer.code >= 400):
            self._refusal = answer

    def _hear_last(self, answer: Reply | Broken) -> None:
        self._hear(answer)
        if not self.answer.done():
            self.answer.set_result(self._refusal)


class SmtpTransport:
    """A Transport over one connection that was greeted and signed in to.

    pipelining False: commands go one at a time, whatever the server offers.
    """

    def __init__(self, wire: Wire, timeouts: Timeouts, *, pipelining: bool) -> None:
        self._wire = wire
        self._timeouts = timeouts
        self._pipelining = pipelining and wire.talk.extensions.pipelining
        self._sending = False
        self._ahead: _Envelope | None = None

    @property
    def extensions(self) -> smtp.Extensions:
        """What the server announced."""
        return self._wire.talk.extensions

    @property
    def usable(self) -> bool:
        """Whether another message may be sent on it: where one was looked ahead to, that one."""
        return not self._sending and (self._ahead is not None or self._wire.open)

    async def send(
        self,
        message: Message,
        before_content: BeforeContent,
        look_ahead: LookAhead = nothing_ahead,
    ) -> Answer:
        """Hand one message over.

        before_content is awaited when the server is ready for the content: no byte of it was written before it has said
        True; when it says False the connection is closed without the final dot, and the answer is Withdrawn.

        look_ahead is called right before the end of the content is written. The envelope of the message that it returns
        travels along, where the server pipelines, and that message must be the next one sent: any other closes the
        connection, as does close.

        | answer | means |
        | --- | --- |
        | Reply(MAIL, RCPT, DATA) | refused or put off; before_content was not called |
        | Broken(CONNECT) | the connection was gone before the server had answered anything of this message |
        | Broken(MAIL, RCPT, DATA) | it broke before the server was ready for the content |
        | Broken(CONTENT) | it broke before the write that holds the end of the content was called |
        | Broken(END_GIVEN) | that write was called, and no complete reply was read |
        | Reply(END_GIVEN) | the server's last word |

        Raises ValueError, before anything is written, for an address that can't be in a command.
        """
        assert not self._sending, "one message at a time"
        envelope, self._ahead = self._ahead, None
        is_asked = envelope is not None
        if envelope is None:
            made = self._envelope(message)
            if isinstance(made, Reply):
                return made
            envelope = made
        elif envelope.message is not message:
            self.abort()  # its DATA may be taken by now: only closing takes that back
            return _gone("The connection was waiting for another message.")
        self._sending = True
        try:
            return await self._transact(envelope, before_content, look_ahead, is_asked=is_asked)
        except BaseException:
            # Cancelled, or the fence could not be asked: half a transaction is of no use to the next message.
            self.abort()
            raise
        finally:
            self._sending = False

    async def close(self) -> None:
        """Say QUIT where that makes sense, wait for the answer for a moment, and close."""
        try:
            if self.usable and self._ahead is None:
                await self._wire.ask_aside(Stage.MAIL, smtp.QUIT, self._timeouts.quit)
        finally:
            self.abort()
        await asyncio.wait([self._wire.gone], timeout=self._timeouts.quit.total_seconds())

    def abort(self) -> None:
        """Close at once; what is under way is broken."""
        self._ahead = None
        self._wire.abort("The connection was closed on our side")

    def _envelope(self, message: Message) -> _Envelope | Reply:
        commands = smtp.envelope(message, self.extensions)
        return (
            commands
            if isinstance(commands, Reply)
            else _Envelope(message, *commands, self._timeouts)
        )

    async def _transact(
        self,
        envelope: _Envelope,
        before_content: BeforeContent,
        look_ahead: LookAhead,
        *,
        is_asked: bool,
    ) -> Answer:
        answer = await (envelope.answer if is_asked else self._ask(envelope))
        if is_asked and answer is not None and _has_closed(answer):
            return _gone(answer.detail if isinstance(answer, Broken) else f"{answer}")
        if isinstance(answer, Broken):
            return answer
        if answer is not None:
            await self._clear(answer)
            return answer
        if not await before_content():
            # A dot would deliver what there is, even nothing: only closing withdraws (RFC 5321 4.1.1.10).
            self.abort()
            return Withdrawn()
        return await self._give(envelope.content, envelope.message.attached, look_ahead)

    async def _ask(self, envelope: _Envelope) -> Reply | Broken | None:
        """Ask for the transaction; return what stands against it."""
        await self._wire.catch_up()
        if self._wire.talk.over is not None:
            return _gone(self._wire.talk.over)
        if self._pipelining:
            self._wire.ask_all(envelope.questions)
            return await envelope.answer
        for stage, line, _, at_most in envelope.questions:
            answer = await self._wire.ask(stage, line, at_most)
            if isinstance(answer, Broken) or answer.code >= 400:
                return answer
        return None

    async def _give(self, content: bytes, attached: bytes, look_ahead: LookAhead) -> Reply | Broken:
        wire = self._wire
        if attached:
            # One after the other, not joined: what is attached is in memory once for all connections.
            if not await self._give_blocks(content, len(content)):
                return _cut(wire)
            content = attached
        last_block = max(0, len(content) - 1) // BLOCK_BYTES * BLOCK_BYTES
        if not await self._give_blocks(content, last_block):
            return _cut(wire)
        ahead = self._look(look_ahead)
        await wire.catch_up()
        if not wire.open:
            return _cut(wire)
        # From this call on a break is a doubt. Nothing may be awaited between the look at the wire and the write.
        answer = await wire.end_content(
            content[last_block:], self._timeouts.end, ahead.questions if ahead else ()
        )
        if isinstance(answer, Reply) and answer.code != 421:
            self._ahead = ahead
        return answer

    async def _give_blocks(self, content: bytes, end: int) -> bool:
        """Write the content up to there, in blocks; return False where the connection has closed meanwhile."""
        for start in range(0, end, BLOCK_BYTES):
            await self._wire.catch_up()
            if not self._wire.open:
                return False
            self._wire.write(content[start : min(start + BLOCK_BYTES, end)])
            await self._wire.drain(self._timeouts.block)
        return True

    def _look(self, look_ahead: LookAhead) -> _Envelope | None:
        message = look_ahead() if self._pipelining else None
        if message is None:
            return None
        try:
            envelope = self._envelope(message)
        except ValueError:  # raised again when its turn comes
            return None
        return envelope if isinstance(envelope, _Envelope) else None

    async def _clear(self, refusal: Reply) -> None:
        """End the server's half of a transaction that was refused; a connection that can't be cleared is closed."""
        await self._wire.catch_up()
        if self._wire.talk.wants_content:
            # Asked together with RCPT, DATA may be taken though there is nobody to get it. What the server says to the
            # lone dot counts for nothing (RFC 2920 3.1). After any other refusal a dot might deliver something.
            if refusal.stage != Stage.RCPT:
                self.abort()
                return
            await self._wire.end_content(b"", self._timeouts.reset)
        answer = await self._wire.ask_aside(Stage.MAIL, smtp.RSET, self._timeouts.reset)
        if isinstance(answer, Broken) or answer.code >= 300:
            self.abort()


def _cut(wire: Wire) -> Broken:
    """Say that the content did not get to its end: what is written to a connection that is closing goes nowhere."""
    detail = wire.talk.over or "The connection broke."
    return Broken(stage=Stage.CONTENT, detail=detail)


def _has_closed(answer: Reply | Broken) -> bool:
    """Whether the server has closed a connection that was in use: after so many messages, say, which is no fault."""
    return answer.stage == Stage.MAIL and (isinstance(answer, Broken) or answer.code == 421)


def _gone(detail: str) -> Broken:
    return Broken(stage=Stage.CONNECT, detail=detail)
