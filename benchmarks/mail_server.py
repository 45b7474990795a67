"""The counting mail server: takes every message, says how many each address got, and can be as far away as you like.

A process of its own, so that it never competes with a sender for an interpreter. It keeps no content.
"""

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_EXTENSIONS = b"250-counting.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 52428800\r\n"
_ANSWERS = {
    b"EHLO": _EXTENSIONS,
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}
_END = b"\r\n.\r\n"


@dataclass(slots=True)
class MailServer:
    """A running server on the loopback: its port, and once it has ended, how many messages each address got."""

    port: int
    taken: Counter[str] = field(default_factory=Counter)

    def miscounted(self, addresses: Iterator[str]) -> tuple[int, int]:
        """Return how many messages came twice or to nobody that was meant, and how many of these people got none."""
        wanted = set(addresses)
        missing = len(wanted - self.taken.keys())
        return self.taken.total() - (len(wanted) - missing), missing


@contextmanager
def a_mail_server(*, round_trip_ms: float = 0) -> Iterator[MailServer]:
    """Give a server that is so far away; it has ended, and counted, when the block is left."""
    command = [sys.executable, "-m", "benchmarks.mail_server", str(round_trip_ms / 1000)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            server = MailServer(port=int(process.stdout.readline()))
            yield server
        finally:
            process.terminate()
            counted = process.stdout.read()
        server.taken.update(json.loads(counted))


class _Conversation(asyncio.Protocol):
    """One connection. What one read asks for is answered in one write, as RFC 2920 has it."""

    def __init__(self, taken: Counter[str], round_trip: float) -> None:
        self._taken = taken
        self._round_trip = round_trip
        self._received = bytearray()
        self._searched = 0
        self._rcpt_to: str | None = None
        self._in_content = False
        self._held: deque[tuple[float, bytes]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._answer(b"220 counting.example\r\n")

    def data_received(self, data: bytes) -> None:
        self._received += data
        answers = []
        while (answer := self._content() if self._in_content else self._command()) is not None:
            answers.append(answer)
        if answers:
            self._answer(b"".join(answers))

    def _command(self) -> bytes | None:
        line, end, _ = self._received.partition(b"\r\n")
        if not end:
            return None
        verb = bytes(line[:4]).upper()
        if verb == b"RCPT":
            self._rcpt_to = line[line.index(b"<") + 1 : line.rindex(b">")].decode()
        if verb == b"DATA":
            # Its line end stays: with it, an empty message ends as every other.
            self._in_content, self._searched = True, 0
            del self._received[: len(line)]
        else:
            del self._received[: len(line) + 2]
        return _ANSWERS.get(verb, b"250 2.0.0 Ok\r\n")

    def _content(self) -> bytes | None:
        end = self._received.find(_END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._received) - len(_END))
            return None
        del self._received[: end + len(_END)]
        self._in_content = False
        self._taken[self._rcpt_to or "nobody"] += 1
        self._rcpt_to = None
        return b"250 2.0.0 Ok: queued\r\n"

    def _answer(self, answer: bytes) -> None:
        """Write it, one round trip later: what is underway in both directions is held here."""
        if not self._round_trip:
            self._transport.write(answer)
            return
        self._held.append((self._loop.time() + self._round_trip, answer))
        if len(self._held) == 1:
            self._loop.call_at(self._held[0][0], self._let_go)

    def _let_go(self) -> None:
        self._transport.write(self._held.popleft()[1])
        if self._held:
            self._loop.call_at(self._held[0][0], self._let_go)


async def _serve(round_trip: float) -> None:
    loop = asyncio.get_running_loop()
    taken: Counter[str] = Counter()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    server = await loop.create_server(
        lambda: _Conversation(taken, round_trip), "127.0.0.1", 0, backlog=128
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await stopping.wait()
    server.close()
    print(json.dumps(taken))


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
