from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from foundation.errors import NotFound
from scheduler.model import ScheduleType, Status
from scheduler.reconcile import Kind
from tests.builders import a_schedule
from tests.scheduler.house import House, a_written_entry, ids


def test_an_edit_by_hand_wins_and_is_told_like_any_other(house: House) -> None:
    old = house.add()
    house.change(0, schedule_time="2026-03-01 10:30", campaign_id=2)

    with house.store.edit() as book:
        new = book.schedules[1]

    assert (new.schedule_time, new.campaign_id) == (datetime(2026, 3, 1, 10, 30), 2)
    assert new.version == 2
    assert house.entries[0]["version"] == 2
    assert house.edits[1:] == [(old, new)]
    assert book.edited == {1}


def test_an_edit_by_hand_is_told_once_however_often_and_by_whom_it_is_loaded(house: House) -> None:
    house.add()
    house.change(0, note="by hand")

    for store in (house.store, house.a_store(), house.store, house.a_store()):
        with store.edit() as book:
            assert book.schedules[1].note == "by hand"

    assert len(house.edits) == 2


def test_only_the_ledgers_fields_changed_by_hand_is_no_edit(house: House) -> None:
    house.add()
    house.change(0, total_runs=99, status="nonsense", last_run="yesterday", next_run=[1])

    with house.store.edit() as book:
        assert book.schedules[1].status is Status.PENDING
        assert book.foreign

    assert len(house.edits) == 1
    assert book.bad == {}


@pytest.mark.parametrize("value", [1, 1.0, "true", None])
def test_what_is_only_equal_to_python_is_not_taken_for_unchanged(house: House, value: Any) -> None:
    house.add()
    house.change(0, enabled=value)

    for store in (house.store, house.a_store()):
        with store.edit() as book:
            assert list(book.bad) == [1]


def test_reading_shows_an_edit_by_hand_at_once_but_leaves_the_rest_to_edit(house: House) -> None:
    house.add()
    house.change(0, note="by hand")

    assert house.store.read()[0].note == "by hand"

    assert len(house.edits) == 1
    house.load()
    assert len(house.edits) == 2


def test_an_edit_on_an_old_text_loses_and_both_texts_are_kept(house: House) -> None:
    schedule = house.add()
    old_text = house.entries
    with house.store.edit() as book:
        book.put(replace(schedule, note="newer"), edit=True)

    house.write([old_text[0] | {"note": "made on the old text"}])
    house.load()

    assert house.entries[0]["note"] == "newer"
    assert house.entries[0]["version"] == 2
    [notice] = house.notices()
    assert notice.kind is Kind.OLD_VERSION
    assert notice.schedule_id == 1
    assert notice.detail["file"]["note"] == "made on the old text"
    assert notice.detail["kept"]["note"] == "newer"
    assert len(house.edits) == 2


def test_a_higher_version_wins_as_the_copy_is_late(house: House) -> None:
    old = house.add()
    house.change(0, version=7, note="ahead")

    with house.store.edit() as book:
        new = book.schedules[1]

    assert (new.version, new.note) == (7, "ahead")
    assert house.edits[1:] == [(old, new)]


def test_an_entry_taken_out_is_cancelled_and_can_be_brought_back(house: House) -> None:
    first, second = house.add_many(2)
    house.write(house.entries[1:])

    with house.store.edit() as book:
        assert list(book.schedules) == [second.id]
        assert book.gone[first.id].status is Status.CANCELLED
    shown = house.store.read()
    with house.store.edit() as book:
        back = book.bring_back(first.id)

    assert [(s.id, s.status, s.enabled) for s in shown] == [
        (second.id, Status.PENDING, True),
        (first.id, Status.CANCELLED, False),
    ]
    assert house.kinds() == [Kind.MISSING]
    assert back == replace(first, version=2)
    assert ids(house.store.read()) == [second.id, first.id]
    old, new = house.edits[-1]
    assert old is not None
    assert (old.enabled, new.enabled) == (False, True)


