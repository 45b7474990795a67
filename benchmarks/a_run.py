"""A ledger with a run of the measured mail on its way: what several benchmarks begin with."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accounts.model import Account
from audience import store as audience_store
from audience.model import NewRecipient
from benchmarks import corpus
from foundation.clock import SystemClock
from tests.delivery.builders import Books, books


@dataclass(frozen=True, slots=True, kw_only=True)
class ARun:
    """A run, materialised and started, none of it leased; its ledger; the account that it goes through."""

    ledger: Books
    run_id: int
    account: Account


@contextmanager
def a_run(people: int, *, port: int = 25, connections: int = 4) -> Iterator[ARun]:
    """Make a run to so many people, through an account at this port of the loopback."""
    with (
        tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as folder,
        books(Path(folder), SystemClock()) as ledger,
    ):
        account = ledger.account(port=port, max_connections=connections, from_email=corpus.SENDER)
        audience_id = ledger.audience()
        for start in range(0, people, 10_000):
            _add(ledger, audience_id, range(start, min(start + 10_000, people)))
        run_id = ledger.claim(
            audience_id,
            subject=corpus.SUBJECT,
            html=corpus.HTML,
            text=corpus.TEXT,
            from_name=corpus.SENDER_NAME,
            account_ids=(account.id,),
        )
        ledger.materialise(run_id)
        assert ledger.start(run_id)
        yield ARun(ledger=ledger, run_id=run_id, account=account)


def _add(ledger: Books, audience_id: int, numbers: range) -> None:
    rows = [
        NewRecipient(row=n, email=p.email, name=p.name, attributes=dict(p.attributes))
        for n, p in ((n, corpus.person(n)) for n in numbers)
    ]
    with ledger.database.write(durable=False) as tx:
        audience_store.add_recipients(tx, audience_id, rows, ledger.now)
