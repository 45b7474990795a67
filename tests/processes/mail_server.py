"""A mail server in the test's own process that counts what it takes."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser

from aiosmtpd.smtp import SMTP, Envelope, Session


class MailServer:
    """Takes every message, and answers after a pause. received counts what came; its answer may be lost."""

    def __init__(self, pause_seconds: float) -> None:
        self._pause_seconds = pause_seconds
        self._loop = asyncio.new_event_loop()
        self._lock = threading.Lock()
        self._received: list[tuple[str, bytes]] = []
        self._transports: set[asyncio.BaseTransport] = set()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(self._conversation, "127.0.0.1", 0)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiving server")
        self._thread.start()

    @property
    def received(self) -> Counter[str]:
        with self._lock:
            return Counter(recipient for recipient, _ in self._received)

    def messages(self, recipient: str) -> list[EmailMessage]:
        with self._lock:
            found = [content for to, content in self._received if to == recipient]
        return [BytesParser(policy=policy.default).parsebytes(content) for content in found]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        with self._lock:
            for recipient in envelope.rcpt_tos:
                self._received.append((recipient, envelope.original_content or b""))
        await asyncio.sleep(self._pause_seconds)
        return "250 2.0.0 Taken"

    def _conversation(self) -> SMTP:
        return _Conversation(self, self._transports, self._loop)

    async def _end(self) -> None:
        self._server.close()
        me = asyncio.current_task()
        while self._transports or asyncio.all_tasks() - {me}:
            for transport in self._transports:
                assert isinstance(transport, asyncio.Transport)
                transport.abort()
            await asyncio.sleep(0.01)


class _Conversation(SMTP):
    def __init__(
        self,
        handler: MailServer,
        transports: set[asyncio.BaseTransport],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(handler, enable_SMTPUTF8=True, hostname="receiver.example", loop=loop)
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._mine = transport
        self._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transports.discard(self._mine)
        super().connection_lost(error)


@contextmanager
def a_mail_server(*, pause_seconds: float = 0.0) -> Iterator[MailServer]:
    server = MailServer(pause_seconds)
    try:
        yield server
    finally:
        server.close()
