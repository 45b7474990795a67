"""Leases, the fence and outcomes: which changes the ledger lets through."""

from datetime import timedelta
from pathlib import Path

import pytest

from delivery.ledger import SteppedDown
from delivery.model import RunStatus
from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, Sent, TryAgain
from mail.reply import Broken, Stage
from tests.delivery.builders import (
    a_reply,
    books,
    one_leased,
    plan_of,
    statements_of,
)

SENT = Sent(a_reply(250, "queued as 1"))
REFUSED = Failed(a_reply(550, "5.1.1 nobody here"), "the server refused the recipient")


def test_only_what_is_due_of_a_run_on_its_way_is_leased(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(people=3)
        [first] = b.lease(run_id, account, limit=1)
        b.record(first, TryAgain(a_reply(451), b.now + timedelta(minutes=5)), begun=False)

        now = b.lease(run_id, account)
        b.later(minutes=5)
        later = b.lease(run_id, account)

        assert [i.email for i in now] == ["p1@example.com", "p2@example.com"]
        assert [i.email for i in later] == ["p0@example.com"]


@pytest.mark.parametrize("stop", ["pause", "cancel", "hold"])
def test_nothing_is_leased_of_a_run_that_is_stopped(tmp_path: Path, stop: str) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=3)
        getattr(b, stop)(run_id)

        assert b.lease(run_id, b.account()) == []