def test_after_30_days_nothing_brings_a_missing_entry_back(house: House) -> None:
    house.add()
    house.write([])
    house.load()

    house.clock.advance(days=29)
    still_there = ids(house.store.read())
    house.clock.advance(days=1)

    assert still_there == [1]
    assert house.store.read() == []
    with house.store.edit() as book:
        assert book.gone == {}
        with pytest.raises(NotFound):
            book.bring_back(1)


def test_a_missing_entry_that_is_put_back_by_hand_is_the_same_schedule_from_now_on(
    house: House,
) -> None:
    schedule = house.add()
    text = house.entries
    house.write([])
    house.load()

    house.write(text)
    with house.store.edit() as book:
        back = book.schedules[1]

    assert back == replace(schedule, version=2)
    old, new = house.edits[-1]
    assert old is not None
    assert (old.enabled, new.enabled) == (False, True)


def test_everybody_sees_that_a_missing_one_was_deleted_for_good(house: House) -> None:
    house.add()
    house.write([])
    house.load()
    other = house.a_store()
    assert ids(other.read()) == [1]

    with house.store.edit() as book:
        book.remove(1)

    assert other.read() == []
    assert house.store.read() == []


def test_no_id_an_id_met_twice_and_the_id_of_a_dead_one_get_new_ids(house: House) -> None:
    first, second = house.add_many(2)
    dead = house.entries[1]
    with house.store.edit() as book:
        book.remove(second.id)
    text = house.entries[0]
    nameless = {"campaign_id": 5, "schedule_time": "2026-04-01T08:00", "schedule_type": "weekly"}

    house.write([nameless, text | {"note": "a copy, above its original"}, text, dead])
    with house.store.edit() as book:
        found = {id_: s.note for id_, s in book.schedules.items()}

    assert found == {
        3: None,
        4: "a copy, above its original",
        first.id: "number 0",
        5: "number 1",
    }
    assert [entry["id"] for entry in house.entries] == [3, 4, 1, 5]
    assert house.kinds() == [Kind.NEW_ID] * 3
    assert [(old, new.id) for old, new in house.edits[2:]] == [(None, 3), (None, 4), (None, 5)]


def test_what_a_hand_left_out_has_the_contracts_values(house: House) -> None:
    house.load()
    house.write(
        [{"campaign_id": 5, "schedule_time": "2026-04-01T08:00:00", "schedule_type": "weekly"}]
    )

    with house.store.edit() as book:
        schedule = book.schedules[1]

    assert schedule == a_schedule(
        campaign_id=5,
        schedule_time=datetime(2026, 4, 1, 8),
        schedule_type=ScheduleType.WEEKLY,
        timezone="UTC",
        created_at=house.clock.now(),
    )


def test_an_id_never_used_is_accepted_and_the_next_ones_come_after_it(house: House) -> None:
    house.add()
    house.write([*house.entries, house.entries[0] | {"id": 40}])

    house.load()
    new = house.add()

    assert [entry["id"] for entry in house.entries] == [1, 40, 41]
    assert new.id == 41
    assert house.kinds() == []


def test_an_id_far_too_high_gets_another(house: House) -> None:
    house.add()
    house.write([house.entries[0], house.entries[0] | {"id": 2**31 - 1, "note": "high"}])

    house.load()
    house.add()

    assert [entry["id"] for entry in house.entries] == [1, 2, 3]


def test_new_ids_never_collide_with_a_file_that_is_older_than_the_database(house: House) -> None:
    text = a_written_entry(id=1)
    house.write([text | {"id": 1}, {k: v for k, v in text.items() if k != "id"}, text | {"id": 2}])

    house.load()

    assert [entry["id"] for entry in house.entries] == [1, 3, 2]
    assert [old for old, _ in house.edits] == [None, None, None]


def test_an_empty_list_takes_everything_out_and_gives_everything_back(house: House) -> None:
    house.add_many(3)
    house.write([])

    house.load()
    shown = house.store.read()
    with house.store.edit() as book:
        for id_ in list(book.gone):
            book.bring_back(id_)

    assert {s.status for s in shown} == {Status.CANCELLED}
    assert house.kinds() == [Kind.MISSING] * 3
    assert ids(house.store.read()) == [1, 2, 3]


