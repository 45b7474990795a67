"""A run's audience, frozen at the claim and made into deliveries in pieces."""

from collections import Counter
from pathlib import Path

import pytest

from delivery import ledger as runs
from delivery.model import RunStatus
from tests.delivery.builders import Books, books, plan_of, statements_of


def test_everybody_of_an_audience_becomes_a_delivery(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        run_id = ledger.claim(ledger.audience("Ann@Example.com", "bob@example.com"))

        ledger.materialise(run_id)

        assert [(d.email, d.status) for d in ledger.deliveries(run_id)] == [
            ("Ann@Example.com", "queued"),
            ("bob@example.com", "queued"),
        ]
        assert ledger.run(run_id).materialised


@pytest.mark.parametrize(
    ("people", "rows", "pieces"), [(10, 3, 4), (9, 3, 3), (1, 5, 1), (0, 5, 0)]
)
def test_deliveries_are_made_in_pieces(tmp_path: Path, people: int, rows: int, pieces: int) -> None:
    with books(tmp_path) as ledger:
        run_id = ledger.claim(ledger.audience(people=people))

        assert ledger.materialise(run_id, rows=rows) == pieces

        assert ledger.statuses(run_id)["queued"] == people


def test_one_person_on_two_lists_gets_one_email(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        first = ledger.audience("ann@example.com", "bob@example.com")
        second = ledger.audience("carol@example.com", "ANN@example.com", "dave@example.com")
        run_id = ledger.claim(first, second)

        ledger.materialise(run_id, rows=2)

        emails = [d.email for d in ledger.deliveries(run_id)]
        assert emails == [
            "ann@example.com",
            "bob@example.com",
            "carol@example.com",
            "dave@example.com",
        ]
        assert ledger.run(run_id).counts.recipients == 4


def test_lists_that_grew_at_the_same_time_are_walked_together(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        one, other = ledger.audience(), ledger.audience()
        for i in range(30):
            ledger.add_people((one, other)[i % 2], f"p{i}@example.com")
        run_id = ledger.claim(one, other)

        assert ledger.materialise(run_id, rows=7) == 5

        emails = [d.email for d in ledger.deliveries(run_id)]
        assert emails == [f"p{i}@example.com" for i in range(30)]


def test_who_is_suppressed_is_skipped_with_the_reason(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        ledger.suppress("ANN@example.com")
        run_id = ledger.claim(ledger.audience("ann@example.com", "bob@example.com"))

        ledger.materialise(run_id)

        ann = ledger.delivery(run_id, "ann@example.com")
        assert (ann.status, ann.reason) == ("skipped", "unsubscribed")
        assert ledger.statuses(run_id) == {"queued": 1, "skipped": 1}


def test_who_comes_after_the_claim_is_not_in_the_run(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        audience_id = ledger.audience(people=3)
        run_id = ledger.claim(audience_id)
        ledger.add_people(audience_id, "late@example.com")

        ledger.materialise(run_id)

        assert "late@example.com" not in [d.email for d in ledger.deliveries(run_id)]


def test_who_left_before_their_delivery_was_made_gets_none(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        audience_id = ledger.audience(people=3)
        run_id = ledger.claim(audience_id)
        ledger.remove(audience_id, "p1@example.com")

        ledger.materialise(run_id)

        assert ledger.run(run_id).counts.recipients == 2


def test_what_a_cancel_finds_unmade_is_made_and_skipped(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        run_id = ledger.claim(ledger.audience(people=10))
        make_one_piece(ledger, run_id, rows=4)

        cancelled = ledger.cancel(run_id)
        ledger.materialise(run_id, rows=4)

        assert cancelled.finished_at is None
        assert Counter(d.reason for d in ledger.deliveries(run_id)) == {"cancelled": 10}
        assert ledger.statuses(run_id) == {"skipped": 10}
        assert ledger.finish(run_id)
        assert ledger.run(run_id).status == RunStatus.CANCELLED


def test_a_crash_between_two_pieces_loses_and_doubles_nobody(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        run_id = ledger.claim(ledger.audience(people=10))
        make_one_piece(ledger, run_id, rows=4)

    with books(tmp_path) as reopened:
        reopened.materialise(run_id, rows=4)

        assert [d.email for d in reopened.deliveries(run_id)] == [
            f"p{i}@example.com" for i in range(10)
        ]


def test_a_run_that_is_paused_or_held_is_made_all_the_same(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        paused = ledger.claim(ledger.audience(people=2))
        held = ledger.claim(ledger.audience(people=2))
        ledger.pause(paused)
        ledger.hold(held)

        ledger.materialise(paused)
        ledger.materialise(held)

        assert ledger.statuses(paused) == ledger.statuses(held) == {"queued": 2}


def test_a_run_that_is_made_stays_as_it_is(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        audience_id = ledger.audience(people=2)
        run_id = ledger.claim(audience_id)
        ledger.materialise(run_id)

        assert ledger.materialise(run_id) == 0

        assert ledger.run(run_id).counts.recipients == 2


def test_twelve_thousand_recipients_are_made_in_three_pieces(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        half = ledger.audience(people=6000)
        other_half = ledger.audience(*(f"q{i}@example.com" for i in range(6000)))
        run_id = ledger.claim(half, other_half)
        statements = statements_of(ledger)

        assert ledger.materialise(run_id, rows=5000) == 3

        assert ledger.statuses(run_id) == {"queued": 12_000}
        assert len(statements) < 60


def test_each_piece_is_found_along_an_index(tmp_path: Path) -> None:
    with books(tmp_path) as ledger:
        run_id = ledger.claim(ledger.audience(people=5), ledger.audience(people=5))
        statements = statements_of(ledger)

        ledger.materialise(run_id, rows=3)

        [walk, *_] = [s for s in statements if "max(" in s]
        steps = [step for step in plan_of(ledger, walk) if "recipients" in step]
        assert len(steps) == 2
        assert all("(audience_id=? AND id>? AND id<?)" in step for step in steps)


def make_one_piece(ledger: Books, run_id: int, *, rows: int) -> None:
    with ledger.database.write(durable=True) as tx:
        runs.materialise(tx, run_id, rows=rows, now=ledger.now)


def test_a_run_waits_for_every_older_one_with_untried_people_not_only_for_the_newest(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        first, newest = b.running(people=2), b.claim(b.audience("x@example.com"))
        waiting = b.claim(b.audience("y@example.com"), waits_for=newest)
        b.materialise(newest)
        b.materialise(waiting)
        b.start(newest)
        b.cancel(newest)

        assert not b.start(waiting)

        b.cancel(first)
        assert b.start(waiting)
