"""What the ledger costs a message: the durable lease, and the fence and the outcome in one commit a turn."""

import asyncio
import time
from collections.abc import Iterator, Sequence

from benchmarks.a_run import ARun, a_run
from benchmarks.figure import Figure
from benchmarks.sizes import Sizes
from delivery.group_commit import GroupCommit
from delivery.leases import Leased
from delivery.outcome import Sent
from mail.reply import Reply, Stage
from tests.delivery.builders import RETRY_DELAY

_AT_ONCE = 500
_CONNECTIONS = 4
_SENT = Sent(Reply(stage=Stage.END_GIVEN, code=250, text="2.0.0 Ok: queued as 4bXk2Q1zR9"))


def ledger(sizes: Sizes) -> Iterator[Figure]:
    """Take every delivery of a run through the ledger as four connections do, with no mail server to wait for."""
    with a_run(sizes.leased) as run:
        batches, lease_us = _lease_all(run)
        fence_us = [asyncio.run(_send_all(run, batch)) for batch in batches]
        assert run.ledger.statuses(run.run_id) == {"sent": sizes.leased}
    yield Figure(name="ledger: lease", value=lease_us, unit="us")
    yield Figure(name="ledger: fence and outcome", value=min(fence_us), unit="us")


def _lease_all(run: ARun) -> tuple[list[list[Leased]], float]:
    """Return what was leased, batch by batch, and the microseconds for each delivery of the best batch."""
    batches: list[list[Leased]] = []
    took: list[float] = []
    while True:
        begun = time.perf_counter()
        leased = run.ledger.lease(run.run_id, run.account, limit=_AT_ONCE)
        if not leased:
            return batches, min(took)
        took.append((time.perf_counter() - begun) / len(leased) * 1e6)
        batches.append(leased)


async def _send_all(run: ARun, items: Sequence[Leased]) -> float:
    """Return the microseconds for each of them, from before its fence until its outcome is written."""
    loop = asyncio.get_running_loop()
    commits = GroupCommit(
        run.ledger.database,
        run.ledger.clock,
        epoch=run.ledger.epoch,
        loop=loop,
        on_commit=lambda: None,
    )
    begun = time.perf_counter()
    shares = [items[n::_CONNECTIONS] for n in range(_CONNECTIONS)]
    await asyncio.gather(*(_send_share(run, commits, share) for share in shares))
    return (time.perf_counter() - begun) / len(items) * 1e6


async def _send_share(run: ARun, commits: GroupCommit, items: Sequence[Leased]) -> None:
    """Do what one connection does: the outcome of a message and the fence of the next are in one commit."""
    for item in items:
        message_id = f"<{item.run_id}.{item.id}@sender.example>"
        assert await commits.intend(item, account_id=run.account.id, message_id=message_id)
        written = commits.record(item, _SENT, begun=True, retry_at=run.ledger.now + RETRY_DELAY)
    if items:
        assert await written
