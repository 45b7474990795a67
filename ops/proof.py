"""The proof of a run on paper: plain sentences first, then the numbers, the hashes, every doubt and every decision."""

from collections.abc import Iterator
from datetime import UTC, datetime

from delivery.certificate import Certificate, certify
from delivery.model import Origin
from foundation.clock import Clock
from ops.progress import console
from storage.database import Database

_MADE_FOR = {
    Origin.SLOT: "for the slot",
    Origin.RUN_NOW: "at once, when somebody asked for it,",
    Origin.MISSED: "for slots that had been missed, the newest of",
    Origin.SEND_MISSING: "for those whom run {made_from} had not reached,",
}


def proof(database: Database, run_id: int, *, clock: Clock) -> int:
    """Print a run's proof and check it against the ledger once more; return the exit status, 0 when it holds.

    Raises NotFound.
    """
    first = _certified(database, run_id, clock)
    print_proof(first)
    again = _certified(database, run_id, clock)
    holds = first.holds and again.holds
    _print("")
    if holds and again.ledger_sha256 == first.ledger_sha256:
        _print("Read from the ledger a second time: the same, and it holds.")
    elif holds:
        _print(
            "Read from the ledger a second time: it has gone on meanwhile, and it holds as it is now."
        )
    else:
        _print("Read from the ledger a second time: it does not hold.")
    return 0 if holds else 1


def print_proof(certificate: Certificate) -> None:
    """Print a certificate so that somebody who has never seen one understands it."""
    for line in lines_of(certificate):
        _print(line)


def lines_of(certificate: Certificate) -> Iterator[str]:
    """Return the proof as it is printed, line by line."""
    yield f"Proof of run {certificate.run_id}"
    yield ""
    yield from _sentences(certificate)
    yield ""
    yield from _checks(certificate)
    yield ""
    yield from _numbers(certificate)
    yield ""
    yield from _in_doubt(certificate)
    yield ""
    yield from _decisions(certificate)


def _certified(database: Database, run_id: int, clock: Clock) -> Certificate:
    with database.read() as tx:
        return certify(tx, run_id, clock.now())


def _sentences(c: Certificate) -> Iterator[str]:
    made_for = _MADE_FOR[c.origin].format(made_from=c.made_from)
    yield f"“{_plain(c.campaign)}” was sent {made_for} {_moment(c.slot)}."
    if not c.is_final:
        yield f"It is {c.status} and not finished: this is how it stands at {_moment(c.checked_at)}."
    failed = [check for check in c.checks if not check.ok]
    if failed:
        yield f"THIS PROOF DOES NOT HOLD: {len(failed)} of {len(c.checks)} checks have failed."
        yield "What the ledger says of this run can't be trusted until somebody has found out why."
        return
    o = c.outcomes
    yield (
        f"{_people(c.recipients)} on its list: {_number(o.sent)} were sent it, {_number(o.failed)} failed,"
        f" {_number(o.skipped)} were skipped, {_number(o.in_doubt)} are in doubt,"
        f" {_number(o.queued + o.sending)} still wait. Nobody was lost."
    )
    yield "Nobody was handed over twice unless somebody decided so; every such decision is listed below."
    doubts = len(c.in_doubt)
    if doubts:
        yield (
            f"Of {_number(doubts)} nobody can know whether it arrived: the mail server fell silent after it had been"
            " given the whole mail. They are listed below, for a person to decide."
        )
    else:
        yield "Nobody is in doubt."


def _checks(c: Certificate) -> Iterator[str]:
    yield "What was checked, row by row"
    for check in c.checks:
        yield f"  {'ok    ' if check.ok else 'FAILED'}  {check.what}: {check.detail}."


def _numbers(c: Certificate) -> Iterator[str]:
    o = c.outcomes
    yield "The numbers"
    rows = [
        ("on the list", o.recipients),
        ("sent", o.sent),
        ("failed", o.failed),
        ("skipped", o.skipped),
        ("in doubt", o.in_doubt),
        ("still to be sent", o.queued + o.sending),
        ("twice", c.duplicates),
        ("missing", c.missing),
    ]
    for name, count in rows:
        yield f"  {name:<17} {_number(count):>9}"
    yield f"  claimed           {_moment(c.claimed_at)}"
    if c.started_at is not None:
        yield f"  started           {_moment(c.started_at)}"
    if c.finished_at is not None:
        yield f"  finished          {_moment(c.finished_at)}"
    yield f"  content, SHA-256  {c.content_sha256}"
    yield f"  ledger, SHA-256   {c.ledger_sha256}"


def _in_doubt(c: Certificate) -> Iterator[str]:
    yield f"In doubt: {_number(len(c.in_doubt)) if c.in_doubt else 'nobody'}"
    for doubt in c.in_doubt:
        account = doubt.account or (f"account {doubt.account_id}" if doubt.account_id else "?")
        yield (
            f"  {_plain(doubt.email)}, since {_moment(doubt.since)}, through {_plain(account)}:"
            f" {_plain(doubt.reason or '')} {doubt.message_id or ''}".rstrip()
        )


def _decisions(c: Certificate) -> Iterator[str]:
    yield f"Decisions: {_number(len(c.decisions)) if c.decisions else 'none'}"
    for made in c.decisions:
        about = "the whole run" if made.email is None else _plain(made.email)
        detail = f" ({_plain(made.detail)})" if made.detail else ""
        yield f"  {_moment(made.at)}  {made.action}: {about}, by {_plain(made.by)}{detail}"


def _people(count: int) -> str:
    return "1 person was" if count == 1 else f"{_number(count)} people were"


def _number(count: int) -> str:
    return f"{count:,}"


def _moment(instant: datetime) -> str:
    at = instant.astimezone(UTC)
    return f"{at.day} {at:%b %Y, %H:%M:%S} UTC"


def _plain(text: str) -> str:
    """Return a text without what a terminal might obey: it may be a mail server's."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _print(line: str) -> None:
    console().print(line, markup=False)
