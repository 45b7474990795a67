"""The built-in mail server: takes every message on the loopback and keeps it in a Maildir for mail/outbox.py.

Nothing leaves the machine. It serves trials, the demo and tests, so a message that it has answered for survives the
process, but not the machine: nothing here is fsynced. What the ledger promises does not rest on it.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

from foundation.clock import Clock
from foundation.errors import Unavailable
from foundation.log import log_for

HOST = "127.0.0.1"
MAX_BYTES = 16 * 1024 * 1024
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
_MICROSECOND = timedelta(microseconds=1)

log = log_for(__name__)


class Maildir:
    """A folder of messages, each named by its id: the microseconds since the epoch at which it came.

    Several processes may deliver into one folder; one Maildir object belongs to one thread.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._tmp = folder / "tmp"
        self._new = folder / "new"
        self._clock = clock
        self._latest = 0
        for path in (folder, self._tmp, self._new, folder / "cur"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def deliver(self, mail_from: str, rcpt_to: list[str], content: bytes) -> int:
        """Keep the message with its envelope in front; it is in the folder when this returns, whole. Returns its id."""
        now = self._clock.now()
        message_id, descriptor = self._reserve((now - _EPOCH) // _MICROSECOND)
        temporary = self._tmp / str(message_id)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, which Path.open can't take
                file.write(_envelope(mail_from, rcpt_to, now))
                file.write(content)
            temporary.rename(self._new / str(message_id))
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return message_id

    def _reserve(self, wanted: int) -> tuple[int, int]:
        """Return the first free id, from wanted on, and an open file of that name in tmp/."""
        message_id = max(wanted, self._latest + 1)
        while True:
            descriptor = self._create(message_id)
            if descriptor is not None:
                self._latest = message_id
                return message_id, descriptor
            message_id += 1

    def _create(self, message_id: int) -> int | None:
        path = self._tmp / str(message_id)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            return None
        # Looked at only after tmp/ID is ours: whoever puts a file at new/ID holds tmp/ID until then, so none can come.
        if (self._new / str(message_id)).exists():
            os.close(descriptor)
            path.unlink()
            return None
        return descriptor


def _envelope(mail_from: str, rcpt_to: list[str], now: datetime) -> bytes:
    lines = [
        f"Return-Path: <{mail_from}>",
        *(f"Delivered-To: {address}" for address in rcpt_to),
        f"Received: from localhost by localhost (Sendonce sandbox); {format_datetime(now)}",
    ]
    # A client may put into a command what no header may hold.
    shown = ("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    return "".join(f"{line}\r\n" for line in shown).encode("utf-8", "replace")


class SandboxServer:
    """The mail server: one thread with an event loop of its own, on a free port of the loopback.

    pause says how long it takes, before it keeps a message and once more before it answers; None: no time at all.
    """

    def __init__(
        self, outbox: Path, clock: Clock, *, pause: Callable[[], timedelta] | None = None
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def start(self) -> int:
        """Begin to take mail and return the port; one that runs goes on with the port it has.

        Raises Unavailable where no port can be had, or the folder can't be made.
        """
        with self._lock:
            if self._running is None:
                try:
                    maildir = Maildir(self._outbox, self._clock)
                    listening = socket.create_server((HOST, 0), backlog=128)
                except OSError as error:
                    raise Unavailable(
                        f"The sandbox mail server can't start: {error}. Free what it names, then start again"
                    ) from error
                self._running = _Running(maildir, listening, self._pause)
            return self._running.port

    def stop(self) -> None:
        """Close every connection and return when the thread has ended; a message not answered for is dropped."""
        with self._lock:
            if self._running is not None:
                self._running.end()
                self._running = None


class _Running:
    """One start of the server, until its end."""

    def __init__(
        self,
        maildir: Maildir,
        listening: socket.socket,
        pause: Callable[[], timedelta] | None,
    ) -> None:
        self.port: int = listening.getsockname()[1]
        self._maildir = maildir
        self._pause = pause
        # The kernel takes connections from here on, so nobody has to wait until the thread is there.
        self._listening = listening
        self._stopping = asyncio.Event()
        self._connections: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        # A daemon: it must not keep a process alive whose main thread is dead, and there is nothing it could lose.
        self._thread = threading.Thread(target=self._run, name="sandbox mail server", daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await self._loop.create_server(self._connection, sock=self._listening)
        await self._stopping.wait()
        await self._cut()
        # Only now, and with no turn of the loop between: asyncio leaks a connection that is being accepted meanwhile.
        server.close()
        await server.wait_closed()

    async def _cut(self) -> None:
        """End every conversation, also with a client whom the loop is only about to greet."""
        me = asyncio.current_task()
        while self._connections or asyncio.all_tasks() - {me}:
            # A conversation ends by itself once its connection is lost. Tasks are not cancelled: one that has not begun
            # would leave the socket that it was made for open.
            for transport in self._connections:
                transport.abort()
            await asyncio.sleep(0)

    def _connection(self) -> "_Connection":
        return _Connection(_Handler(self._maildir, self._pause), self._connections, self._loop)


class _Connection(SMTP):
    """A conversation with one client, which can be cut short."""

    def __init__(
        self,
        handler: "_Handler",
        connections: set[asyncio.Transport],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        # The host name is given because looking it up may ask the network.
        super().__init__(
            handler,
            data_size_limit=MAX_BYTES,
            enable_SMTPUTF8=True,
            hostname="localhost",
            ident="Sendonce sandbox",
            loop=loop,
        )
        self._connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._mine = transport
        self._connections.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.discard(self._mine)
        super().connection_lost(error)


class _Handler:
    """What aiosmtpd asks about a message; every sender and recipient is taken."""

    def __init__(self, maildir: Maildir, pause: Callable[[], timedelta] | None) -> None:
        self._maildir = maildir
        self._pause = pause

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        sender = (envelope.mail_from or "").removeprefix(
            "<>"
        )  # what aiosmtpd makes of an empty sender
        await self._take_time()
        try:
            kept = self._maildir.deliver(
                sender, envelope.rcpt_tos, envelope.original_content or b""
            )
        except OSError as error:
            log.warning("sandbox can't keep a message", error=str(error))
            return "452 4.3.1 The message could not be kept"
        await self._take_time()
        return f"250 2.0.0 Kept as {kept}"

    async def _take_time(self) -> None:
        if self._pause is not None:
            await asyncio.sleep(self._pause().total_seconds())
