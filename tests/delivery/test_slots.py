"""The rows that make a slot run once: keys, watermark, floor, and what is held."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from delivery import slots
from delivery.model import Decision, SlotDecision, SlotRow, Standing
from delivery.reads import past_slots
from tests.delivery.builders import Books, books

NINE = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # in Berlin


def a_decision(at: datetime = NINE, **changes: object) -> SlotDecision:
    local = at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")
    fields: dict[str, object] = {
        "key": f"{slots.WALL}{local}",
        "at": at,
        "local": f"{local}+00:00",
        "decision": Decision.CLAIMED,
        "reason": None,
        "whole_day": True,
    }
    return SlotDecision(**(fields | changes))  # type: ignore[arg-type]


def write(b: Books, decision: SlotDecision, *, schedule_id: int = 1) -> bool:
    with b.database.write(durable=True) as tx:
        return slots.write(tx, schedule_id, decision, run_id=None, epoch=b.epoch, now=b.now)


def begin(b: Books, schedule_id: int = 1) -> None:
    with b.database.write(durable=True) as tx:
        slots.begin(tx, schedule_id, b.now)


def standing(b: Books, schedule_id: int = 1) -> Standing:
    with b.database.read() as tx:
        return slots.standings(tx, [schedule_id], b.now)[schedule_id]


def rows(b: Books) -> list[SlotRow]:
    with b.database.read() as tx:
        return past_slots(tx, 1, before=None, limit=100)


def test_a_slot_is_decided_once(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first = write(b, a_decision())
        second = write(b, a_decision(decision=Decision.SKIPPED, reason="too late"))

        assert (first, second) == (True, False)
        assert [(r.decision, r.reason) for r in rows(b)] == [("claimed", None)]


def test_two_schedules_may_have_the_same_slot(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        assert write(b, a_decision())
        assert write(b, a_decision(), schedule_id=2)


def test_a_schedule_that_was_never_begun_has_no_standing(tmp_path: Path) -> None:
    with books(tmp_path) as b, b.database.read() as tx:
        assert slots.standings(tx, [1], b.now) == {}


def test_nothing_before_its_beginning_is_due(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)

        assert standing(b).decided_until == b.now
        assert standing(b).claimed == 0


def test_a_schedule_begins_once(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)
        first = b.now
        b.later(hours=1)
        begin(b)

        assert standing(b).decided_until == first


def test_the_watermark_never_goes_back(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)
        for hours in (5, 2):
            with b.database.write(durable=True) as tx:
                slots.decide(tx, 1, until=b.now + timedelta(hours=hours), claims=0)

        assert standing(b).watermark == b.now + timedelta(hours=5)


def test_the_floor_counts_where_it_is_higher_than_the_watermark(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)
        with b.database.write(durable=True) as tx:
            slots.raise_floor(tx, 1, b.now + timedelta(days=1))

        assert standing(b).decided_until == b.now + timedelta(days=1)


def test_keys_near_the_watermark_and_after_it_are_known(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)
        days = [NINE + timedelta(days=n) for n in (-30, -1, 0, 5)]
        for at in days:
            write(b, a_decision(at))
        b.later(hours=1)
        with b.database.write(durable=True) as tx:
            slots.decide(tx, 1, until=b.now, claims=0)

        known = standing(b).keys
        assert known == {a_decision(at).key for at in days[1:]}


def test_days_that_were_decided_whole_are_known_until_a_person_says_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)
        write(b, a_decision())
        write(b, a_decision(NINE + timedelta(days=1), whole_day=False))
        before = standing(b).days

        with b.database.write(durable=True) as tx:
            slots.let_day_run_again(tx, 1, date(2026, 3, 2))

        assert before == {date(2026, 3, 2)}
        assert standing(b).days == frozenset()
        assert write(b, a_decision())  # even at the same time


def test_claims_are_counted(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        begin(b)
        with b.database.write(durable=True) as tx:
            slots.count_claim(tx, 1)
            slots.count_claim(tx, 1)

        assert standing(b).claimed == 2


def test_many_missed_slots_are_one_row(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        until = NINE + timedelta(days=150)
        write(b, a_decision(decision=Decision.HELD, until=until, count=151))

        [row] = rows(b)
        assert (row.until, row.slots) == (until, 151)
        with b.database.read() as tx:
            assert slots.held(tx, 1, through=None) == [(row.id, until)]


def test_what_is_held_is_found_oldest_first_up_to_the_newest_one_meant(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        for days in (2, 0, 1):
            write(b, a_decision(NINE + timedelta(days=days), decision=Decision.HELD))
        write(b, a_decision(NINE - timedelta(days=1)))

        with b.database.read() as tx:
            every = [at for _, at in slots.held(tx, 1, through=None)]
            meant = [at for _, at in slots.held(tx, 1, through=NINE + timedelta(days=1))]
            schedules = slots.schedules_with_held(tx)

        assert every == [NINE + timedelta(days=n) for n in range(3)]
        assert meant == every[:2]
        assert schedules == {1}


def test_a_held_slot_is_decided_once(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        write(b, a_decision(decision=Decision.HELD))
        [row] = rows(b)

        with b.database.write(durable=True) as tx:
            first = slots.release(tx, row.id, Decision.SKIPPED, reason="by a person", run_id=None)
            second = slots.release(tx, row.id, Decision.CLAIMED, reason=None, run_id=None)

        assert (first, second) == (True, False)
        assert [(r.decision, r.reason) for r in rows(b)] == [("skipped", "by a person")]


@pytest.mark.parametrize("decision", [Decision.CLAIMED, Decision.SKIPPED, Decision.MERGED])
def test_what_is_not_held_can_not_be_released(tmp_path: Path, decision: Decision) -> None:
    with books(tmp_path) as b:
        write(b, a_decision(decision=decision))
        [row] = rows(b)

        with b.database.write(durable=True) as tx:
            assert not slots.release(tx, row.id, Decision.CLAIMED, reason=None, run_id=None)


def test_a_claimed_slot_names_its_run(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.claim(b.audience())
        write(b, a_decision())

        with b.database.write(durable=True) as tx:
            slots.attach_run(tx, 1, a_decision().key, run_id)

        assert {r.run_id for r in rows(b) if r.key == a_decision().key} == {run_id}


def test_the_newest_decision_of_each_schedule_is_told(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        write(b, a_decision())
        write(b, a_decision(NINE + timedelta(days=1), decision=Decision.SKIPPED))
        write(b, a_decision(decision=Decision.HELD), schedule_id=2)

        with b.database.read() as tx:
            assert slots.last_decisions(tx, [1, 3]) == {1: Decision.SKIPPED}
