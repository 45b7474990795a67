"""A ledger with people in it, and a dispatcher over it, for the tests of this room; every argument is optional."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event, select, text

from accounts import store as account_store
from accounts.endpoint import endpoint_of
from accounts.model import Account, AccountFields
from audience import store as audience_store
from audience.model import NewRecipient, SuppressionReason
from audience.suppressions import add as suppress
from campaigns.model import InDoubtRule, Snapshot
from delivery import control, leases, ledger, reads, slots
from delivery.dispatcher import Dispatcher
from delivery.leases import Leased
from delivery.ledger import NewRun
from delivery.model import Decision, Delivery, Origin, Run, RunStatus, SlotDecision
from delivery.outcome import Outcome, Patience
from delivery.recovery import recover
from delivery.tables import deliveries
from delivery.tally import Tally
from foundation.clock import Clock, SystemClock
from mail import opening
from mail.reply import Broken, Reply, Stage
from mail.transport import Timeouts, Transport
from storage.aliveness import Counts, epochs_of_boot, raise_epoch
from storage.database import Database
from storage.sealed import SecretKey
from storage.sequence import next_id
from tests.builders import a_database
from tests.fake_clock import FakeClock
from tests.mail.scripted_server import Call, InTurn

KEY = SecretKey(b"a key of the tests")
BY = "ann@sendonce.test"
RETRY_DELAY = timedelta(minutes=1)
SLOT = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Books:
    """A ledger in a file, led under an epoch, and what a test does with it, in its words."""

    def __init__(self, folder: Path, clock: Clock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.database: Database = a_database(folder)
        self.epoch = self.lead(boot_id="boot 1")

    @property
    def now(self) -> datetime:
        return self.clock.now()

    def later(self, **duration: float) -> None:
        assert isinstance(self.clock, FakeClock)
        self.clock.advance(**duration)

    def lead(self, *, boot_id: str | None) -> int:
        """Raise the epoch, as a process that begins to lead does."""
        with self.database.write(durable=True) as tx:
            self.epoch = raise_epoch(
                tx, boot_id=boot_id, machine_id="machine", pid=1, now=self.clock.now()
            )
        return self.epoch

    def recover(self, *, boot_id: str | None) -> None:
        """Settle what older epochs left, as the new leader does before it leases."""
        with self.database.write(durable=True) as tx:
            recover(
                tx,
                epoch=self.epoch,
                same_boot=epochs_of_boot(tx, boot_id, before=self.epoch),
                retry_delay=RETRY_DELAY,
                now=self.now,
            )

    def account(self, **changes: Any) -> Account:
        fields = AccountFields(
            name="Main", host="127.0.0.1", port=2525, from_email="news@sendonce.test"
        )
        with self.database.write(durable=False) as tx:
            fields = replace(fields, **changes)
            return account_store.create(tx, fields, key=KEY, now=self.now)

    def revive(self, account: Account) -> None:
        """Say go on, as a person does."""
        with self.database.write(durable=True) as tx:
            account_store.revive(tx, account.id)

    def edit(self, account: Account, **changes: Any) -> None:
        with self.database.write(durable=True) as tx:
            account_store.update(tx, account.id, changes, key=KEY, expected_version=None)

    def accounts(self) -> list[Account]:
        with self.database.read() as tx:
            return account_store.list_(tx, KEY, after=None, limit=500)

    def account_by_id(self, account_id: int) -> Account:
        with self.database.read() as tx:
            return account_store.get(tx, account_id, KEY)

    def first_account(self) -> Account:
        return self.accounts()[0]

    def audience(self, *emails: str, people: int = 0, **attributes: Any) -> int:
        """Make an audience of these addresses, and of so many people besides; return its id."""
        emails += tuple(f"p{i}@example.com" for i in range(people))
        with self.database.write(durable=False) as tx:
            audience = audience_store.create_audience(tx, "people", self.now)
        self.add_people(audience.id, *emails, **attributes)
        return audience.id

    def add_people(self, audience_id: int, *emails: str, **attributes: Any) -> None:
        rows = [
            NewRecipient(row=i, email=e, name=e.split("@")[0], attributes=attributes)
            for i, e in enumerate(emails)
        ]
        with self.database.write(durable=False) as tx:
            added = audience_store.add_recipients(tx, audience_id, rows, self.now)
        assert not added.rejected

    def remove(self, audience_id: int, email: str) -> None:
        with self.database.write(durable=False) as tx:
            audience_store.remove_recipient(tx, audience_id, email)

    def suppress(self, email: str) -> None:
        with self.database.write(durable=True) as tx:
            suppress(tx, email, SuppressionReason.UNSUBSCRIBED, self.now)

    def claim(self, *audience_ids: int, **changes: Any) -> int:
        """Claim a slot over these audiences, each a minute after the last; return the run's id.

        Changes are of the snapshot, or waits_for.
        """
        waits_for = changes.pop("waits_for", None)
        schedule_id = changes.pop("schedule_id", 1)
        with self.database.write(durable=True) as tx:
            number = next_id(tx, "slots of the test") - 1
            slot = SLOT + timedelta(minutes=number)
            new = NewRun(
                schedule_id=schedule_id,
                campaign_id=1,
                slot=slot,
                zone="Europe/Berlin",
                origin=Origin.SLOT,
                request_key=None,
                snapshot=a_snapshot(audience_ids=audience_ids, **changes),
                reason=None,
                recipient_ceiling=audience_store.highest_recipient_id(tx, audience_ids),
                waits_for=waits_for,
            )
            run_id = ledger.claim(tx, new, epoch=self.epoch, now=self.now)
            row = SlotDecision(
                key=f"slot {number}",
                at=slot,
                local=slot.isoformat(),
                decision=Decision.CLAIMED,
                reason=None,
                whole_day=False,
            )
            slots.write(tx, schedule_id, row, run_id=run_id, epoch=self.epoch, now=self.now)
            return run_id

    def materialise(self, run_id: int, *, rows: int = 5000) -> int:
        """Make all deliveries; return in how many pieces."""
        for piece in range(10_000):
            with self.database.write(durable=True) as tx:
                if ledger.materialise(tx, run_id, rows=rows, now=self.now):
                    return piece
        raise AssertionError("materialising does not end")

    def start(self, run_id: int) -> bool:
        with self.database.write(durable=True) as tx:
            return ledger.start(tx, run_id, self.now)

    def running(self, *emails: str, people: int = 0, **changes: Any) -> int:
        """Make a run that is on its way to these people; return its id."""
        run_id = self.claim(self.audience(*emails, people=people), **changes)
        self.materialise(run_id)
        assert self.start(run_id)
        return run_id

    def finish(self, run_id: int) -> bool:
        with self.database.write(durable=True) as tx:
            return ledger.finish(tx, run_id, self.now)

    def lease(self, run_id: int, account: Account, *, limit: int = 100) -> list[Leased]:
        with self.database.write(durable=True) as tx:
            return leases.lease(tx, run_id, account, limit=limit, epoch=self.epoch, now=self.now)

    def begin(self, item: Leased, *, epoch: int | None = None) -> bool:
        """Ask the fence."""
        tally = Tally()
        with self.database.write(durable=False) as tx:
            allowed = leases.mark_sending(
                tx,
                item,
                tally,
                epoch=epoch or self.epoch,
                message_id=f"<{item.id}@test>",
                now=self.now,
            )
            tally.write(tx)
        return allowed

    def record(
        self, item: Leased, outcome: Outcome, *, begun: bool, epoch: int | None = None
    ) -> bool:
        tally = Tally()
        with self.database.write(durable=False) as tx:
            written = leases.record(
                tx,
                item,
                outcome,
                tally,
                begun=begun,
                epoch=epoch or self.epoch,
                retry_at=self.now + RETRY_DELAY,
                now=self.now,
            )
            tally.write(tx)
        return written

    def pause(self, run_id: int) -> Run:
        with self.database.write(durable=True) as tx:
            return control.pause(tx, run_id, self.now, by=BY)

    def resume(self, run_id: int, *, retry_refused: bool = False) -> Run:
        with self.database.write(durable=True) as tx:
            return control.resume(tx, run_id, self.now, retry_refused=retry_refused, by=BY)

    def cancel(self, run_id: int) -> Run:
        with self.database.write(durable=True) as tx:
            return control.cancel(tx, run_id, self.now, by=BY)

    def skip_unsent(self, run_id: int) -> int:
        with self.database.write(durable=True) as tx:
            return ledger.skip_unsent(tx, run_id, reason="cancelled", now=self.now)

    def hold(self, run_id: int) -> None:
        with self.database.write(durable=True) as tx:
            leaves = [RunStatus.CLAIMED, RunStatus.RUNNING]
            assert ledger.set_status(tx, run_id, leaves, to=RunStatus.HELD, reason="doubted")

    def run(self, run_id: int) -> Run:
        with self.database.read() as tx:
            return reads.run(tx, run_id)

    def deliveries(self, run_id: int) -> list[Delivery]:
        with self.database.read() as tx:
            return reads.list_deliveries(
                tx, run_id, status=None, q=None, after=None, limit=1_000_000
            )

    def delivery(self, run_id: int, email: str | None = None) -> Delivery:
        """Return the delivery to this address, or the only one."""
        found = [d for d in self.deliveries(run_id) if email in (None, d.email)]
        assert len(found) == 1
        return found[0]

    def statuses(self, run_id: int) -> Counter[str]:
        """Return how many rows stand how, leased apart; checked against the run's counters."""
        query = select(deliveries.c.status).where(deliveries.c.run_id == run_id)
        with self.database.read() as tx:
            rows = Counter(tx.execute(query).scalars())
            counts = reads.run(tx, run_id).counts
        assert counts.recipients == sum(rows.values())
        assert counts.queued == rows["queued"] + rows["leased"]
        assert (counts.sending, counts.sent) == (rows["sending"], rows["sent"])
        assert (counts.failed, counts.skipped) == (rows["failed"], rows["skipped"])
        assert counts.in_doubt == rows["in_doubt"]
        return +rows

    def trigger(self, when: str) -> None:
        """Let the database refuse something, as a bug of ours would have it."""
        with self.database.write(durable=False) as tx:
            tx.exec_driver_sql(
                f"CREATE TRIGGER refuse {when} BEGIN SELECT RAISE(ABORT, 'by the test'); END"
            )

    def note_rests(self) -> None:
        """Write down from now on whenever an account is set to rest; see rests."""
        with self.database.write(durable=False) as tx:
            tx.exec_driver_sql("CREATE TABLE rests (account_id INTEGER, reason TEXT)")
            tx.exec_driver_sql(
                "CREATE TRIGGER note_rests AFTER UPDATE ON accounts WHEN NEW.state = 'failing'"
                " BEGIN INSERT INTO rests VALUES (NEW.id, NEW.state_reason); END"
            )

    def rests(self) -> dict[int, str]:
        """Return the accounts that were set to rest, and why at first."""
        rows = self.raw("SELECT account_id, reason FROM rests ORDER BY rowid DESC")
        return {row.account_id: row.reason for row in rows}

    def raw(self, statement: str, **values: Any) -> list[Any]:
        """Ask the database directly, for what no reader tells."""
        with self.database.read() as tx:
            return list(tx.execute(text(statement), values))


