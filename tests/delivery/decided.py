"""Runs that have come to something, and what a person then decides about them, for the tests of this room."""

import sqlite3
from collections.abc import Mapping
from datetime import datetime

from delivery import decisions, doubts, missing
from delivery.certificate import Certificate, certify
from delivery.decisions import Action, MadeDecision
from delivery.leases import Leased
from delivery.model import Run
from delivery.outcome import Failed, InDoubt, Outcome, Sent
from tests.delivery.builders import BY, Books, a_reply

SENT = Sent(a_reply(250, "queued as 1"))
REFUSED = Failed(a_reply(550, "5.1.1 nobody here"), "the server refused the recipient")
DOUBT = InDoubt("the server fell silent")


def ended(b: Books, outcomes: Mapping[str, Outcome], **changes: object) -> int:
    """Make a run that has come to these outcomes, by address, and has ended; changes are of the campaign."""
    if not b.accounts():
        b.account()
    run_id = b.running(*outcomes, **changes)
    come_to(b, run_id, outcomes)
    assert b.finish(run_id)
    return run_id


def come_to(b: Books, run_id: int, outcomes: Mapping[str, Outcome]) -> list[Leased]:
    """Let what is queued of a run come to these outcomes, by address."""
    items = b.lease(run_id, b.first_account())
    for item in items:
        assert b.begin(item)
        assert b.record(item, outcomes[item.email], begun=True)
    return items


def in_doubt(b: Books, *emails: str, **changes: object) -> int:
    """Make a run that has ended with these in doubt."""
    return ended(b, dict.fromkeys(emails, DOUBT), **changes)


def resolve(
    b: Books, run_id: int, action: str, *emails: str, before: datetime | None = None, by: str = BY
) -> int:
    """Decide about these, or about all; return about how many."""
    with b.database.write(durable=True) as tx:
        return doubts.resolve(
            tx, run_id, Action(action), emails=emails or None, before=before, by=by, now=b.now
        )


def send_missing(b: Books, run_id: int, **changes: str) -> Run:
    with b.database.write(durable=True) as tx:
        return missing.send_missing(tx, run_id, **({"by": BY} | changes), epoch=b.epoch, now=b.now)


def count_missing(b: Books, run_id: int) -> int:
    with b.database.read() as tx:
        return missing.count_missing(tx, run_id)


def decided(b: Books, run_id: int) -> list[MadeDecision]:
    with b.database.read() as tx:
        return decisions.list_decisions(tx, run_id)


def certified(b: Books, run_id: int) -> Certificate:
    with b.database.read() as tx:
        return certify(tx, run_id, b.now)


def tamper(b: Books, *statements: str) -> None:
    """Change the database as nobody may: past the program, and past its checks."""
    connection = sqlite3.connect(b.database.path, isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints=ON")
    for statement in statements:
        connection.execute(statement)
    connection.close()
