"""A run's certificate: computed from the rows, and false as soon as somebody has changed one past the program."""

from pathlib import Path

import pytest

from campaigns.model import InDoubtRule
from delivery.certificate import Certificate
from delivery.outcome import Sent
from foundation.clock import SystemClock
from foundation.errors import NotFound
from tests.delivery.builders import a_reply, books, sending, statements_of, until_finished
from tests.delivery.decided import (
    DOUBT,
    REFUSED,
    SENT,
    certified,
    come_to,
    ended,
    in_doubt,
    resolve,
    send_missing,
    tamper,
)
from tests.mail.scripted_server import HANG_UP, ScriptedServer

ANN, BEN, CLEO, DORA = "ann@example.com", "ben@example.com", "cleo@example.com", "dora@example.com"


def broken(c: Certificate) -> list[str]:
    """Return the checks that have failed."""
    assert c.holds == all(check.ok for check in c.checks)
    return [check.what for check in c.checks if not check.ok]


COUNTED = "Everybody is accounted for"
CONTENT = "The content is the one that was frozen when the run was claimed"
NOBODY_MISSING = "Nobody of the audience is missing"
ONCE_ON_IT = "Nobody is on the run twice"
DECIDED = "Nobody was sent it again without a decision"
FAMILY = "Nobody had it from a run that this one was made from or for"
TAKEN = "What counts as sent was taken by the mail server"
SLOT_ONCE = "Its slot has run once"


