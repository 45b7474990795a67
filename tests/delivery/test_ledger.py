"""Runs: claimed, started, ended."""

from datetime import timedelta
from pathlib import Path

import pytest

from delivery import ledger
from delivery.ledger import NewRun, SteppedDown
from delivery.model import Origin, RunStatus
from delivery.outcome import Failed, InDoubt, Sent, TryAgain
from storage.aliveness import raise_epoch
from tests.delivery.builders import (
    SLOT,
    a_reply,
    books,
    one_leased,
)

SENT = Sent(a_reply(250, "queued as 1"))
REFUSED = Failed(a_reply(550, "5.1.1 nobody here"), "the server refused the recipient")


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
