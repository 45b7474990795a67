"""Leases, the fence and outcomes: which changes the ledger lets through, and that its counters always add up."""

from datetime import timedelta
from pathlib import Path

import pytest

from campaigns.model import InDoubtRule
from delivery import ledger
from delivery.leases import Leased
from delivery.ledger import NewRun, SteppedDown
from delivery.model import Origin, RunStatus
from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, Sent, TryAgain
from mail.reply import Stage
from storage.aliveness import raise_epoch
from tests.delivery.builders import (
    RETRY_DELAY,
    SLOT,
    Books,
    a_reply,
    books,
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
            AccountFault(a_reply(421, "busy", Stage.MAIL), pause=False),
            "queued",
            "the account could not be used",
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


class TestARuleThatSendsDoubtsAgain:
    """A repeat: once, through the same account, and it never ends as anything but sent or in doubt."""

    def test_a_doubt_is_queued_once_more(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)

            b.record(item, InDoubt("the server closed"), begun=True)

            found = b.delivery(run_id)
            assert (found.status, found.next_attempt_at) == ("queued", b.now + RETRY_DELAY)
            assert "sent again by the campaign's rule" in (found.reason or "")

    def test_a_second_doubt_is_held(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)
            b.begin(again)

            b.record(again, InDoubt("the server closed"), begun=True)

            assert b.statuses(run_id) == {"in_doubt": 1}
            assert b.delivery(run_id).attempts == 2

    def test_it_goes_through_the_account_of_its_first_try(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)
            b.record(item, InDoubt("gone"), begun=True)
            other = b.account(name="Other")
            b.later(minutes=1)

            assert b.lease(run_id, other) == []
            [again] = b.lease(run_id, b.first_account())

            assert again.id == item.id

    def test_it_keeps_its_message_id(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            _, first, again = a_repeat(b)

            assert again.is_repeat
            assert again.message_id == f"<{first.id}@test>"

    def test_its_refusal_leaves_the_first_try_in_doubt(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)

            b.record(again, REFUSED, begun=False)

            found = b.delivery(run_id)
            assert (found.status, found.smtp_code) == ("in_doubt", 550)
            assert (found.reason or "").startswith("in doubt; sent again, and this time: ")

    @pytest.mark.parametrize("stop", ["cancel", "suppress", "remove"])
    def test_a_stop_leaves_the_first_try_in_doubt(self, tmp_path: Path, stop: str) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)
            b.record(item, InDoubt("gone"), begun=True)
            b.later(minutes=1)
            {
                "cancel": lambda: b.cancel(run_id),
                "suppress": lambda: b.suppress(item.email),
                "remove": lambda: b.remove(1, item.email),
            }[stop]()

            assert b.lease(run_id, b.first_account()) == []

            assert b.statuses(run_id) == {"in_doubt": 1}

    @pytest.mark.parametrize("stop", ["cancel", "suppress", "remove"])
    def test_a_stop_after_its_lease_leaves_the_first_try_in_doubt(
        self, tmp_path: Path, stop: str
    ) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)
            {
                "cancel": lambda: b.cancel(run_id),
                "suppress": lambda: b.suppress(again.email),
                "remove": lambda: b.remove(1, again.email),
            }[stop]()

            assert not b.begin(again)
            b.record(again, NotBegun(), begun=False)

            assert b.statuses(run_id) == {"in_doubt": 1}

    def test_being_put_off_it_still_says_that_it_is_one(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, _, again = a_repeat(b)

            b.record(again, TryAgain(a_reply(451), b.now), begun=False)

            assert b.statuses(run_id) == {"queued": 1}
            assert (b.delivery(run_id).reason or "").startswith("in doubt")

    def test_a_doubt_of_a_cancelled_run_is_held(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
            b.begin(item)
            b.cancel(run_id)

            b.record(item, InDoubt("gone"), begun=True)

            assert b.statuses(run_id) == {"in_doubt": 1}


class TestStart:
    def test_a_run_starts_when_its_deliveries_are_made(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id = b.claim(b.audience(people=2))

            before = b.start(run_id)
            b.materialise(run_id)

            assert (before, b.start(run_id), b.start(run_id)) == (False, True, False)
            assert b.run(run_id).started_at == b.now

    def test_it_waits_for_the_untried_of_the_run_before_it(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            account, first = b.account(), b.running(people=2)
            second = b.claim(b.audience(people=1), waits_for=first)
            b.materialise(second)

            waits = [b.start(second)]
            one, two = b.lease(first, account)
            waits.append(b.start(second))
            b.record(one, TryAgain(a_reply(451), b.now + timedelta(hours=1)), begun=False)
            waits.append(b.start(second))
            b.begin(two)
            b.record(two, InDoubt("gone"), begun=True)

            assert waits == [False, False, False]
            assert b.start(second)  # a retry and a doubt are left: they do not count

    def test_it_waits_while_the_run_before_it_is_being_made(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            first = b.claim(b.audience())
            second = b.claim(b.audience(), waits_for=first)
            b.materialise(second)

            assert not b.start(second)
            b.materialise(first)
            assert b.start(second)

    def test_it_does_not_wait_for_a_run_that_has_ended(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            first = b.running(people=2)
            second = b.claim(b.audience(people=1), waits_for=first)
            b.materialise(second)
            b.cancel(first)

            assert b.start(second)


class TestFinish:
    def test_a_run_with_something_left_goes_on(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b)

            assert not b.finish(run_id)
            b.begin(item)
            assert not b.finish(run_id)
            b.record(item, SENT, begun=True)
            assert b.finish(run_id)
            assert not b.finish(run_id)
            assert b.run(run_id).status == RunStatus.COMPLETED

    def test_one_in_which_everybody_failed_has_failed(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b)
            b.record(item, REFUSED, begun=False)

            b.finish(run_id)

            found = b.run(run_id)
            assert (found.status, found.reason) == ("failed", "every recipient failed")

    def test_one_with_failures_and_doubts_is_completed(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id = b.running(people=2)
            one, two = b.lease(run_id, b.account())
            b.record(one, REFUSED, begun=False)
            b.begin(two)
            b.record(two, InDoubt("gone"), begun=True)

            b.finish(run_id)

            assert b.run(run_id).status == RunStatus.COMPLETED

    def test_one_with_nobody_in_it_is_completed(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id = b.running()

            assert b.finish(run_id)

            assert b.run(run_id).status == RunStatus.COMPLETED

    def test_one_in_which_everybody_was_skipped_is_completed(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            b.suppress("ann@example.com")
            run_id = b.running("ann@example.com")

            assert b.finish(run_id)

            assert b.run(run_id).status == RunStatus.COMPLETED

    @pytest.mark.parametrize("stop", ["pause", "hold"])
    def test_one_that_is_stopped_with_nothing_left_is_completed(
        self, tmp_path: Path, stop: str
    ) -> None:
        with books(tmp_path) as b:
            run_id, item = one_leased(b)
            b.begin(item)
            getattr(b, stop)(run_id)
            b.record(item, SENT, begun=True)

            assert b.finish(run_id)

            found = b.run(run_id)
            assert (found.status, found.reason) == ("completed", None)

    def test_one_that_could_not_be_carried_out_has_failed_at_once(self, tmp_path: Path) -> None:
        with books(tmp_path) as b, b.database.write(durable=True) as tx:
            new = NewRun(
                schedule_id=1,
                campaign_id=9,
                slot=SLOT,
                zone="UTC",
                origin=Origin.SLOT,
                request_key=None,
                snapshot=None,
                reason="could not be carried out: there is no campaign 9",
                recipient_ceiling=0,
                waits_for=None,
            )

            run_id = ledger.claim(tx, new, epoch=b.epoch, now=b.now)

        with books(tmp_path) as b:
            found = b.run(run_id)
            assert (found.status, found.finished_at) == ("failed", b.now)
            assert "no campaign 9" in (found.reason or "")


def test_content_is_frozen_with_its_hash(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        one = b.run(b.claim(b.audience(), subject="A"))
        same = b.run(b.claim(1, subject="A"))
        other = b.run(b.claim(1, subject="B"))

        assert one.content.subject == "A"
        assert one.content_sha256 == same.content_sha256 != other.content_sha256


def test_only_the_newest_leader_leads(tmp_path: Path) -> None:
    with books(tmp_path) as b, b.database.write(durable=True) as tx:
        ledger.must_lead(tx, b.epoch)
        raise_epoch(tx, boot_id="boot 1", machine_id="machine", pid=2, now=b.now)

        with pytest.raises(SteppedDown):
            ledger.must_lead(tx, b.epoch)


def one_leased(b: Books, **changes: object) -> tuple[int, Leased]:
    """Make a run with one recipient, leased; return both."""
    account = b.account()
    run_id = b.running("ann@example.com", **changes)
    [item] = b.lease(run_id, account)
    return run_id, item


def a_repeat(b: Books) -> tuple[int, Leased, Leased]:
    """Make a run whose one delivery was in doubt and is leased again; return it, the first lease and the second."""
    run_id, first = one_leased(b, in_doubt=InDoubtRule.RESEND)
    b.begin(first)
    b.record(first, InDoubt("gone"), begun=True)
    b.later(minutes=1)
    [again] = b.lease(run_id, b.first_account())
    return run_id, first, again
