"""The connection under an SMTP conversation, on the running event loop: opening, TLS, time-outs, who gets what answer.

What goes wrong here ends the conversation with a sentence; nothing is raised for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, cast

from mail import smtp
from mail.networks import IN_WORDS, network_of
from mail.reply import Broken, Reply, Stage

Noted = Callable[[Stage, str], None]
"""Told each step that went well, with what the server said."""

Hear = Callable[[Reply | Broken], None]
"""Told the answer to one question, as soon as it is here; raises nothing, and asks nothing."""

Question = tuple[Stage, bytes, Hear, timedelta]
"""A command: what it asks for, its line, who hears the answer, and how long that may take."""


class Wire(asyncio.Protocol):
    """One connection: hands what arrives to the conversation, and its answers to those who wait for them, in order.

    Each answer has its own time, from the moment at which all answers before it have come.
    """

    def __init__(self, note: Noted) -> None:
        self._loop = asyncio.get_running_loop()
        self._note = note
        self.talk = smtp.Conversation()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._banner: asyncio.Future[Reply | Broken] = self._loop.create_future()
        self._hearers: deque[tuple[Hear, float]] = deque([(_into(self._banner), math.inf)])
        self._patience = self._deadline = math.inf  # of the answer that is waited for now
        self._alarm: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._poll: select.poll | None = None
        self.heard = False
        self._full = False
        self._room: asyncio.Future[None] | None = None

    @property
    def open(self) -> bool:
        return (
            self.talk.over is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    async def banner(self, at_most: timedelta) -> Reply | Broken:
        """Wait for the server's first words."""
        if not self._banner.done():
            self._await_for(at_most.total_seconds())
        return self._noted(await self._banner)

    async def ask(self, stage: Stage, line: bytes, at_most: timedelta) -> Reply | Broken:
        """Write a command and wait for its answer."""
        return self._noted(await self.ask_aside(stage, line, at_most))

    async def ask_aside(self, stage: Stage, line: bytes, at_most: timedelta) -> Reply | Broken:
        """Ask for something that is not worth a step in a probe."""
        await self.catch_up()
        if self.talk.over is not None:
            return Broken(stage=stage, detail=self.talk.over)
        answer: asyncio.Future[Reply | Broken] = self._loop.create_future()
        self.ask_all([(stage, line, _into(answer), at_most)])
        return await answer

    def ask_all(self, questions: Sequence[Question]) -> None:
        """Write several commands at once (RFC 2920)."""
        self.write(b"".join(map(self._register, questions)))

    async def end_content(
        self, last_block: bytes, at_most: timedelta, then: Sequence[Question] = ()
    ) -> Reply | Broken:
        """Write the rest of the content together with its end and the commands after it; wait for the content's answer.

        Nothing is awaited before the write.
        """
        answer: asyncio.Future[Reply | Broken] = self._loop.create_future()
        end = self.talk.end_content()
        self._expect(_into(answer), at_most)
        self.write(b"".join((last_block, end, *map(self._register, then))))
        return self._noted(await answer)

    def write(self, data: bytes) -> None:
        """Write what has no answer."""
        assert self._transport is not None
        self._transport.write(data)

    async def drain(self, at_most: timedelta) -> None:
        """Wait until what was written has left, or the connection is over."""
        if not self._full or self.talk.over is not None:
            return
        self._room = self._loop.create_future()
        seconds = at_most.total_seconds()
        why = f"The server took no more content within {seconds:g} seconds"
        alarm = self._loop.call_later(seconds, self.abort, why)
        try:
            await self._room
        finally:
            alarm.cancel()
            self._room = None

    async def catch_up(self) -> None:
        """Read what has arrived already: it can't be the answer to what is written next."""
        if self._poll is None or self._poll.poll(0):
            # The loop looks at its sockets between the first and the second, and has read them after it.
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def start_tls(self, context: ssl.SSLContext, host: str, at_most: timedelta) -> str | None:
        """Put TLS under the conversation; return what went wrong."""
        assert self._transport is not None
        if self.talk.over is not None:
            return self.talk.over
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=host,
                ssl_handshake_timeout=at_most.total_seconds(),
            )
        except (OSError, ValueError) as error:
            self.abort(_tls_sentence(error))
            return self.talk.over
        if transport is None:  # the connection was lost, without an error, in the middle of it
            self.abort("The server closed the connection in the middle of the TLS handshake")
            return self.talk.over
        self._transport = transport
        transport.set_write_buffer_limits(high=1, low=0)
        self.talk.begin_tls()
        self._note(Stage.TLS, _tls_words(transport))
        return None

    def abort(self, why: str) -> None:
        """Close at once."""
        self._hand_out(self.talk.lose(why))
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Full as soon as the kernel does not take all: what "has left" is then out of our hands.
        self._transport.set_write_buffer_limits(high=0)
        self._poll = _poll_for_reading(transport)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._hand_out(self.talk.receive(data))
        if self.talk.over is not None and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._poll = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        why = "The server closed the connection"
        self._hand_out(self.talk.lose(why if exc is None else f"The connection broke ({exc})"))
        if not self.gone.done():
            self.gone.set_result(None)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._make_room()

    def _register(self, question: Question) -> bytes:
        stage, line, hear, at_most = question
        self._expect(hear, at_most)
        return self.talk.ask(stage, line)

    def _expect(self, hear: Hear, at_most: timedelta) -> None:
        seconds = at_most.total_seconds()
        self._hearers.append((hear, seconds))
        if len(self._hearers) == 1:
            self._await_for(seconds)

    def _await_for(self, seconds: float) -> None:
        """Let the next answer take so long. One timer serves all: it is set anew only where it would ring too late."""
        self._patience = seconds
        self._deadline = self._loop.time() + seconds
        if self._alarm is not None and self._alarm.when() > self._deadline:
            self._alarm.cancel()
            self._alarm = None
        if self._alarm is None and seconds < math.inf:
            self._alarm = self._loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if not self._hearers or self.talk.over is not None:
            return
        if self._loop.time() < self._deadline:
            self._alarm = self._loop.call_at(self._deadline, self._ring)
        else:
            self.abort(f"The server gave no complete answer within {self._patience:g} seconds")

    def _hand_out(self, answers: list[Reply | Broken]) -> None:
        for answer in answers:
            hear, _ = self._hearers.popleft()
            hear(answer)
        if answers and self._hearers:
            self._await_for(self._hearers[0][1])
        if self.talk.over is not None:
            self._make_room()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _noted(self, answer: Reply | Broken) -> Reply | Broken:
        if isinstance(answer, Reply) and answer.code < 400:
            self._note(answer.stage, str(answer))
        return answer