@contextmanager
def books(folder: Path, clock: Clock | None = None) -> Iterator[Books]:
    """Give a ledger that is closed afterwards."""
    opened = Books(folder, clock)
    try:
        yield opened
    finally:
        opened.database.close()


def a_snapshot(**changes: Any) -> Snapshot:
    """Return a frozen campaign of one plain line."""
    snapshot = Snapshot(
        campaign_id=1,
        name="News",
        subject="Hello {{ name }}",
        html="",
        text="Hello {{ name }}",
        audience_ids=(1,),
        account_ids=(1,),
        from_name=None,
        reply_to=None,
        in_doubt=InDoubtRule.HOLD,
    )
    return replace(snapshot, **changes)


def a_reply(code: int, text: str = "so", stage: Stage = Stage.END_GIVEN) -> Reply:
    return Reply(stage=stage, code=code, text=text)


# Long enough for a loaded machine, short enough for a test that is about them.
QUICK = Timeouts(
    connect=timedelta(seconds=5),
    banner=timedelta(seconds=5),
    command=timedelta(seconds=5),
    data=timedelta(seconds=5),
    block=timedelta(seconds=5),
    end=timedelta(seconds=30),
    reset=timedelta(seconds=5),
    quit=timedelta(seconds=1),
)


async def connect_quickly(account: Account) -> Transport | Reply | Broken:
    """Connect to the account's own host and port, with short time-outs."""
    return await opening.connect(endpoint_of(account, sandbox_port=account.port), QUICK)


