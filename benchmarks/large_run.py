"""A run to very many: how soon its deliveries are made and its first mail is out, and its memory over an idle server's.

Takes minutes, so it runs only when it is named.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import corpus
from benchmarks.figure import Figure, memory, miscounted
from benchmarks.mail_server import a_mail_server
from benchmarks.process import forget_peak, memory_mib, peak_memory_mib
from benchmarks.served import a_schedule, an_audience, send_now, serving
from benchmarks.sizes import Sizes


def large_run(sizes: Sizes) -> Iterator[Figure]:
    """Send to all of them, through a server that was started after they had come in."""
    count = sizes.large_run
    with tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as name:
        folder = Path(name)
        with serving(folder) as server:
            audience_id = an_audience(server, count)
        with serving(folder) as server, a_mail_server() as mail:
            schedule_id = a_schedule(server, port=mail.port, connections=4, audience_id=audience_id)
            pid = server.process.pid
            idle = memory_mib(pid)
            forget_peak(pid)
            ended = send_now(server, schedule_id)
            peak = peak_memory_mib(pid)
    run = f"run to {count:,}"
    yield Figure(name=f"{run}: deliveries made", value=ended.made_seconds, unit="s")
    yield Figure(name=f"{run}: first mail out", value=ended.first_seconds, unit="s")
    yield memory(f"{run}: peak", peak)
    yield memory(f"{run}: peak over idle", peak - idle)
    yield from miscounted(run, mail.miscounted(map(corpus.address, range(count))))
