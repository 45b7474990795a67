"""A mail server on loopback that does what a test tells it to, at every step of the conversation.

    with ScriptedServer({"RCPT": [b"550 no\\r\\n"], "end": [b"250 hal", HANG_UP]}) as server:
        ... connect to server.host, server.port ...
        server.messages, server.commands, server.cut_off, server.reads

A script maps steps to what is done there; steps left out get a well-behaved answer. The steps: "banner", a verb
("EHLO", "STARTTLS", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "QUIT"; "" stands for verbs it does not name), "challenge"
(a line after a 334 has come), "content" (its first bytes have; nothing is said unless the script does), "end" (the
final dot has). What is done is a list of actions:

| action | does |
| --- | --- |
| bytes | writes them as they are |
| Drip(bytes), Flood(bytes) | writes them byte by byte; writes them again and again until the client goes |
| HANG_UP, RESET | closes in an orderly way; closes with an RST |
| SILENCE | says nothing until the client goes or the server stops |
| DEAF | does not even read any more |
| SHAKE_HANDS | begins TLS |
| Call(function) | calls it, on the connection's thread |

InTurn(actions, actions …) takes the next list each time the step is reached, the last one for ever.
"""

import contextlib
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self


class _Doing(Enum):
    HANG_UP = "hang up"
    RESET = "reset"
    SILENCE = "silence"
    DEAF = "deaf"
    SHAKE_HANDS = "shake hands"


HANG_UP, RESET, SILENCE, DEAF, SHAKE_HANDS = _Doing


@dataclass(frozen=True)
class Drip:
    data: bytes


@dataclass(frozen=True)
class Flood:
    data: bytes


@dataclass(frozen=True)
class Call:
    function: Callable[[], object]


Action = bytes | _Doing | Drip | Flood | Call


class InTurn:
    """Other actions each time the step is reached, over all connections; the last ones for ever."""

    def __init__(self, *turns: Sequence[Action]) -> None:
        self._turns = list(turns)

    def next(self) -> Sequence[Action]:
        return self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]


Script = Mapping[str, Sequence[Action] | InTurn]

WELL_BEHAVED: dict[str, Sequence[Action]] = {
    "banner": [b"220 scripted.test ESMTP\r\n"],
    "EHLO": [b"250-scripted.test\r\n250-SIZE 100000000\r\n250-8BITMIME\r\n250 PIPELINING\r\n"],
    "HELO": [b"250 scripted.test\r\n"],
    "STARTTLS": [b"220 go ahead\r\n", SHAKE_HANDS],
    "AUTH": [b"235 welcome\r\n"],
    "challenge": [b"235 welcome\r\n"],
    "MAIL": [b"250 sender ok\r\n"],
    "RCPT": [b"250 recipient ok\r\n"],
    "RCPT of nothing": [b"503 5.5.1 MAIL first\r\n"],  # its MAIL was refused
    "DATA": [b"354 go ahead\r\n"],
    "DATA for nobody": [b"554 5.5.1 no valid recipients\r\n"],  # its MAIL or RCPT was refused
    "content": [],
    "end": [b"250 queued\r\n"],
    "RSET": [b"250 forgotten\r\n"],
    "QUIT": [b"221 bye\r\n", HANG_UP],
}


