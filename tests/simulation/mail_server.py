"""A mail server that lives outside every process: what it accepted is what the promise is checked against.

It speaks SMTP to the real client, and takes commands in groups (RFC 2920) on most connections. At each point of a
conversation it may do something else than it should; what the network has taken reaches it even when the process that
wrote it is gone.
"""

import asyncio
import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

_RUN = re.compile(rb"^X-Sendonce-Run: (\d+)", re.MULTILINE)
_RCPT = re.compile(rb"RCPT TO:<([^>]*)>")
_REPLY_ENDS = re.compile(rb"^\d\d\d(?!-).*\r\n", re.MULTILINE)
_STRAY = b"250 stray"
_END = b"\r\n.\r\n"

AT_ONCE = timedelta(0)
SOON = timedelta(milliseconds=20)
LATE = timedelta(minutes=11)  # later than any time-out of ours

Key = tuple[int, str]
"""A run and a recipient."""


@dataclass
class Truth:
    """What really happened on the network, for each run and recipient."""

    accepted: Counter[Key] = field(default_factory=Counter)
    refused: set[Key] = field(default_factory=set)
    misled: set[Key] = field(default_factory=set)  # a reply was given to them that was none
    begun: Counter[Key] = field(default_factory=Counter)  # content was given to a socket
    ended: Counter[Key] = field(default_factory=Counter)  # its end was given to a socket

    def forget(self) -> None:
        """Begin anew."""
        for counter in (self.accepted, self.begun, self.ended):
            counter.clear()
        self.refused.clear()


