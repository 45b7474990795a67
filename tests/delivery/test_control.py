"""What a person does to a run: pause, resume, cancel."""

from pathlib import Path

import pytest

from delivery import ledger
from delivery.model import RunStatus
from delivery.outcome import Failed, NotBegun, Sent
from foundation.clock import SystemClock
from foundation.errors import Conflict, NotFound
from mail.reply import Stage
from tests.delivery.builders import Books, a_reply, books, run_through, sending, until
from tests.mail.scripted_server import ScriptedServer

REFUSED = Failed(a_reply(554, "5.7.1 not from you", Stage.RCPT), "the server refused the recipient")


def test_a_paused_run_says_so_and_pausing_it_again_changes_nothing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=2)

        first, again = b.pause(run_id), b.pause(run_id)

        assert (first.status, first.reason) == ("paused", "paused by a person")
        assert again == first


def test_resume_lets_a_run_go_on_where_it_was(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        started, waiting = b.running(people=1), b.claim(b.audience(people=1))
        b.pause(started)
        b.pause(waiting)

        resumed = [b.resume(started), b.resume(waiting)]

        assert [r.status for r in resumed] == ["running", "claimed"]
        assert [r.reason for r in resumed] == [None, None]
        assert b.resume(started) == resumed[0]


def test_resume_releases_a_held_run(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=1)
        b.hold(run_id)

        assert b.resume(run_id).status == RunStatus.RUNNING


def test_a_cancel_of_many_is_done_in_pieces_and_nothing_is_begun_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "SKIPPED_AT_ONCE", 2)
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=7)

        first = b.cancel(run_id)

        assert (first.status, first.counts.skipped, first.finished_at) == ("cancelled", 2, None)
        with sending(b):
            until(lambda: b.run(run_id).finished_at)
        run = b.run(run_id)
        assert (run.status, run.counts.skipped) == ("cancelled", 7)
        assert server.messages == []


def test_a_cancel_skips_what_was_not_sent(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=4)
        [sent] = b.lease(run_id, account, limit=1)
        b.begin(sent)
        b.record(sent, Sent(a_reply(250)), begun=True)

        cancelled = b.cancel(run_id)

        assert (cancelled.status, cancelled.reason) == ("cancelled", "cancelled by a person")
        assert cancelled.finished_at == b.now
        assert b.statuses(run_id) == {"sent": 1, "skipped": 3}
        assert {d.reason for d in b.deliveries(run_id)} == {None, "cancelled"}
        assert b.cancel(run_id) == cancelled


def test_what_is_leased_when_a_run_is_cancelled_is_its_holders_to_give_back(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=3)
        [held] = b.lease(run_id, account, limit=1)

        assert b.cancel(run_id).finished_at is None
        assert b.statuses(run_id) == {"leased": 1, "skipped": 2}

        assert not b.begin(held)
        b.record(held, NotBegun(), begun=False)
        b.skip_unsent(run_id)
        assert b.finish(run_id)
        assert b.statuses(run_id) == {"skipped": 3}


def test_a_cancel_after_the_machine_died_calls_nothing_unsent_that_may_have_been_sent(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        account, run_id = b.account(), b.running(people=2)
        b.lease(run_id, account, limit=1)

        b.cancel(
            run_id
        )  # before anybody leads after the power was lost: what was written last is not there
        b.lead(boot_id="the next boot")
        b.recover(boot_id="the next boot")

        assert b.statuses(run_id) == {"in_doubt": 1, "skipped": 1}


@pytest.mark.parametrize("stop", ["pause", "hold"])
def test_a_run_that_is_stopped_can_be_cancelled(tmp_path: Path, stop: str) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=1)
        getattr(b, stop)(run_id)

        assert b.cancel(run_id).status == RunStatus.CANCELLED


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_a_run_that_has_ended_can_not_be_changed(tmp_path: Path, action: str) -> None:
    with books(tmp_path) as b:
        run_id = b.running()
        b.finish(run_id)
        before = b.run(run_id)

        with pytest.raises(Conflict, match=f"Run {run_id} is completed"):
            getattr(b, action)(run_id)

        assert b.run(run_id) == before


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_a_cancelled_run_stays_cancelled(tmp_path: Path, action: str) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=1)
        b.cancel(run_id)

        with pytest.raises(Conflict):
            getattr(b, action)(run_id)


def test_a_held_run_is_not_paused(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=1)
        b.hold(run_id)

        with pytest.raises(Conflict, match="is held"):
            b.pause(run_id)


@pytest.mark.parametrize("action", ["pause", "resume", "cancel"])
def test_a_run_that_is_not_there_is_not_found(tmp_path: Path, action: str) -> None:
    with books(tmp_path) as b, pytest.raises(NotFound):
        getattr(b, action)(9)


def test_resume_queues_the_refusals_that_paused_the_run_when_asked(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = paused_by_refusals(b, people=5, refused=3)

        b.resume(run_id, retry_refused=True)

        assert b.statuses(run_id) == {"queued": 4, "failed": 1}
        again = b.lease(run_id, b.first_account())
        assert all(i.first_attempt_at is None for i in again)


def test_resume_leaves_the_refusals_when_not_asked(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = paused_by_refusals(b, people=5, refused=3)

        b.resume(run_id)

        assert b.statuses(run_id) == {"queued": 1, "failed": 4}
        b.pause(run_id)
        b.resume(run_id, retry_refused=True)
        assert b.statuses(run_id) == {"queued": 1, "failed": 4}


def test_a_run_that_refusals_have_paused_is_kept_open_for_who_may_queue_them(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id = paused_by_refusals(b, people=4, refused=4)

        assert not b.finish(run_id)

        assert b.resume(run_id, retry_refused=True).counts.queued == 4


def test_a_run_that_refusals_have_paused_ends_when_it_is_resumed_without_them(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id = paused_by_refusals(b, people=4, refused=4)

        b.resume(run_id)

        assert b.finish(run_id)
        assert b.run(run_id).status == RunStatus.FAILED


def paused_by_refusals(b: Books, *, people: int, refused: int) -> int:
    """Make a run of which all but one were refused, and that is paused for so many of them."""
    account, run_id = b.account(), b.running(people=people)
    items = b.lease(run_id, account, limit=max(refused, people - 1))
    for item in items:
        b.record(item, REFUSED, begun=False)
    with b.database.write(durable=False) as tx:
        ledger.set_status(
            tx,
            run_id,
            [RunStatus.RUNNING],
            to=RunStatus.PAUSED,
            reason="refusals in a row",
            refused_ids=[i.id for i in items[:refused]],
        )
    return run_id
