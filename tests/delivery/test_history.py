"""delivery.history: one person's deliveries in all runs."""

from pathlib import Path

from delivery import history
from delivery.history import PersonsDelivery
from delivery.model import DeliveryStatus
from delivery.outcome import Failed, Sent
from tests.delivery.builders import Books, a_reply, books, plan_of, statements_of


def of(b: Books, key: str, *, before: int | None = None, limit: int = 50) -> list[PersonsDelivery]:
    with b.database.read() as tx:
        return history.of_person(tx, key, before=before, limit=limit)


def test_a_person_s_deliveries_come_newest_run_first(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first = b.running("Ann@example.com", "bob@example.com")
        [ann] = b.lease(first, b.account(), limit=1)
        b.record(ann, Failed(a_reply(550), "refused"), begun=False)
        second = b.running("ann@example.com")

        found = of(b, "ann@example.com")

        assert [(d.run_id, d.status) for d in found] == [(second, "queued"), (first, "failed")]
        assert (found[1].email, found[1].smtp_code, found[1].reason) == (
            "Ann@example.com",
            550,
            "refused",
        )
        assert found[1].zone
        assert of(b, "ann@example.com", before=second)[0].run_id == first
        assert [d.run_id for d in of(b, "ann@example.com", limit=1)] == [second]
        assert of(b, "nobody@example.com") == []


def test_what_is_leased_is_told_as_queued(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running("ann@example.com")
        b.lease(run_id, b.account(), limit=1)

        [found] = of(b, "ann@example.com")

        assert (found.status, found.next_attempt_at) == (DeliveryStatus.QUEUED, None)


def test_a_person_s_deliveries_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        for _ in range(2):
            [ann] = b.lease(b.running("ann@example.com"), account, limit=1)
            assert b.begin(ann)
            b.record(ann, Sent(a_reply(250)), begun=True)
        b.running("ann@example.com")

        with b.database.read() as tx:
            totals = history.totals_of_person(tx, "ann@example.com")
            nothing = history.totals_of_person(tx, "nobody@example.com")

        assert totals == {DeliveryStatus.SENT: 2, DeliveryStatus.QUEUED: 1}
        assert nothing == {}


def test_no_search_for_a_person_reads_all_deliveries(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.running("ann@example.com")
        said = statements_of(b)
        with b.database.read() as tx:
            history.of_person(tx, "ann@example.com", before=None, limit=9)
            history.totals_of_person(tx, "ann@example.com")

        asked = [statement for statement in said if statement.startswith("SELECT")]
        plans = [step for statement in asked for step in plan_of(b, statement)]
        assert len(asked) == 3
        assert not any(
            f"SCAN {table}" in step for table in ("deliveries", "decisions") for step in plans
        )