def test_a_bad_entry_is_set_aside_and_stops_nobody_else(house: House) -> None:
    house.add_many(3)
    house.change(1, schedule_time="tomorrow", campaign_id="2", note="keep me")
    bad = house.entries[1]

    with house.store.edit() as book:
        assert list(book.schedules) == [1, 3]
        assert book.gone == {}
        sentence = book.bad[2]
        book.put(replace(book.schedules[3], note="goes on"), edit=True)

    assert "Entry 1 (id 2)" in sentence
    assert "schedule_time must be wall-clock time" in sentence
    assert "campaign_id must be a whole number" in sentence
    assert house.entries[1] == bad
    assert house.entries[2]["note"] == "goes on"
    assert ids(house.store.read()) == [1, 3]
    [notice] = house.notices()
    assert (notice.kind, notice.schedule_id) == (Kind.BAD_ENTRY, 2)
    assert notice.detail["index"] == 1
    assert [e["field"] for e in notice.detail["errors"]] == ["campaign_id", "schedule_time"]


@pytest.mark.parametrize("bad", [None, 1, "text", [], {}, [[]], {"id": "1"}, {"id": True}])
def test_what_is_no_schedule_at_all_stays_where_it_is(house: House, bad: Any) -> None:
    house.add_many(2)
    house.write([house.entries[0], bad, house.entries[1]])

    house.load()
    house.add()

    assert house.entries[1] == bad
    assert [entry["id"] for entry in house.entries[::2]] == [1, 2]
    assert ids(house.store.read()) == [1, 2, 3]
    assert house.kinds() == [Kind.BAD_ENTRY]


def test_a_bad_entry_is_told_once_until_it_changes(house: House) -> None:
    house.add_many(2)
    house.change(1, enabled="yes")

    for store in (house.store, house.a_store()):
        with store.edit() as book:
            book.put(
                replace(book.schedules[1], total_runs=book.schedules[1].total_runs + 1), edit=False
            )
    house.write([house.entries[1], house.entries[0]])  # another place is no other text
    house.load()
    told_first = len(house.notices())
    house.change(0, enabled="no")
    house.load()

    assert told_first == 1
    assert house.kinds() == [Kind.BAD_ENTRY] * 2
    assert ["resolved_at" in n.detail for n in house.notices()] == [False, True]


def test_a_bad_entry_that_is_mended_runs_again_and_may_break_again(house: House) -> None:
    house.add()
    good = house.entries[0]
    for timezone in ("Mars/Phobos", "Europe/Berlin", "Mars/Phobos"):
        house.write([good | {"timezone": timezone}])
        house.load()

    assert house.kinds() == [Kind.BAD_ENTRY] * 2
    house.write([good])
    with house.store.edit() as book:
        assert list(book.schedules) == [1]
    assert len(house.edits) == 1


def test_notices_are_listed_from_a_moment_on(house: House) -> None:
    house.add_many(2)
    house.write(house.entries[1:])
    house.load()
    house.clock.advance(hours=1)
    later = house.clock.now()
    house.write([])
    house.load()

    with house.database.read() as tx:
        assert [n.schedule_id for n in house.store.notices(tx, since=later)] == [2]
        assert [n.schedule_id for n in house.store.notices(tx, since=None)] == [2, 1]


def test_a_bad_entrys_id_is_never_given_to_another(house: House) -> None:
    house.load()
    house.write([a_written_entry(id=1, schedule_type="sometimes")])

    new = house.add()

    assert new.id == 2


def test_a_bad_twin_does_not_take_the_id_of_a_good_one(house: House) -> None:
    house.add()
    house.write([house.entries[0] | {"enabled": "maybe"}, house.entries[0]])

    with house.store.edit() as book:
        assert list(book.schedules) == [1]
        assert book.bad == {}

    assert [entry["id"] for entry in house.entries] == [1, 1]