def test_it_says_what_became_of_everybody(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.suppress(DORA)
        b.account()
        run_id = b.running(ANN, BEN, CLEO, DORA)
        come_to(b, run_id, {ANN: SENT, BEN: REFUSED, CLEO: DOUBT})
        b.finish(run_id)
        run = b.run(run_id)
        b.later(hours=1)

        c = certified(b, run_id)

        assert c.holds
        assert c.outcomes == run.counts
        assert (c.recipients, c.duplicates, c.missing) == (4, 0, 0)
        assert (c.campaign, c.subject, c.slot) == ("News", "Hello {{ name }}", run.slot)
        assert c.content_sha256 == run.content_sha256
        assert (c.is_final, c.finished_at, c.checked_at) == (True, run.finished_at, b.now)


def test_it_lists_every_doubt_with_what_to_ask_the_mail_server_for(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, since = in_doubt(b, ANN), b.now
        b.later(hours=1)

        [doubt] = certified(b, run_id).in_doubt

        assert (doubt.email, doubt.since, doubt.reason) == (ANN, since, "the server fell silent")
        assert (doubt.account_id, doubt.account, doubt.message_id) == (1, "Main", "<1@test>")


def test_a_resend_holds_by_its_decision_whoever_made_it(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        resolve(b, run_id, "resend")
        come_to(b, run_id, {ANN: DOUBT})
        resolve(b, run_id, "resend")
        come_to(b, run_id, {ANN: SENT})
        by_rule = b.running(BEN, in_doubt=InDoubtRule.RESEND)
        come_to(b, by_rule, {BEN: DOUBT})

        assert broken(certified(b, run_id)) == []
        assert [d.action for d in certified(b, run_id).decisions] == ["resend", "resend"]
        assert broken(certified(b, by_rule)) == []


def test_a_run_on_its_way_holds_as_far_as_it_is(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.claim(b.audience(people=5))
        being_made = certified(b, run_id)
        b.materialise(run_id)
        b.start(run_id)
        b.lease(run_id, b.account(), limit=2)

        on_its_way = certified(b, run_id)

        assert being_made.holds
        assert (being_made.recipients, being_made.is_final) == (0, False)
        assert on_its_way.holds
        assert (on_its_way.outcomes.queued, on_its_way.is_final) == (5, False)


def test_a_run_for_the_missing_holds_without_an_audience_of_its_own(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: REFUSED})
        new = send_missing(b, run_id)
        b.start(new.id)
        come_to(b, new.id, {BEN: SENT})
        b.finish(new.id)

        assert broken(certified(b, new.id)) == []
        assert broken(certified(b, run_id)) == []
        assert certified(b, new.id).made_from == run_id


def test_who_was_removed_or_came_later_is_not_missing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        audience_id = b.audience(ANN, BEN)
        run_id = b.claim(audience_id)
        b.materialise(run_id)
        b.remove(audience_id, ANN)
        b.add_people(audience_id, CLEO)

        assert broken(certified(b, run_id)) == []


def test_an_unknown_run_has_none(tmp_path: Path) -> None:
    with books(tmp_path) as b, pytest.raises(NotFound):
        certified(b, 1)


@pytest.mark.parametrize(
    ("statement", "check", "detail"),
    [
        (
            "UPDATE runs SET sent = sent + 1, failed = failed - 1",
            COUNTED,
            "sent says 2, the rows 1; failed says 0, the rows 1",
        ),
        ("UPDATE runs SET recipients = 3", COUNTED, "recipients says 3, the rows 4"),
        (
            "UPDATE deliveries SET status = 'sent' WHERE status = 'in_doubt'",
            COUNTED,
            "in_doubt says 1, the rows 0",
        ),
        (
            "UPDATE deliveries SET status = 'sent' WHERE status = 'failed'",
            TAKEN,
            "1 have neither a reply 2xx nor a decision",
        ),
        ("UPDATE deliveries SET smtp_code = NULL", TAKEN, "1 have neither a reply 2xx"),
        (
            "UPDATE runs SET content = json_set(content, '$.subject', 'Goodbye')",
            CONTENT,
            "its hash is another now",
        ),
        ("UPDATE runs SET content = 'no JSON'", CONTENT, "its hash is another now"),
        ("UPDATE runs SET content = '[1]'", CONTENT, "its hash is another now"),
        ("UPDATE runs SET content_sha256 = 'a'", CONTENT, "its hash is another now"),
        (
            "DELETE FROM deliveries WHERE status = 'sent'",
            NOBODY_MISSING,
            "1 of the frozen audience",
        ),
        ("DELETE FROM deliveries WHERE status = 'sent'", COUNTED, "recipients says 4, the rows 3"),
        (
            "UPDATE deliveries SET status = 'queued' WHERE status = 'failed'",
            NOBODY_MISSING,
            "1 no outcome though the run has ended",
        ),
        ("UPDATE deliveries SET resends = 1 WHERE status = 'sent'", DECIDED, "1 deliveries"),
    ],
)
def test_it_does_not_hold_when_a_row_was_changed_past_the_program(
    tmp_path: Path, statement: str, check: str, detail: str
) -> None:
    with books(tmp_path) as b:
        b.suppress(DORA)
        b.account()
        run_id = b.running(ANN, BEN, CLEO, DORA)
        come_to(b, run_id, {ANN: SENT, BEN: REFUSED, CLEO: DOUBT})
        b.finish(run_id)
        before = certified(b, run_id)

        tamper(b, statement)

        after = certified(b, run_id)
        assert before.holds
        assert check in broken(after)
        assert detail in next(c.detail for c in after.checks if c.what == check)


def test_an_address_that_has_two_rows_is_a_duplicate(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: SENT})

        tamper(
            b,
            "CREATE TABLE copy AS SELECT * FROM deliveries",
            "DROP TABLE deliveries",
            "ALTER TABLE copy RENAME TO deliveries",
            f"UPDATE deliveries SET address_key = '{ANN}'",
        )

        found = certified(b, run_id)
        assert ONCE_ON_IT in broken(found)
        assert found.duplicates == 1


def test_a_decision_that_was_deleted_is_missed(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN, BEN)
        resolve(b, run_id, "resend", ANN)
        come_to(b, run_id, {ANN: Sent(a_reply(250))})
        resolve(b, run_id, "mark-sent", BEN)
        b.finish(run_id)
        assert certified(b, run_id).holds

        tamper(b, "DELETE FROM decisions")

        found = certified(b, run_id)
        assert broken(found) == [DECIDED, TAKEN]
        assert found.duplicates == 1


def test_somebody_who_had_it_from_two_runs_of_a_family_is_a_duplicate(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: REFUSED, BEN: REFUSED})
        new = send_missing(b, run_id)
        b.start(new.id)
        come_to(b, new.id, {ANN: SENT, BEN: DOUBT})
        b.finish(new.id)

        tamper(
            b,
            f"UPDATE deliveries SET status = 'sent', smtp_code = 250 WHERE run_id = {run_id}",
            f"UPDATE runs SET sent = 2, failed = 0 WHERE id = {run_id}",
        )

        assert broken(certified(b, run_id)) == [FAMILY]
        assert broken(certified(b, new.id)) == [FAMILY]
        assert certified(b, run_id).duplicates == 2


def test_a_slot_that_two_runs_have_is_told(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first = ended(b, {ANN: SENT})
        ended(b, {BEN: SENT})
        assert certified(b, first).holds

        tamper(b, f"UPDATE slots SET at = (SELECT slot FROM runs WHERE id = {first})")

        assert broken(certified(b, first)) == [SLOT_ONCE]


def test_a_run_whose_slot_was_never_claimed_is_told(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT})

        tamper(b, "DELETE FROM slots")

        assert broken(certified(b, run_id)) == [SLOT_ONCE]


def test_the_hash_is_of_the_ledger_alone_and_of_all_of_it(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: DOUBT})
        first = certified(b, run_id).ledger_sha256
        b.later(hours=1)
        assert certified(b, run_id).ledger_sha256 == first
        seen = {first}

        for change in (
            "UPDATE deliveries SET smtp_reply = 'queued as 2' WHERE id = 1",
            "UPDATE deliveries SET message_id = '<x@test>' WHERE id = 1",
            "UPDATE deliveries SET attempts = 2 WHERE id = 1",
            "UPDATE deliveries SET email = 'x@example.com' WHERE id = 1",
        ):
            tamper(b, change)
            seen.add(certified(b, run_id).ledger_sha256)
        resolve(b, run_id, "mark-sent")
        seen.add(certified(b, run_id).ledger_sha256)

        assert len(seen) == 6


def test_a_lease_changes_no_hash_for_what_is_leased_is_told_as_queued(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(ANN)
        tamper(b, "UPDATE deliveries SET account_id = 1")
        before = certified(b, run_id)

        b.lease(run_id, b.account())

        assert certified(b, run_id).ledger_sha256 == before.ledger_sha256


def test_what_it_costs_does_not_grow_in_statements_with_the_run(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        statements = statements_of(b)

        counted = []
        for people in (1, 3000):
            run_id = b.running(people=people)
            statements.clear()
            certified(b, run_id)
            counted.append(len(statements))

        assert counted[0] == counted[1] < 15


def test_what_was_sent_for_real_is_certified(tmp_path: Path) -> None:
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer({"end": [HANG_UP]}) as server,
        sending(b),
    ):
        account = b.account(port=server.port)
        run_id = b.running(people=3, account_ids=(account.id,))
        until_finished(b, run_id)

        found = certified(b, run_id)

        assert found.holds
        assert len(found.in_doubt) == 3