class Pipe:
    """One direction of a connection: nothing overtakes what went before."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._last = AT_ONCE

    def carry(self, wait: timedelta, function: Callable[..., None], *args: Any) -> None:
        now = self._world.clock.true
        self._last = max(self._last, now + wait)
        self._world.later(self._last - now, function, *args)


class ClientTransport(asyncio.Transport):
    """The process's end of a connection: an asyncio transport whose other end is a Session."""

    def __init__(self, process: "Process", protocol: asyncio.Protocol) -> None:
        super().__init__()
        self.process = process
        self._world: World = process.world
        self._protocol = protocol
        self._closing = False
        self._in_content = False
        self._sent = b""
        self._email = ""
        # What has no reply yet, oldest first: whose end was given, or None for the greeting, a command, a lone dot.
        self._asked: deque[Key | None] = deque([None])
        self._arrived: list[tuple[bytes, Key | None]] = []
        self._out = Pipe(self._world)
        self.session = Session(self._world, self)
        process.connections.add(self)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Never full: the kernel of this machine takes all."""

    def is_closing(self) -> bool:
        return self._closing

    def write(self, data: Any) -> None:
        if self._closing:
            return
        data = bytes(data)
        self.process.edge("write to a socket")
        self._look(data)
        self._out.carry(self._world.latency(), self.session.receive, data)
        self.process.edge("have written to a socket")

    def abort(self) -> None:
        self.process.must_live()
        if not self._closing:
            self._end(None)
            self.process.loop.call_soon(self._protocol.connection_lost, None)

    def close(self) -> None:
        self.abort()

    def cut(self) -> None:
        """Close as the kernel does for a process that has died: what it took goes out all the same."""
        self._end(None)

    # called by the session

    def deliver(self, data: bytes, ends: Key | None) -> None:
        """Take what the network brings; ends: whose end it begins with the reply to, if it does."""
        if not self._closing:
            self._arrived.append((data, ends))
            self.process.loop.call_soon(self._receive)

    def hang_up(self, error: Exception | None) -> None:
        if not self._closing:
            self._end(error)
            self.process.loop.call_soon(self._protocol.connection_lost, error)

    def _receive(self) -> None:
        """Let the process read all that has arrived, at once."""
        if not self._arrived:
            return
        self.process.edge("hear from a socket")
        if self._closing:
            return
        arrived, self._arrived = self._arrived, []
        for data, ends in arrived:
            self._match(data, ends)
        self._protocol.data_received(b"".join(data for data, _ in arrived))

    def _match(self, data: bytes, ends: Key | None) -> None:
        """See who is answered, and who takes for an answer what is none: nobody can tell it from the true reply."""
        for reply in _REPLY_ENDS.findall(data):
            asked = self._asked.popleft() if self._asked else None
            if asked is not None and asked != ends:
                self._world.truth.misled.add(asked)
            ends = None
            if reply.startswith(b"354"):
                self._in_content, self._sent = True, b""

    def _end(self, error: Exception | None) -> None:
        self._closing = True
        self.process.connections.discard(self)
        self._out.carry(self._world.latency(), self.session.lose)

    def _look(self, data: bytes) -> None:
        """See whose content is given to the socket, whether its end is, and what is asked behind it."""
        if self._in_content:
            content, found, data = _until_end(self._sent + data)
            is_first = not self._sent
            self._sent = content
            if content:
                self._look_at_content(is_first=is_first, is_whole=bool(found))
            elif found:  # a lone dot, for nobody
                self._asked.append(None)
            self._in_content = not found
        for line in data.splitlines():
            self._asked.append(None)
            if match := _RCPT.match(line):
                self._email = match[1].decode()

    def _look_at_content(self, *, is_first: bool, is_whole: bool) -> None:
        key = (_run_of(self._sent), self._email)
        if is_first:
            if any(self._asked):
                self._world.found_bug(f"{key} begins before the reply to {self._asked}", None)
            self._world.content_begins(self.process, key)
        if is_whole:
            self._asked.append(key)
            self._world.truth.ended[key] += 1


class Session:
    """The server's end of one connection."""

    def __init__(self, world: "World", client: ClientTransport) -> None:
        self._world = world
        self._client = client
        self._buffer = b""
        self._in_content = False
        self._is_open = True
        self._is_stuck = False
        self._has_sender = False
        self._email = ""  # of the recipient it has taken
        self._unanswered = ""  # of the recipient of whom it has said nothing
        self._out = Pipe(world)
        world.later(AT_ONCE, self._greet)

    def receive(self, data: bytes) -> None:
        """Take what the network brings."""
        if not self._is_open:
            return
        self._buffer += data
        while self._is_open and not self._is_stuck:
            if self._in_content:
                piece, found, rest = _until_end(self._buffer)
            else:
                piece, found, rest = self._buffer.partition(b"\r\n")
            if not found:
                return
            self._buffer = rest
            if self._in_content:
                self._in_content = False
                self._take(piece)
            else:
                self._answer(piece)

    def lose(self) -> None:
        """The client is gone: a message whose end did not arrive is dropped."""
        self._is_open = False

    def _greet(self) -> None:
        self._behave(b"220 mail.test ready", "greeting")

    def _answer(self, line: bytes) -> None:
        verb = line[:4].upper()
        match verb:
            case b"EHLO" | b"HELO":
                pipelining = b"\r\n250-PIPELINING" if self._world.dice.randint(0, 2) else b""
                self._behave(b"250-mail.test" + pipelining + b"\r\n250 8BITMIME", "EHLO")
            case b"MAIL":
                self._email = self._unanswered = ""
                self._has_sender = self._behave(b"250 fine", "MAIL")
            case b"RCPT" if not self._has_sender:
                self._say(b"503 MAIL first")
            case b"RCPT":
                found = _RCPT.match(line)
                assert found
                email = found[1].decode()
                if self._behave(b"250 fine", "RCPT", email):
                    self._email = email
            case b"DATA" if not self._email:
                self._answer_for_nobody()
            case b"DATA":
                if self._behave(b"354 go on", "DATA", self._email):
                    self._in_content = True
                    self._in_the_middle()
            case b"RSET":
                self._behave(b"250 fine", "RSET")
            case b"QUIT":
                self._say(b"221 bye")
                self._close()
            case _:
                self._say(b"500 what?")

    def _answer_for_nobody(self) -> None:
        """DATA has come together with a MAIL or RCPT that was refused."""
        if self._world.odds(2):
            if self._unanswered:  # what it says now is taken for the answer to RCPT
                self._world.refuse_all(self._unanswered)
            self._say(b"554 no valid recipients")
        else:
            self._say(b"354 go on")
            self._in_content = True

    def _in_the_middle(self) -> None:
        """While content comes in."""
        match self._world.mischief("content", 4):
            case 1:
                self._close()
            case 2:
                self._say(_STRAY)
            case 3:
                self._close(ConnectionResetError("reset"))

    def _take(self, content: bytes) -> None:
        """The end of the content has arrived."""
        if not self._email:
            assert not content, "content is sent to nobody"
            self._say(b"250 taken" if self._world.odds(2) else b"554 no valid recipients")
            return
        key = (_run_of(content), self._email)
        self._email, self._has_sender = "", False
        match self._world.mischief("end", 16):
            case 0:
                self._accept(key, b"250 taken")
            case 1:  # the reply is lost
                self._accept(key)
                self._close()
            case 2:
                self._accept(key)
                self._close(ConnectionResetError("reset"))
            case 3:  # no reply for longer than we wait
                self._accept(key)
                self._say(b"250 taken, late", ends=key, after=LATE)
            case 4:
                self._accept(key)
                self._say(b"250-taken, but", end=b"\r\n")
                self._close()
            case 5:
                self._say(b"451 not now", ends=key)
            case 6:
                self._refuse(key, b"554 no")
            case 7:
                self._say(b"421 closing", ends=key)
                self._close()
            case 8:  # not taken, and not a word
                self._close()
            case 9:  # silence for good, whatever was asked behind it
                self._is_stuck = True
            case 10:
                self._say(b"354 go on", ends=key)
            case 11:
                self._accept(key, b"250 taken\r\n250 stray")
            case 12:
                self._accept(key, b"250 taken", after=timedelta(seconds=9))
            case 13:
                self._accept(key)
                self._say(b"\x00\xff garbage")
            case 14:  # enough for one connection: what came along has no answer
                self._accept(key, b"250 taken")
                self._close(ConnectionResetError("reset"))
            case 15:
                self._accept(key, b"250 taken\r\n421 enough")
                self._close()

    def _accept(
        self, key: Key, reply: bytes | None = None, *, after: timedelta | None = None
    ) -> None:
        self._world.accept(key)
        if reply is not None:
            self._say(reply, ends=key, after=after)

    def _refuse(self, key: Key, reply: bytes) -> None:
        self._world.truth.refused.add(key)
        self._say(reply, ends=key)

    def _behave(self, reply: bytes, point: str, email: str = "") -> bool:
        """Say what should be said, or do something else; return whether the reply was the one that should be.

        Where it says nothing, what was asked behind it is answered all the same.
        """
        match self._world.mischief(point, 9):
            case 0:
                self._say(reply)
                return True
            case 1:
                self._say(b"451 not now")
            case 2:
                self._say(b"550 no")
                if email:
                    self._world.refuse_all(email)
            case 3:
                self._say(b"421 closing")
                self._close()
            case 4:
                self._close()
            case 5:
                self._unanswered = email
            case 6:
                self._say(reply + b"\r\n250 stray")
                return True
            case 7:
                self._close(ConnectionResetError("reset"))
            case 8:
                self._say(reply, after=timedelta(seconds=1))
                return True
        return False

    def _say(
        self,
        line: bytes,
        *,
        ends: Key | None = None,
        end: bytes = b"\r\n",
        after: timedelta | None = None,
    ) -> None:
        wait = self._world.latency() if after is None else after
        self._out.carry(wait, self._client.deliver, line + end, ends)

    def _close(self, error: Exception | None = None) -> None:
        self._is_open = False
        self._out.carry(self._world.latency(), self._client.hang_up, error)


def _until_end(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut at the end of the content, as partition does; all of it may be the end."""
    before, found, after = (b"\r\n" + content).partition(_END)
    return before[2:], found, after


def _run_of(content: bytes) -> int:
    found = _RUN.search(content)
    assert found, "every mail names its run"
    return int(found[1])