@dataclass(frozen=True)
class Received:
    """A message whose final dot was read; content is as it was written, dots stuffed, without the final one."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes


@dataclass
class Session:
    """A connection, and how far its conversation has come."""

    channel: socket.socket
    buffer: bytes = b""
    line: str = ""  # the command that came last
    mail_from: str | None = None
    rcpt_to: list[str] = field(default_factory=list)


class _Gone(Exception):
    """The connection has ended, from either side."""


class ScriptedServer:
    """Takes any number of connections, each on a thread of its own, all with the same script.

    tls is the server's context, for STARTTLS, or from the first byte with implicit_tls. receive_buffer_bytes makes the
    kernel take little, so that a DEAF server is felt soon.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        receive_buffer_bytes: int | None = None,
    ) -> None:
        self.script: dict[str, Any] = {**WELL_BEHAVED, **(script or {})}
        self.host = "127.0.0.1"
        self.port = 0
        self.commands: list[str] = []
        self.messages: list[Received] = []
        self.cut_off: list[bytes] = []  # content whose final dot never came
        self.reads: list[bytes] = []  # what came together
        self.connections = 0
        self.open_connections = 0
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._receive_buffer_bytes = receive_buffer_bytes
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._channels: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer_bytes is not None:
            self._listener.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer_bytes
            )
        self._listener.bind((self.host, 0))
        self._listener.listen(64)
        self.port = self._listener.getsockname()[1]
        self._spawn(self._accept)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        with self._changed:
            channels = [self._listener, *self._channels]
        for channel in channels:
            with contextlib.suppress(OSError):
                channel.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=10)
            assert not thread.is_alive(), "a thread of the scripted server hangs"
        self._listener.close()

    def wait_until(self, fact: Callable[[], bool], *, seconds: float = 10) -> None:
        """Wait until something about this server is so; fails when it is not in time."""
        with self._changed:
            assert self._changed.wait_for(fact, timeout=seconds), "it did not come to that in time"

    def actions_for(self, session: Session, step: str) -> Sequence[Action]:
        """Return what is done now at this step."""
        actions = self.script.get(step, [b"502 no such thing\r\n"])
        return actions.next() if isinstance(actions, InTurn) else actions

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self._changed:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # stopped
                return
            if self._stopping.is_set():
                channel.close()
                return
            # Each action is a packet of its own: what was said is there when the next action begins.
            channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._channels.append(channel)
                self.connections += 1
                self.open_connections += 1
                self._changed.notify_all()
            self._spawn(self._serve, channel)

    def _serve(self, channel: socket.socket) -> None:
        session = Session(channel)
        try:
            with contextlib.suppress(_Gone, OSError):
                if self._implicit_tls:
                    self._shake_hands(session)
                self._converse(session)
        finally:
            with contextlib.suppress(OSError):
                session.channel.close()
            with self._changed:
                self.open_connections -= 1
                self._changed.notify_all()

    def _converse(self, session: Session) -> None:
        self._do(session, "banner")
        while True:
            session.line = line = self._read_line(session)
            self._note(self.commands, line)
            verb = line.split(" ")[0].upper()
            said = self._do(session, self._step(session, verb))
            address = re.search(r"<(.*)>", line)
            if verb == "MAIL" and address:
                session.mail_from = address[1] if said.startswith(b"2") else None
                session.rcpt_to = []
            elif verb == "RCPT" and address and said.startswith(b"2"):
                session.rcpt_to.append(address[1])
            elif verb == "DATA" and said.startswith(b"354"):
                self._take_content(session)
            while verb == "AUTH" and said.startswith(b"334"):
                self._note(self.commands, self._read_line(session))
                said = self._do(session, "challenge")

    def _step(self, session: Session, verb: str) -> str:
        if verb == "RCPT" and session.mail_from is None:
            return "RCPT of nothing"
        if verb == "DATA" and not session.rcpt_to:
            return "DATA for nobody"
        return verb if verb in self.script else ""

    def _take_content(self, session: Session) -> None:
        try:
            if not session.buffer:
                self._read(session)
            self._do(session, "content")
            # The content may be nothing: its end is then the very first line.
            while b"\r\n.\r\n" not in b"\r\n" + session.buffer:
                self._read(session)
        except (_Gone, OSError):
            self._note(self.cut_off, session.buffer)
            raise
        content, _, session.buffer = (b"\r\n" + session.buffer).partition(b"\r\n.\r\n")
        content = content.removeprefix(b"\r\n")
        self._note(
            self.messages,
            Received(
                session.mail_from or "",
                tuple(session.rcpt_to),
                content + b"\r\n" if content else b"",
            ),
        )
        self._do(session, "end")

    def _do(self, session: Session, step: str) -> bytes:
        """Do what the script says for a step; return what was said."""
        said = b""
        for action in self.actions_for(session, step):
            match action:
                case bytes():
                    session.channel.sendall(action)
                    said += action
                case Drip(data):
                    for byte in data:
                        session.channel.sendall(bytes([byte]))
                    said += data
                case Flood(data):
                    while True:
                        session.channel.sendall(data)
                case Call(function):
                    function()
                case _Doing.SHAKE_HANDS:
                    self._shake_hands(session)
                case _Doing.SILENCE:
                    while True:
                        self._read(session)
                case _Doing.DEAF:
                    self._stopping.wait()
                    raise _Gone
                case _Doing.HANG_UP:
                    # What the client still sends must not turn the end into a reset.
                    with contextlib.suppress(OSError):
                        session.channel.shutdown(socket.SHUT_WR)
                    while True:
                        self._read(session)
                case _Doing.RESET:
                    linger = struct.pack("ii", 1, 0)
                    session.channel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    raise _Gone
        return said

    def _shake_hands(self, session: Session) -> None:
        assert self._tls is not None, "the scripted server was given no TLS context"
        session.channel = self._tls.wrap_socket(session.channel, server_side=True)
        session.buffer = b""
        with self._changed:
            self._channels.append(session.channel)

    def _read(self, session: Session) -> None:
        data = session.channel.recv(65536)
        if not data:
            raise _Gone
        self._note(self.reads, data)
        session.buffer += data

    def _read_line(self, session: Session) -> str:
        while b"\r\n" not in session.buffer:
            self._read(session)
        line, _, session.buffer = session.buffer.partition(b"\r\n")
        return line.decode("utf-8", errors="replace")

    def _note(self, where: list[Any], what: object) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()
