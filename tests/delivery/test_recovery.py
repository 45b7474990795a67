"""What a new leader makes of what the last one left: the table of exactly_once.md."""

from pathlib import Path

import pytest

from accounts import usage
from accounts.model import Account
from accounts.usage import Used
from campaigns.model import InDoubtRule
from delivery.model import RunStatus
from delivery.outcome import InDoubt
from tests.delivery.builders import RETRY_DELAY, Books, books, one_leased, plan_of, statements_of

BOOTS = ["boot 1", "boot 2", None]


@pytest.mark.parametrize("boot_id", BOOTS)
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("rule", InDoubtRule)
def test_what_was_left_is_settled_by_the_boot_it_was_left_on_and_the_campaign_s_rule(
    tmp_path: Path, boot_id: str | None, begun: bool, rule: InDoubtRule
) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b, in_doubt=rule)
        if begun:
            b.begin(item)

        a_new_leader(b, boot_id)

        found = b.delivery(run_id)
        surely_unsent = boot_id == "boot 1" and not begun
        if surely_unsent:
            assert (found.status, found.attempts, found.reason) == ("queued", 0, None)
        elif rule == InDoubtRule.RESEND:
            assert (found.status, found.attempts) == ("queued", 1)
            assert found.next_attempt_at == b.now + RETRY_DELAY
            assert (found.reason or "").startswith("in doubt after a crash")
        else:
            assert (found.status, found.attempts) == ("in_doubt", 1)
            who = "the process" if boot_id == "boot 1" else "the machine"
            assert (found.reason or "").startswith(who)
        b.statuses(run_id)


@pytest.mark.parametrize("boot_id", BOOTS)
@pytest.mark.parametrize("begun", [False, True])
def test_a_repeat_is_not_repeated(tmp_path: Path, boot_id: str | None, begun: bool) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
        b.begin(item)
        b.record(item, InDoubt("gone"), begun=True)
        b.later(minutes=1)
        [again] = b.lease(run_id, b.first_account())
        if begun:
            b.begin(again)

        a_new_leader(b, boot_id)

        surely_unsent = boot_id == "boot 1" and not begun
        assert b.statuses(run_id) == {"queued" if surely_unsent else "in_doubt": 1}


@pytest.mark.parametrize("rule", InDoubtRule)
@pytest.mark.parametrize("boot_id", BOOTS)
def test_what_a_cancelled_run_had_on_its_way_is_in_doubt(
    tmp_path: Path, boot_id: str | None, rule: InDoubtRule
) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b, in_doubt=rule)
        b.begin(item)
        b.cancel(run_id)

        a_new_leader(b, boot_id)

        assert b.statuses(run_id) == {"in_doubt": 1}
        assert b.finish(run_id)
        assert b.run(run_id).status == RunStatus.CANCELLED


@pytest.mark.parametrize("stop", ["pause", "hold"])
def test_what_was_leased_of_a_stopped_run_is_queued_and_stays_stopped(
    tmp_path: Path, stop: str
) -> None:
    with books(tmp_path) as b:
        run_id, _ = one_leased(b)
        getattr(b, stop)(run_id)

        a_new_leader(b, "boot 1")

        assert b.statuses(run_id) == {"queued": 1}
        assert not b.run(run_id).status.finished


def test_the_last_leader_can_write_nothing_any_more(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        old = b.epoch
        a_new_leader(b, "boot 1")

        assert not b.begin(item, epoch=old)
        assert not b.record(item, InDoubt("late"), begun=False, epoch=old)

        assert b.statuses(run_id) == {"queued": 1}


def test_several_crashes_in_a_row_are_settled_by_the_boot_of_each(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=2)
        b.lease(run_id, account, limit=1)
        b.lead(boot_id="boot 2")  # this one died before it settled anything
        b.lease(run_id, account, limit=1)

        a_new_leader(b, "boot 2")

        assert [d.status for d in b.deliveries(run_id)] == ["in_doubt", "queued"]


@pytest.mark.parametrize(("boot_id", "used"), [("boot 1", 3), ("boot 2", 5), (None, 5)])
def test_what_may_have_gone_before_the_machine_died_counts_for_the_limits(
    tmp_path: Path, boot_id: str | None, used: int
) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=6)
        leased = b.lease(run_id, account, limit=5)
        for item in leased[:3]:
            b.begin(item)
        count(b, account, 3)

        a_new_leader(b, boot_id)

        with b.database.read() as tx:
            assert usage.used(tx, account.id, b.now) == Used(hour=used, day=used)


def test_a_second_recovery_changes_nothing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)
        a_new_leader(b, "boot 1")
        before = b.deliveries(run_id)

        a_new_leader(b, "boot 1")

        assert b.deliveries(run_id) == before


def test_recovery_reads_only_what_was_taken(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        one_leased(b)
        statements = statements_of(b)
        a_new_leader(b, "boot 1")

        found = [s for s in statements if s.startswith("SELECT deliveries.") and "epoch" in s]

        assert len(found) == 2
        assert all("ix_deliveries_taken" in " ".join(plan_of(b, s)) for s in found)


def count(b: Books, account: Account, messages: int) -> None:
    with b.database.write(durable=False) as tx:
        usage.count(tx, account.id, messages, b.now)


def a_new_leader(b: Books, boot_id: str | None) -> None:
    b.lead(boot_id=boot_id)
    b.recover(boot_id=boot_id)