def test_nothing_is_leased_before_the_run_is_started(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.claim(b.audience(people=3))
        b.materialise(run_id)

        assert b.lease(run_id, b.account()) == []


def test_a_lease_is_no_larger_than_asked_for_and_takes_nobody_twice(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(people=5)

        batches = [b.lease(run_id, account, limit=2) for _ in range(4)]

        assert [len(batch) for batch in batches] == [2, 2, 1, 0]
        assert len({i.id for batch in batches for i in batch}) == 5


def test_the_number_of_a_lease_is_never_used_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=1)

        numbers = []
        for _ in range(3):
            [item] = b.lease(run_id, account)
            numbers.append(item.lease)
            b.record(item, NotBegun(), begun=False)

        assert len(set(numbers)) == 3


def test_a_process_that_does_not_lead_any_more_leases_nothing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id, old = b.account(), b.running(people=1), b.epoch
        b.lead(boot_id="boot 1")
        b.epoch = old

        with pytest.raises(SteppedDown):
            b.lease(run_id, account)

        assert b.statuses(run_id) == {"queued": 1}


def test_a_recipient_s_name_and_attributes_come_with_the_lease(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        audience_id = b.audience()
        b.add_people(audience_id, "ann@example.com", city="Köln")
        run_id = b.claim(audience_id)
        b.materialise(run_id)
        b.start(run_id)

        [item] = b.lease(run_id, b.account())

        assert (item.name, item.attributes) == ("ann", {"city": "Köln"})


def test_who_was_suppressed_or_removed_meanwhile_is_skipped_when_leased(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        audience_id = b.audience("ann@example.com", "bob@example.com", "carol@example.com")
        run_id = b.claim(audience_id)
        b.materialise(run_id)
        b.start(run_id)
        b.suppress("ann@example.com")
        b.remove(audience_id, "bob@example.com")

        leased = b.lease(run_id, b.account())

        assert [i.email for i in leased] == ["carol@example.com"]
        assert b.delivery(run_id, "ann@example.com").reason == "unsubscribed"
        assert b.delivery(run_id, "bob@example.com").reason == "removed"
        assert b.statuses(run_id) == {"leased": 1, "skipped": 2}


def test_leasing_looks_only_at_what_is_queued(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=3)
        account = b.account()
        statements = statements_of(b)
        b.lease(run_id, account)

        [lease] = [s for s in statements if s.startswith("UPDATE deliveries")]

        assert any("ix_deliveries_queued" in step for step in plan_of(b, lease))


def test_a_lease_asks_the_same_however_many_it_takes(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=300)
        statements = statements_of(b)

        b.lease(run_id, account, limit=1)
        for_one = len(statements)
        b.lease(run_id, account, limit=299)

        assert len(statements) == 2 * for_one


def test_the_fence_lets_through_what_is_leased(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)

        assert b.begin(item)

        assert b.statuses(run_id) == {"sending": 1}
        assert b.delivery(run_id).message_id == f"<{item.id}@test>"


def test_the_fence_lets_nobody_through_twice(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        _, item = one_leased(b)

        assert [b.begin(item), b.begin(item)] == [True, False]


@pytest.mark.parametrize("stop", ["pause", "cancel", "hold"])
def test_the_fence_stops_what_a_person_has_stopped(tmp_path: Path, stop: str) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        getattr(b, stop)(run_id)

        assert not b.begin(item)

        assert "sending" not in b.statuses(run_id)


@pytest.mark.parametrize(
    ("stop", "reason"),
    [("unsubscribe", "unsubscribed"), ("remove", "removed"), ("cancel", "cancelled")],
)
def test_what_the_fence_stopped_is_skipped_with_the_reason(
    tmp_path: Path, stop: str, reason: str
) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        {
            "unsubscribe": lambda: b.suppress(item.email.upper()),
            "remove": lambda: b.remove(1, item.email),
            "cancel": lambda: b.cancel(run_id),
        }[stop]()

        assert not b.begin(item)
        b.record(item, NotBegun(), begun=False)

        assert (b.delivery(run_id).status, b.delivery(run_id).reason) == ("skipped", reason)
        assert b.statuses(run_id) == {"skipped": 1}


def test_what_the_fence_stopped_for_a_pause_is_queued_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.pause(run_id)

        assert not b.begin(item)
        assert b.record(item, NotBegun(), begun=False)

        assert b.statuses(run_id) == {"queued": 1}
        assert b.delivery(run_id).attempts == 0


def test_the_fence_stops_another_lease_and_another_epoch(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(people=1)
        [old] = b.lease(run_id, account)
        b.record(old, NotBegun(), begun=False)
        [new] = b.lease(run_id, account)

        assert not b.begin(old)
        assert not b.begin(new, epoch=b.epoch + 1)

        assert b.statuses(run_id) == {"leased": 1}


@pytest.mark.parametrize(
    ("outcome", "status", "reason", "code", "attempts"),
    [
        (SENT, "sent", None, 250, 1),
        (REFUSED, "failed", "the server refused the recipient", 550, 1),
        (Failed(None, "line 1: divides by zero"), "failed", "line 1: divides by zero", None, 1),
        (InDoubt("the server closed"), "in_doubt", "the server closed", None, 1),
        (NotBegun(), "queued", None, None, 0),
        (
            AccountFault(Broken(stage=Stage.CONNECT, detail="refused"), pause=False),
            "queued",
            "the account could not be used: connect: refused",
            None,
            0,
        ),
        (
            AccountFault(a_reply(421, "busy", Stage.MAIL), pause=False),
            "queued",
            "the account could not be used: mail: 421 busy",
            421,
            0,
        ),
    ],
)
def test_an_outcome_is_written_as_it_was(
    tmp_path: Path, outcome: Outcome, status: str, reason: str, code: int, attempts: int
) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)

        assert b.record(item, outcome, begun=True)

        found = b.delivery(run_id)
        assert (found.status, found.reason, found.smtp_code) == (status, reason, code)
        assert found.attempts == attempts
        assert b.statuses(run_id) == {status: 1}


def test_what_is_put_off_waits_with_the_server_s_words(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        at = b.now + timedelta(minutes=1)

        b.record(item, TryAgain(a_reply(451, "4.7.1 greylisted"), at), begun=False)

        found = b.delivery(run_id)
        assert (found.status, found.attempts, found.next_attempt_at) == ("queued", 1, at)
        assert (found.smtp_code, found.smtp_reply) == (451, "4.7.1 greylisted")
        assert found.reason == "the server put it off"


def test_a_later_break_does_not_keep_the_words_of_an_earlier_reply(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=1)
        [item] = b.lease(run_id, account)
        b.record(item, TryAgain(a_reply(451, "later"), b.now), begun=False)
        [item] = b.lease(run_id, account)
        b.begin(item)

        b.record(item, InDoubt("the server closed"), begun=True)

        found = b.delivery(run_id)
        assert (found.attempts, found.smtp_code, found.smtp_reply) == (2, None, None)


@pytest.mark.parametrize("final", [SENT, REFUSED, InDoubt("gone")])
def test_what_has_an_outcome_keeps_it(tmp_path: Path, final: Outcome) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)
        b.record(item, final, begun=True)
        before = b.delivery(run_id)

        later = [
            b.record(item, o, begun=g) for o in (SENT, REFUSED, NotBegun()) for g in (True, False)
        ]

        assert not any(later)
        assert not b.begin(item)
        assert b.lease(run_id, b.account()) == []
        assert b.delivery(run_id) == before


def test_an_outcome_under_an_old_epoch_changes_nothing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)

        assert not b.record(item, SENT, begun=True, epoch=b.epoch + 1)

        assert b.statuses(run_id) == {"sending": 1}


def test_a_mail_that_was_on_its_way_when_the_run_was_cancelled_has_its_outcome(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)
        b.cancel(run_id)

        assert b.run(run_id).finished_at is None
        b.record(item, SENT, begun=True)

        assert b.statuses(run_id) == {"sent": 1}
        assert b.finish(run_id)
        assert b.run(run_id).status == RunStatus.CANCELLED


def test_a_retry_of_a_cancelled_run_is_skipped(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)
        b.cancel(run_id)

        b.record(item, TryAgain(a_reply(451), b.now), begun=True)

        assert (b.delivery(run_id).status, b.delivery(run_id).reason) == ("skipped", "cancelled")


def test_waiting_for_limits_and_pauses_does_not_use_up_the_patience(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=1)
        [item] = b.lease(run_id, account)
        first = b.now
        b.record(item, TryAgain(a_reply(451), b.now + timedelta(minutes=1)), begun=False)
        b.later(minutes=1)
        [in_time] = b.lease(run_id, account)
        b.record(in_time, TryAgain(a_reply(451), b.now + timedelta(minutes=2)), begun=False)
        b.pause(run_id)
        b.later(days=5)
        b.resume(run_id)

        [after_the_pause] = b.lease(run_id, account)

        assert in_time.first_attempt_at == first
        waited = timedelta(days=5) - timedelta(minutes=2)
        assert after_the_pause.first_attempt_at == first + waited


def test_what_was_never_tried_goes_before_what_was_put_off(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=3)
        [item] = b.lease(run_id, account, limit=1)
        b.record(item, TryAgain(a_reply(451), b.now + timedelta(minutes=1)), begun=False)
        b.later(minutes=2)

        batches = [b.lease(run_id, account, limit=2) for _ in range(2)]

        assert [[i.email[:2] for i in batch] for batch in batches] == [["p1", "p2"], ["p0"]]
