"""What the ledger adds to sending: the processor time of the same senders with it and without it.

Both send the same mails over four connections to the counting mail server, each in a process of its own. With: the
whole dispatcher over a run, leases, fences, outcomes and heartbeat. Without: the same lanes, whose fence always says
yes and whose outcomes nobody writes, over deliveries made up in memory.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from accounts.model import Account
from benchmarks import corpus
from benchmarks.a_run import a_run
from benchmarks.figure import Figure
from benchmarks.mail_server import a_mail_server
from benchmarks.process import in_a_process
from benchmarks.sizes import Sizes
from delivery.compose import Composer, RunContent
from delivery.group_commit import GroupCommit
from delivery.lane import Lane, Office, Work
from delivery.leases import Leased
from delivery.outcome import Outcome, Patience
from delivery.sender import send_all
from foundation.clock import SystemClock
from tests.delivery.builders import KEY, RETRY_DELAY, connect_quickly, sending

_LOOK_EVERY = timedelta(seconds=0.5)
_URL = "https://news.example.com"


def ledger_price(sizes: Sizes) -> Iterator[Figure]:
    """Compare the two."""
    without = _cpu_for_1000(send_without, sizes.messages)
    with_it = _cpu_for_1000(send_with, sizes.messages)
    yield Figure(
        name="CPU for 1,000, the ledger on",
        value=with_it,
        unit="s",
        against="the ledger off",
        beside=without,
    )


def _cpu_for_1000(send: Callable[[int, int], float], messages: int) -> float:
    with a_mail_server() as server:
        cpu: float = in_a_process(send, server.port, messages)
    assert server.miscounted(map(corpus.address, range(messages))) == (0, 0)
    return cpu / messages * 1000


def send_with(port: int, messages: int) -> float:
    """Send as the product does; return CPU seconds."""
    with a_run(messages, port=port) as run:
        cpu = time.process_time()
        with sending(run.ledger):
            while not run.ledger.run(run.run_id).status.finished:
                # Seldom: looking is no part of sending.
                run.ledger.clock.wait(threading.Event(), _LOOK_EVERY)
            return time.process_time() - cpu


def send_without(port: int, messages: int) -> float:
    """Send with no ledger; return CPU seconds."""
    with a_run(1, port=port) as run, run.ledger.database.read() as tx:
        content = RunContent.of(tx, run.ledger.run(run.run_id))
    works = [Work(_made_up(number, run.ledger.now), content) for number in range(messages)]
    return asyncio.run(_send_without(run.account, works))


async def _send_without(account: Account, works: list[Work]) -> float:
    office = Office(
        clock=SystemClock(),
        commits=_NoLedger(),
        composer=Composer(key=KEY, public_url=_URL),
        connect=connect_quickly,
        send_all=send_all,
        patience=Patience(retry_delay=RETRY_DELAY, give_up_after=RETRY_DELAY),
        wake=lambda: None,
        stopping=asyncio.Event(),
    )
    lane = Lane(account, office)
    cpu = time.process_time()
    lane.promise(len(works))
    lane.take(account, works)
    while lane.outstanding:
        await asyncio.sleep(0.01)
    cpu = time.process_time() - cpu
    office.stopping.set()
    lane.close()
    await asyncio.wait(lane.tasks)
    return cpu


class _NoLedger(GroupCommit):
    """Lets everything go and writes nothing down."""

    def __init__(self) -> None:
        """Need nothing."""

    async def intend(self, item: Leased, *, account_id: int, message_id: str) -> bool:
        return True

    def record(
        self, item: Leased, outcome: Outcome, *, begun: bool, retry_at: datetime
    ) -> asyncio.Future[bool]:
        written = asyncio.get_running_loop().create_future()
        written.set_result(True)
        return written

    def give_back(self, item: Leased) -> None:
        raise AssertionError("nothing is given back while all goes well")

    def note(self, change: Callable[..., Any]) -> None:
        raise AssertionError("nothing is noted while all goes well")


def _made_up(number: int, now: datetime) -> Leased:
    person = corpus.person(number)
    return Leased(
        id=number,
        run_id=1,
        lease=1,
        email=person.email,
        address_key=person.email,
        attempts=0,
        first_attempt_at=None,
        message_id=None,
        claimed_at=now,
        is_repeat=False,
        name=person.name,
        attributes=person.attributes,
    )