def a_dispatcher(books: Books, **changes: Any) -> Dispatcher:
    """Return a dispatcher over these books, not started; retries come after a tenth of a second."""
    parts: dict[str, Any] = {
        "database": books.database,
        "clock": SystemClock(),
        "key": KEY,
        "public_url": "https://news.example.com",
        "connect": connect_quickly,
        "patience": Patience(
            retry_delay=timedelta(seconds=0.1), give_up_after=timedelta(seconds=60)
        ),
        "testify": _nobody_listens,
    }
    return Dispatcher(**(parts | changes))


def _nobody_listens(counts: Counts) -> None:
    """Stand for the witness, which is no matter of this room."""


@contextmanager
def sending(books: Books, **changes: Any) -> Iterator[Dispatcher]:
    """Give a dispatcher that sends what the books hold, until the block ends."""
    dispatcher = a_dispatcher(books, **changes)
    dispatcher.start(books.epoch)
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


def until(fact: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait until something is so; fails when it is not in time."""
    clock, tick = SystemClock(), threading.Event()
    deadline = clock.elapsed() + timedelta(seconds=seconds)
    while not fact():
        assert clock.elapsed() < deadline, "it did not come to that in time"
        clock.wait(tick, timedelta(milliseconds=10))


def until_still(value: Callable[[], object]) -> None:
    """Wait until a value has stayed the same for a while."""
    clock, tick, seen = SystemClock(), threading.Event(), None
    since = clock.elapsed()
    while clock.elapsed() - since < timedelta(seconds=0.8):
        if (now := value()) != seen:
            seen, since = now, clock.elapsed()
        clock.wait(tick, timedelta(milliseconds=10))


def until_finished(books: Books, run_id: int, *, seconds: float = 15) -> Run:
    """Wait for the end of a run, and return it."""
    until(lambda: books.run(run_id).status.finished, seconds=seconds)
    books.statuses(run_id)
    return books.run(run_id)


def receivers(messages: Sequence[Any]) -> Counter[str]:
    """Return who got how many of the messages that a scripted server has taken."""
    return Counter(m.rcpt_to[0] for m in messages)


def statements_of(ledger: Books) -> list[str]:
    """Return a list that every statement from now on is put into."""
    statements: list[str] = []
    event.listen(
        ledger.database._engine,
        "before_cursor_execute",
        lambda *args: statements.append(args[2]),
    )
    return statements


def plan_of(ledger: Books, statement: str) -> list[str]:
    with ledger.database.read() as tx:
        rows = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (1,) * statement.count("?"))
        return [row[3] for row in rows]


@contextmanager
def somebody_else_writes(folder: Path) -> Iterator[None]:
    """Let another program have a transaction that lasts."""
    other = sqlite3.connect(folder / "sendonce.db", isolation_level=None)
    other.execute("PRAGMA busy_timeout=10000")
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def one_leased(b: Books, **changes: Any) -> tuple[int, Leased]:
    """Make a run with one recipient, leased; return both."""
    account = b.account()
    run_id = b.running("ann@example.com", **changes)
    [item] = b.lease(run_id, account)
    return run_id, item


def run_through(b: Books, server: Any, *, people: int = 3, **changes: Any) -> int:
    """Make a run that goes through an account at this server; changes are of the account."""
    account = b.account(**({"port": server.port} | changes))
    return b.running(people=people, account_ids=(account.id,))


def greet_when_two_are_at_hand(b: Books, server: Any, run_id: int) -> None:
    """Let the first connection open when a second mail is leased: so the first one's conversation looks ahead to it."""
    greeting = server.script["banner"]
    gate = Call(lambda: until_two_are_leased(b, run_id))
    server.script["banner"] = InTurn([gate, *greeting], greeting)


def until_two_are_leased(b: Books, run_id: int) -> None:
    query = "SELECT count(*) FROM deliveries WHERE run_id = :id AND status = 'leased'"
    until(lambda: b.raw(query, id=run_id)[0][0] >= 2)


def travelled_along(server: Any) -> int:
    """Return how many envelopes a scripted server has read together with the end of the content before."""
    return sum(b"\r\n.\r\nMAIL" in read for read in server.reads)


def everybody(people: int = 3) -> dict[str, int]:
    """Return what receivers says when each has got one."""
    return {f"p{i}@example.com": 1 for i in range(people)}