def _into(future: asyncio.Future[Reply | Broken]) -> Hear:
    """Return who hears an answer for a future; who waited for it may have been cancelled meanwhile."""

    def hear(answer: Reply | Broken) -> None:
        if not future.done():
            future.set_result(answer)

    return hear


def _poll_for_reading(transport: asyncio.BaseTransport) -> select.poll | None:
    """Return something that can say, without waiting, whether there is anything to read."""
    channel: Any = transport.get_extra_info("socket")
    if channel is None or channel.fileno() < 0:
        return None
    poll = select.poll()
    poll.register(channel.fileno(), select.POLLIN)
    return poll


async def dial(host: str, port: int, at_most: timedelta, note: Noted) -> Wire | Broken:
    """Open a connection to the first of the host's addresses that takes one."""
    loop = asyncio.get_running_loop()
    where = f"{host} port {port}"
    deadline = loop.time() + at_most.total_seconds()
    problem = f"{where} has no address"
    try:
        async with asyncio.timeout_at(deadline):
            addresses = await _resolve(host, port)
    except TimeoutError:
        return _no_connection(f"Finding the address of {host} took too long.")
    except (OSError, ValueError) as error:
        return _no_connection(f"The host name {host} can't be found ({error}).")
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        # A fair share for each: one that swallows packets must not use up the time of the others.
        share = (deadline - loop.time()) / (len(addresses) - tried)
        try:
            async with asyncio.timeout(share):
                wire = await _dial_address(socket.socket(family, kind, protocol), address, note)
        except TimeoutError:
            problem = f"{where} did not answer within {at_most.total_seconds():g} seconds"
        except OSError as error:
            problem = f"{where} can't be reached ({_reason(error)})"
        else:
            note(Stage.CONNECT, _connected(address[0], address[1]))
            return wire
    return _no_connection(
        f"{problem}. Check host and port of the account, and that the server is up."
    )


async def _dial_address(channel: socket.socket, address: Any, note: Noted) -> Wire:
    loop = asyncio.get_running_loop()
    try:
        channel.setblocking(False)
        await loop.sock_connect(channel, address)
        _, wire = await loop.create_connection(lambda: Wire(note), sock=channel)
    except BaseException:
        channel.close()
        raise
    return wire


def _connected(address: str, port: int) -> str:
    where = IN_WORDS.get(network_of(address))
    return f"connected to {address} port {port}" + (f", {where}" if where else "")


def _reason(error: OSError) -> str:
    # asyncio's own text repeats the address instead of saying what happened.
    return os.strerror(error.errno) if error.errno else str(error)


def _no_connection(detail: str) -> Broken:
    return Broken(stage=Stage.CONNECT, detail=detail)


async def _resolve(host: str, port: int) -> list[Any]:
    """Return getaddrinfo's answer.

    On a thread that nobody waits for: an executor's would hold up the end of the process for as long as a dead name
    server does.
    """
    with contextlib.suppress(socket.gaierror):
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[Any]] = loop.create_future()

    def tell(addresses: list[Any], error: OSError | ValueError | None) -> None:
        if found.done():
            return
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    def look_up() -> None:
        addresses: list[Any] = []
        failed = None
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, ValueError) as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, addresses, failed)

    threading.Thread(target=look_up, name="look up a mail server", daemon=True).start()
    return await found


def _tls_sentence(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The server's certificate can't be trusted ({error.verify_message.rstrip('.')})"
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return "The server does not speak TLS on this port, STARTTLS may be right"
    return f"TLS could not be agreed on ({str(error) or type(error).__name__})"


def _tls_words(transport: asyncio.Transport) -> str:
    ssl_object: Any = transport.get_extra_info("ssl_object")
    checked = (
        "certificate verified" if ssl_object.context.verify_mode else "certificate not checked"
    )
    return f"{ssl_object.version()}, {checked}"
