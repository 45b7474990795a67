"""End to end: the real server, through its API, against the counting mail server; smtplib beside it each time."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import corpus
from benchmarks.figure import Better, Figure, memory, miscounted
from benchmarks.mail_server import a_mail_server
from benchmarks.plain_sender import send
from benchmarks.process import cpu_seconds, forget_peak, in_a_process, peak_memory_mib
from benchmarks.served import a_schedule, an_audience, send_now, serving
from benchmarks.sizes import Sizes

_CONNECTIONS = (4, 1)


def sending(sizes: Sizes) -> Iterator[Figure]:
    """Send at each distance, smtplib first: its round trips are four a message, on one connection."""
    for round_trip_ms in sizes.round_trips_ms:
        plain = _plain(sizes, round_trip_ms)
        for connections in _CONNECTIONS:
            yield from _cell(sizes, round_trip_ms, connections, plain)


def _plain(sizes: Sizes, round_trip_ms: int) -> dict[str, float]:
    """Return smtplib's messages a second, and CPU seconds for 1,000 of them."""
    count = _fitting(sizes.plain_messages, sizes, waits_ms=4 * round_trip_ms)
    with a_mail_server(round_trip_ms=round_trip_ms) as server:
        found = in_a_process(send, server.port, count)
    assert server.miscounted(map(corpus.address, range(count))) == (0, 0)
    return {"rate": count / found["seconds"], "cpu": found["cpu_seconds"] / count * 1000}


def _cell(
    sizes: Sizes, round_trip_ms: int, connections: int, plain: dict[str, float]
) -> Iterator[Figure]:
    count = _fitting(sizes.messages, sizes, waits_ms=round_trip_ms / connections)
    with (
        tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as folder,
        serving(Path(folder)) as sendonce,
    ):
        audience_id = an_audience(sendonce, count)
        pid = sendonce.process.pid
        with a_mail_server(round_trip_ms=round_trip_ms) as mail:
            schedule_id = a_schedule(
                sendonce, port=mail.port, connections=connections, audience_id=audience_id
            )
            forget_peak(pid)
            cpu = cpu_seconds(pid)
            ended = send_now(sendonce, schedule_id)
            cpu = cpu_seconds(pid) - cpu
            peak = peak_memory_mib(pid)
    name = f"send, {round_trip_ms} ms away, {connections} conn"
    yield Figure(
        name=name,
        value=count / ended.seconds,
        unit="messages/s",
        against="smtplib",
        beside=plain["rate"],
        better=Better.MORE,
    )
    yield Figure(
        name=f"{name}: CPU for 1,000",
        value=cpu / count * 1000,
        unit="s",
        against="smtplib",
        beside=plain["cpu"],
    )
    yield memory(f"{name}: peak", peak)
    yield from miscounted(name, mail.miscounted(map(corpus.address, range(count))))


def _fitting(most: int, sizes: Sizes, *, waits_ms: float) -> int:
    """Return how many messages are sent in the time that there is, where one waits so long for the network."""
    return most if not waits_ms else max(20, min(most, int(sizes.seconds * 1000 / waits_ms)))
