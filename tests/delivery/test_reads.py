"""What the ledger says: runs and deliveries, for pages and reports, and how runs stand, for the dispatcher."""

from datetime import timedelta
from pathlib import Path

import pytest

from delivery import progress, reads
from delivery.model import DeliveryStatus, RunStatus
from delivery.outcome import Failed, Sent, TryAgain
from delivery.progress import Progress, Step
from foundation.errors import NotFound
from tests.delivery.builders import Books, a_reply, books, plan_of, statements_of

SENT = Sent(a_reply(250))


def stand(b: Books, run_id: int) -> Progress:
    with b.database.read() as tx:
        return next(p for p in progress.unfinished(tx) if p.id == run_id)


def listed(b: Books, run_id: int, **wanted: object) -> list[str]:
    asked: dict[str, object] = {"status": None, "q": None, "after": None, "limit": 100}
    with b.database.read() as tx:
        found = reads.list_deliveries(tx, run_id, **(asked | wanted))  # type: ignore[arg-type]
    return [d.email for d in found]


def test_deliveries_are_listed_by_status_and_part_of_the_address(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running("Ann@example.com", "bob@example.org", "carol@example.org")
        [ann] = b.lease(run_id, b.account(), limit=1)
        b.record(ann, Failed(a_reply(550), "refused"), begun=False)
        b.lease(run_id, b.first_account(), limit=1)

        assert listed(b, run_id, status=DeliveryStatus.FAILED) == ["Ann@example.com"]
        # Leased is told to the outside as queued.
        assert listed(b, run_id, status=DeliveryStatus.QUEUED) == [
            "bob@example.org",
            "carol@example.org",
        ]
        assert {d.status for d in b.deliveries(run_id)} == {"failed", "queued"}
        assert listed(b, run_id, q="EXAMPLE.ORG") == ["bob@example.org", "carol@example.org"]
        assert listed(b, run_id, q="%") == []


def test_deliveries_are_paged_in_the_order_they_were_made(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=5)
        ids = [d.id for d in b.deliveries(run_id)]

        assert listed(b, run_id, limit=2) == ["p0@example.com", "p1@example.com"]
        assert listed(b, run_id, after=ids[3]) == ["p4@example.com"]


def test_only_what_waits_for_another_try_has_a_next_attempt(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=3)
        one, two, _ = b.lease(run_id, b.account())
        at = b.now + timedelta(minutes=1)
        b.record(one, TryAgain(a_reply(451), at), begun=False)
        b.begin(two)
        b.record(two, SENT, begun=True)

        assert [d.next_attempt_at for d in b.deliveries(run_id)] == [at, None, None]


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first = b.running(schedule_id=1)
        second = b.running(people=1, schedule_id=2)
        third = b.running(people=1, schedule_id=1)
        b.finish(first)

        def ids(**wanted: object) -> list[int]:
            asked: dict[str, object] = {
                "schedule_id": None,
                "status": None,
                "before": None,
                "limit": 9,
            }
            with b.database.read() as tx:
                return [r.id for r in reads.list_runs(tx, **(asked | wanted))]  # type: ignore[arg-type]

        assert ids() == [third, second, first]
        assert ids(schedule_id=1) == [third, first]
        assert ids(status=RunStatus.COMPLETED) == [first]
        assert ids(before=third, limit=1) == [second]


def test_a_run_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with books(tmp_path) as b, pytest.raises(NotFound):
        b.run(9)


def test_a_run_tells_its_rate(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=10)
        before = b.run(run_id)
        items = b.lease(run_id, b.account(), limit=4)
        b.later(seconds=8)
        for item in items:
            b.begin(item)
            b.record(item, SENT, begun=True)

        assert reads.rate_per_second(before, b.now) is None
        assert reads.rate_per_second(b.run(run_id), b.now) == 0.5


def test_an_audience_is_needed_until_its_run_is_made(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        audience_id = b.audience(people=2)
        run_id = b.claim(audience_id)
        b.cancel(run_id)  # made to the end all the same

        with b.database.read() as tx:
            before = reads.being_materialised(tx, audience_id)
        b.materialise(run_id)
        with b.database.read() as tx:
            after = reads.being_materialised(tx, audience_id)

        assert (before, after) == (run_id, None)


def test_an_account_is_needed_until_its_run_has_ended(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=1, account_ids=(7, 8))

        with b.database.read() as tx:
            before = [reads.needing_account(tx, a) for a in (7, 8, 9)]
        b.cancel(run_id)
        with b.database.read() as tx:
            after = reads.needing_account(tx, 7)

        assert (before, after) == ([run_id, run_id, None], None)


def test_totals_are_told_from_the_counters(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.running(people=3)
        cancelled = b.running(people=2)
        b.cancel(cancelled)

        with b.database.read() as tx:
            assert reads.totals_by_run_status(tx) == {"running": 1, "cancelled": 1}
            totals = reads.totals_by_delivery_status(tx)
        assert (totals["queued"], totals["skipped"]) == (3, 2)


def test_what_a_new_slot_would_overlap_with_is_told(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first = b.running(people=1, schedule_id=1)
        waiting = b.claim(b.audience(people=1), schedule_id=1, waits_for=first)
        tried = b.running(people=1, schedule_id=2)
        [item] = b.lease(tried, b.account())
        b.record(item, TryAgain(a_reply(451), b.now), begun=False)

        with b.database.read() as tx:
            found = reads.predecessors(tx, [1, 2, 3])

        assert set(found) == {1, 2}
        assert (found[1].run_id, found[1].untried, found[1].waits) == (waiting, True, True)
        assert (found[2].run_id, found[2].untried, found[2].waits) == (tried, False, False)


class TestProgress:
    def test_a_run_is_made_then_started_then_sent_then_ended(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id = b.claim(b.audience(people=1))
            steps = [stand(b, run_id).next_step]
            b.materialise(run_id)
            steps.append(stand(b, run_id).next_step)
            b.start(run_id)
            steps.append(stand(b, run_id).next_step)
            [item] = b.lease(run_id, b.account())
            b.begin(item)
            steps.append(stand(b, run_id).next_step)
            b.record(item, SENT, begun=True)
            steps.append(stand(b, run_id).next_step)

            assert steps == [Step.MATERIALISE, Step.START, None, None, Step.FINISH]

    def test_a_run_that_waits_has_nothing_to_write(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            first = b.running(people=1)
            waiting = b.claim(b.audience(people=1), waits_for=first)
            b.materialise(waiting)

            assert stand(b, waiting).next_step is None
            b.cancel(first)
            assert stand(b, waiting).next_step == Step.START

    def test_a_run_that_is_cancelled_waits_for_what_is_on_its_way(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            run_id = b.running(people=2)
            [item] = b.lease(run_id, b.account(), limit=1)
            b.begin(item)
            b.cancel(run_id)

            assert stand(b, run_id).next_step is None

    def test_what_is_due_is_asked_for_each_account(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            account = b.account()
            run_id = b.running(people=1)
            with b.database.read() as tx:
                before = progress.has_due(tx, run_id, account.id, b.now)
            [item] = b.lease(run_id, account)
            b.record(item, TryAgain(a_reply(451), b.now + timedelta(minutes=1)), begun=False)
            with b.database.read() as tx:
                after = progress.has_due(tx, run_id, account.id, b.now)

            assert (before, after) == (True, False)

    def test_it_is_told_without_looking_at_runs_that_have_ended(self, tmp_path: Path) -> None:
        with books(tmp_path) as b:
            statements = statements_of(b)
            with b.database.read() as tx:
                progress.unfinished(tx)

            [asked] = [s for s in statements if s.startswith("SELECT")]
            steps = plan_of(b, asked)
            assert steps[0] == "SCAN runs USING INDEX ix_runs_unfinished"
            assert not any("ix_deliveries_run_id_id" in step for step in steps)
