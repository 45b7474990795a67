import contextlib
import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from foundation.errors import NotFound, Unavailable
from scheduler.json_store import Book, JsonStore, save_scheduled_campaigns
from scheduler.model import Schedule, ScheduleType, Status
from scheduler.reconcile import Kind
from scheduler.store import Notice
from scheduler.tables import schedule_copies
from storage import sequence
from storage.database import Database, Tx
from storage.disk import OsDisk
from tests.builders import a_database, a_schedule
from tests.fake_clock import FakeClock


class PowerCut(BaseException):
    """The process dies here."""


@dataclass
class FaultyDisk(OsDisk):
    """The real disk, but a step can be made to fail."""

    fails: dict[str, BaseException] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def read(self, path: Path) -> bytes:
        self._step("read")
        return super().read(path)

    def write_temp(self, path: Path, data: bytes) -> Path:
        self._step("write_temp")
        return super().write_temp(path, data)

    def sync(self, path: Path) -> None:
        self._step("sync")
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        self._step("sync_folder")
        super().sync_folder(path)

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fails:
            raise self.fails[name]


@dataclass
class House:
    """A data directory; every store() is what another process would have."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    disk: FaultyDisk = field(default_factory=FaultyDisk)
    edits: list[tuple[Schedule | None, Schedule]] = field(default_factory=list)
    on_edit_fails: BaseException | None = None
    database: Database = field(init=False)

    def __post_init__(self) -> None:
        self.database = a_database(self.folder)
        self.store = self.a_store()

    def a_store(self, **changes: Any) -> JsonStore:
        return JsonStore(
            self.folder,
            disk=self.disk,
            database=self.database,
            clock=self.clock,
            on_edit=self._on_edit,
            **changes,
        )

    @property
    def path(self) -> Path:
        return self.folder / "scheduled_campaigns.json"

    @property
    def entries(self) -> list[Any]:
        loaded: list[Any] = json.loads(self.path.read_bytes())
        return loaded

    def add(self, **changes: Any) -> Schedule:
        with self.store.edit() as book:
            return book.add(lambda id_: a_schedule(id=id_, **changes))

    def add_many(self, count: int) -> list[Schedule]:
        return [self.add(note=f"number {n}") for n in range(count)]

    def load(self) -> None:
        self.do()

    def do(self, *steps: Callable[[Book], object]) -> None:
        """Take these steps in one block."""
        with self.store.edit() as book:
            for step in steps:
                step(book)

    def write(self, content: bytes | list[Any]) -> None:
        """Change the file as a person with an editor does: in place, some seconds ago."""
        self.path.write_bytes(
            content if isinstance(content, bytes) else json.dumps(content).encode()
        )
        self.date_file(seconds_ago=3)

    def date_file(self, *, seconds_ago: float) -> None:
        written = (self.clock.now() - timedelta(seconds=seconds_ago)).timestamp()
        os.utime(self.path, (written, written))

    def change(self, index: int, **changes: Any) -> None:
        entries = self.entries
        entries[index] |= changes
        self.write(entries)

    def notices(self) -> list[Notice]:
        with self.database.read() as tx:
            return self.store.notices(tx, since=None)

    def kinds(self) -> list[Kind]:
        return [notice.kind for notice in reversed(self.notices())]

    def quarantined(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.folder / "quarantine").glob("*"))]

    def _on_edit(self, tx: Tx, old: Schedule | None, new: Schedule, now: datetime) -> None:
        assert now == self.clock.now()
        if self.on_edit_fails is not None:
            raise self.on_edit_fails
        self.edits.append((old, new))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


def fail(book: Book) -> None:
    raise RuntimeError


def ids(schedules: list[Schedule]) -> list[int]:
    return [schedule.id for schedule in schedules]


# The first start


def test_a_new_directory_begins_with_an_empty_list_and_tells_nothing(house: House) -> None:
    assert house.store.read() == []

    house.load()

    assert house.path.read_bytes() == b"[]\n"
    assert house.path.stat().st_mode & 0o777 == 0o600
    assert house.kinds() == []


def test_a_store_that_was_begun_and_is_gone_is_damage_even_without_schedules(house: House) -> None:
    house.load()
    house.path.unlink()

    with pytest.raises(Unavailable, match="it is gone"):
        house.load()
    house.clock.advance(seconds=2)
    house.load()

    assert house.entries == []
    assert house.kinds() == [Kind.DAMAGE]


# Edits through the program


def test_an_added_schedule_is_in_the_file_and_in_the_copy(house: House) -> None:
    schedule = house.add()

    assert schedule.id == 1
    assert schedule.version == 1
    assert house.entries == [
        {
            "id": 1,
            "version": 1,
            "campaign_id": 1,
            "schedule_time": "2026-03-01T09:00:00",
            "schedule_type": "daily",
            "repeat_interval": None,
            "rrule": None,
            "timezone": "Europe/Berlin",
            "enabled": True,
            "created_at": "2026-02-28T12:00:00Z",
            "ends_at": None,
            "max_runs": None,
            "catch_up": "hold",
            "overlap": "wait",
            "note": None,
            "last_run": None,
            "next_run": None,
            "total_runs": 0,
            "status": "pending",
        }
    ]
    assert house.edits == [(None, schedule)]
    assert house.a_store().read() == [schedule]


def test_an_edit_raises_the_version_once_and_tells_the_old_and_the_new(house: House) -> None:
    old = house.add()

    with house.store.edit() as book:
        book.put(replace(old, note="first"), edit=True)
        new = book.put(replace(old, note="second"), edit=True)

    assert (new.version, new.note) == (2, "second")
    assert house.edits[1:] == [(old, new)]
    assert house.store.read() == [new]
    assert house.a_store().read() == [new]


def test_the_ledgers_fields_are_saved_without_an_edit(house: House) -> None:
    schedule = house.add()

    with house.store.edit() as book:
        book.put(replace(schedule, total_runs=3, status=Status.RUNNING), edit=False)

    assert house.entries[0]["total_runs"] == 3
    assert house.entries[0]["version"] == 1
    assert len(house.edits) == 1


def test_a_definition_that_ended_by_itself_is_followed_by_the_copy_without_an_edit(
    house: House,
) -> None:
    schedule = house.add(schedule_type=ScheduleType.ONCE)

    with house.store.edit() as book:
        book.put(replace(schedule, enabled=False, status=Status.COMPLETED), edit=False)
    house.write(house.entries)  # as another program would, so that it is compared
    house.store = house.a_store()
    house.load()

    assert house.entries[0]["enabled"] is False
    assert house.entries[0]["version"] == 1
    assert len(house.edits) == 1


def test_nothing_is_saved_when_the_block_raises(house: House) -> None:
    schedule = house.add()
    before = house.path.read_bytes()

    with pytest.raises(RuntimeError):
        house.do(lambda book: book.put(replace(schedule, note="lost"), edit=True), fail)

    assert house.path.read_bytes() == before
    assert house.store.read() == [schedule]
    assert len(house.edits) == 1


def test_nothing_is_written_when_nothing_changed(house: House) -> None:
    schedule = house.add()
    stamp = house.store.stamp()

    with house.store.edit() as book:
        book.put(schedule, edit=False)

    assert house.store.stamp() == stamp


def test_all_changes_of_a_block_are_one_save(house: House) -> None:
    first, second = house.add_many(2)
    house.disk.calls.clear()

    with house.store.edit() as book:
        book.put(replace(first, total_runs=1), edit=False)
        book.put(replace(second, note="changed"), edit=True)
        book.add(lambda id_: a_schedule(id=id_))

    assert house.disk.calls == ["write_temp", "sync", "rename", "sync_folder"]


def test_a_removed_schedule_never_comes_back_and_its_id_is_not_used_again(house: House) -> None:
    first, second = house.add_many(2)

    with house.store.edit() as book:
        book.remove(second.id)
    third = house.add()

    assert ids(house.store.read()) == [first.id, third.id]
    assert third.id == 3
    with house.store.edit() as book, pytest.raises(NotFound):
        book.bring_back(second.id)


def test_a_schedule_that_does_not_exist_can_neither_be_put_nor_removed(house: House) -> None:
    with house.store.edit() as book:
        with pytest.raises(NotFound):
            book.put(a_schedule(id=9), edit=True)
        with pytest.raises(NotFound):
            book.remove(9)


def test_entries_keep_their_order_and_the_keys_we_do_not_know(house: House) -> None:
    house.add_many(3)
    entries = [house.entries[2] | {"colour": {"deep": [1, None, "ä"]}}, *house.entries[:2]]
    house.write(entries)
    house.load()

    with house.store.edit() as book:
        book.put(replace(book.schedules[3], total_runs=1), edit=False)

    assert [entry["id"] for entry in house.entries] == [3, 1, 2]
    assert house.entries[0]["colour"] == {"deep": [1, None, "ä"]}


def test_loading_unchanged_schedules_reads_nothing(house: House) -> None:
    house.add()
    house.disk.calls.clear()

    house.store.read()
    with house.store.edit() as book:
        assert list(book.schedules) == [1]

    assert house.disk.calls == []


def test_what_another_process_changed_is_seen(house: House) -> None:
    schedule = house.add()
    other = house.a_store()

    with other.edit() as book:
        book.put(replace(schedule, note="theirs"), edit=True)

    assert house.store.read()[0].note == "theirs"
    with house.store.edit() as book:
        assert book.schedules[1].note == "theirs"
        assert book.foreign


def test_saves_within_one_tick_of_the_file_systems_clock_have_different_stamps(
    house: House,
) -> None:
    house.add()
    stamps = []

    for status in [Status.RUNNING, Status.PENDING] * 20:
        with house.store.edit() as book:
            book.put(replace(book.schedules[1], status=status), edit=False)
        stamps.append(house.store.stamp())

    assert len(set(stamps)) == 40


def test_a_write_by_hand_right_behind_a_save_is_seen(house: House) -> None:
    schedule = house.add()
    seen = []

    for _ in range(20):
        with house.store.edit() as book:
            book.put(replace(schedule, note="ours"), edit=True)
        house.path.write_bytes(house.path.read_bytes().replace(b"ours", b"hand"))
        seen.append(house.store.read()[0].note)

    assert seen == ["hand"] * 20


def test_foreign_and_edited_hold_until_somebody_has_dealt_with_them(house: House) -> None:
    house.add()
    house.change(0, note="by hand")

    with house.store.edit() as first:
        pass
    with pytest.raises(RuntimeError):
        house.do(lambda book: book.refreshed(), fail)
    with house.store.edit() as second:
        second.refreshed()
    with house.store.edit() as third:
        pass

    assert [book.foreign for book in (first, second, third)] == [True, True, False]
    assert [book.edited for book in (first, second, third)] == [{1}, {1}, frozenset()]


# Edits by hand


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


def a_written_entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "campaign_id": 1,
        "schedule_time": "2026-04-01T08:00",
        "schedule_type": "daily",
    } | changes


# Bad entries


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


# Damage


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   \n",
        b"[",
        b"{}",
        b"null",
        b"[1,]",
        b"\x00" * 50,
        b"\xff\xfe",
        b'[{"id": 1}',
        b"[" * 900 + b"]" * 900,
    ],
)
def test_a_damaged_file_is_mended_from_the_copy_and_what_it_held_is_kept(
    house: House, content: bytes
) -> None:
    schedules = house.add_many(2)
    house.write(content)

    with house.store.edit() as book:
        assert list(book.schedules.values()) == schedules

    assert [entry["id"] for entry in house.entries] == [1, 2]
    assert house.quarantined() == [content]
    [notice] = house.notices()
    assert notice.kind is Kind.DAMAGE
    assert notice.detail["quarantine"] in notice.message
    assert len(house.edits) == 2


def test_a_file_that_is_just_being_written_is_waited_for(house: House) -> None:
    schedules = house.add_many(2)
    text = house.path.read_bytes()
    house.path.write_bytes(text[:100])
    house.date_file(seconds_ago=0)

    with pytest.raises(Unavailable, match="mended in 2 seconds"):
        house.load()
    assert house.store.read() == schedules
    house.clock.advance(seconds=1.9)
    house.path.write_bytes(text[:200])  # still at it
    house.date_file(seconds_ago=0)
    house.clock.advance(seconds=1.9)
    with pytest.raises(Unavailable):
        house.load()
    house.path.write_bytes(text)
    house.load()

    assert house.store.read() == schedules
    assert house.kinds() == []
    assert house.quarantined() == []


def test_a_damaged_file_dated_in_the_future_is_mended_after_two_seconds(house: House) -> None:
    house.add()
    house.write(b"oops")
    house.date_file(seconds_ago=-3600)

    with pytest.raises(Unavailable):
        house.load()
    house.clock.advance(seconds=2)
    house.load()

    assert ids(house.store.read()) == [1]


def test_a_file_that_is_gone_is_mended_when_it_stays_away(house: House) -> None:
    schedules = house.add_many(2)
    house.path.unlink()

    with pytest.raises(Unavailable):
        house.load()
    assert house.store.read() == schedules
    assert house.a_store().read() == schedules
    house.clock.advance(seconds=2)
    house.load()

    assert house.store.read() == schedules
    assert house.kinds() == [Kind.DAMAGE]
    assert house.quarantined() == []


def test_a_process_that_starts_on_a_damaged_file_shows_the_copy(house: House) -> None:
    schedules = house.add_many(2)
    house.write(b"oops")

    assert house.a_store().read() == schedules


def test_mending_keeps_the_order_that_was_known(house: House) -> None:
    house.add_many(3)
    house.write([house.entries[2], house.entries[0], house.entries[1]])
    house.load()

    house.write(b"oops")
    house.load()

    assert [entry["id"] for entry in house.entries] == [3, 1, 2]


def test_nothing_in_quarantine_is_ever_overwritten(house: House) -> None:
    house.add()

    for content in (b"one", b"two", b"three"):
        house.write(content)
        house.load()

    assert sorted(house.quarantined()) == [b"one", b"three", b"two"]


def test_mending_brings_back_nothing_that_was_deleted_or_missing(house: House) -> None:
    house.add_many(3)
    with house.store.edit() as book:
        book.remove(1)
    house.write(house.entries[1:])
    house.load()

    house.write(b"oops")
    house.load()

    assert [entry["id"] for entry in house.entries] == [3]


def test_a_file_with_a_byte_order_mark_is_no_damage(house: House) -> None:
    house.add()
    house.write(b"\xef\xbb\xbf" + house.path.read_bytes())

    house.load()

    assert house.kinds() == []
    assert ids(house.store.read()) == [1]


@st.composite
def _damaged(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    kind = draw(st.sampled_from(["flip", "cut", "insert", "drop"]))
    where = draw(st.floats(0, 1, exclude_max=True))
    what = draw(
        st.binary(min_size=1, max_size=3) | st.sampled_from([b"[", b"]", b"{}", b",", b'"'])
    )
    bit = draw(st.integers(0, 7))

    def damage(data: bytes) -> bytes:
        at = int(where * len(data))
        match kind:
            case "flip":
                return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
            case "cut":
                return data[:at]
            case "insert":
                return data[:at] + what + data[at:]
            case _:
                return data[:at] + data[at + len(what) :]

    return damage


@settings(
    max_examples=75,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damage=_damaged(), restarted=st.booleans())
def test_no_damage_loses_a_schedule(
    house: House, damage: Callable[[bytes], bytes], restarted: bool
) -> None:
    _start_over(house)
    before = {s.id: s for s in house.add_many(3)}
    damaged = damage(house.path.read_bytes())
    house.write(damaged)
    if restarted:
        house.store = house.a_store()

    with house.store.edit() as book:
        live, gone, bad = dict(book.schedules), dict(book.gone), dict(book.bad)

    assert set(before) <= {*live, *gone, *bad}
    try:
        was_a_list = isinstance(_loads(damaged), list)
    except ValueError:
        was_a_list = False
    if not was_a_list:
        assert live == before
        assert damaged in house.quarantined()
    with house.database.read() as tx:
        copies = {row.id: row.entry for row in tx.execute(select(schedule_copies))}
    assert set(before) <= set(copies)
    for id_ in set(gone) & set(before):
        assert copies[id_]["note"] == before[id_].note
    assert json.loads(house.path.read_bytes()) is not None
    _start_over(house)


def _loads(data: bytes) -> Any:
    return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))


def _start_over(house: House) -> None:
    with house.store.edit() as book:
        for id_ in [*book.schedules, *book.gone]:
            book.remove(id_)
    house.write([])
    house.load()


# Crashes


@pytest.mark.parametrize("step", ["write_temp", "sync", "rename"])
def test_a_crash_before_the_file_is_there_leaves_the_old_one(house: House, step: str) -> None:
    schedule = house.add()
    house.disk.fails = {step: PowerCut()}
    with pytest.raises(PowerCut):
        house.do(
            lambda book: book.put(replace(schedule, note="lost"), edit=True),
            lambda book: book.add(lambda id_: a_schedule(id=id_)),
        )

    house.disk.fails = {}
    house.store = house.a_store()
    house.load()

    assert house.store.read() == [schedule]
    assert len(house.edits) == 1
    assert house.add().id == 3


@pytest.mark.parametrize("step", ["sync_folder", "on_edit"])
@pytest.mark.parametrize("restarted", [True, False])
def test_an_edit_that_reached_the_file_is_finished_exactly_once(
    house: House, step: str, restarted: bool
) -> None:
    schedule = house.add()
    _fail(house, step)
    with pytest.raises(PowerCut):
        house.do(
            lambda book: book.put(replace(schedule, note="reached the file"), edit=True),
            lambda book: book.add(lambda id_: a_schedule(id=id_, note="new")),
        )

    _fail(house, None)
    if restarted:
        house.store = house.a_store()
    house.load()
    house.load()
    house.store = house.a_store()
    house.load()

    changed = replace(schedule, version=2, note="reached the file")
    new = a_schedule(id=2, note="new")
    assert house.store.read() == [changed, new]
    assert house.edits[1:] == [(schedule, changed), (None, new)]
    assert house.kinds() == []


@pytest.mark.parametrize("step", ["write_temp", "rename", "sync_folder", "on_edit"])
def test_an_edit_by_hand_interrupted_anywhere_is_taken_over_exactly_once(
    house: House, step: str
) -> None:
    house.add()
    text = house.entries[0]
    nameless = {k: v for k, v in text.items() if k != "id"}
    house.write([text | {"note": "by hand"}, nameless | {"note": "new"}])
    _fail(house, step)
    with pytest.raises(PowerCut):
        house.load()

    _fail(house, None)
    house.store = house.a_store()
    house.load()
    house.load()

    assert [(s.note, s.version) for s in house.store.read()] == [("by hand", 2), ("new", 1)]
    assert [(old and old.id, new.note) for old, new in house.edits[1:]] == [
        (1, "by hand"),
        (None, "new"),
    ]


@pytest.mark.parametrize("step", ["write_temp", "rename", "sync_folder"])
def test_a_text_that_loses_is_in_a_notice_even_if_the_process_dies_over_it(
    house: House, step: str
) -> None:
    schedule = house.add()
    old = house.entries[0]
    with house.store.edit() as book:
        book.put(replace(schedule, note="newer"), edit=True)
    house.write([old | {"note": "precious"}])
    _fail(house, step)
    with pytest.raises(PowerCut):
        house.load()

    _fail(house, None)
    house.store = house.a_store()
    house.load()

    assert {n.detail["file"]["note"] for n in house.notices()} == {"precious"}
    assert house.store.read()[0].note == "newer"


@pytest.mark.parametrize("step", ["sync_folder", "on_edit"])
def test_a_deletion_interrupted_by_a_crash_never_runs_again_by_itself(
    house: House, step: str
) -> None:
    house.add_many(2)
    _fail(house, step)
    with pytest.raises(PowerCut):
        house.do(
            lambda book: book.remove(1),
            lambda book: book.put(replace(book.schedules[2], note="changed"), edit=True),
        )

    _fail(house, None)
    house.store = house.a_store()
    house.load()

    assert [(s.id, s.status) for s in house.store.read()] == [
        (2, Status.PENDING),
        (1, Status.CANCELLED),
    ]


def test_a_schedule_that_ended_by_itself_stays_ended_after_a_crash(house: House) -> None:
    schedule = house.add(schedule_type=ScheduleType.ONCE)
    ended = replace(schedule, enabled=False, status=Status.COMPLETED, total_runs=1)
    house.disk.fails = {"sync_folder": PowerCut()}
    with pytest.raises(PowerCut), house.store.edit() as book:
        book.put(ended, edit=False)

    house.disk.fails = {}
    house.store = house.a_store()
    house.load()
    house.load()

    [after] = house.store.read()
    assert (after.enabled, after.total_runs, after.status) == (False, 1, Status.COMPLETED)
    assert [new.enabled for _, new in house.edits[1:]] == [False]


def test_a_crash_while_mending_loses_nothing(house: House) -> None:
    schedules = house.add_many(2)
    house.write(b"oops")
    for step in ("write_temp", "rename"):
        _fail(house, step)
        with pytest.raises(PowerCut):
            house.load()

    _fail(house, None)
    house.store = house.a_store()
    house.load()

    assert house.store.read() == schedules
    assert b"oops" in house.quarantined()


def test_ids_given_out_before_a_crash_are_not_given_out_again(house: House) -> None:
    house.add()
    with pytest.raises(RuntimeError):
        house.do(lambda book: book.add(lambda id_: a_schedule(id=id_)), fail)

    assert house.add().id == 3


def _fail(house: House, step: str | None) -> None:
    house.disk.fails = {step: PowerCut()} if step not in (None, "on_edit") else {}
    house.on_edit_fails = PowerCut() if step == "on_edit" else None


# Faults


@pytest.mark.parametrize("step", ["write_temp", "sync", "rename"])
def test_a_file_that_cannot_be_written_refuses_the_edit(house: House, step: str) -> None:
    schedule = house.add()
    before = house.path.read_bytes()
    house.disk.fails = {step: OSError(28, "No space left on device")}

    with (
        pytest.raises(Unavailable, match=r"can't be written.*No space left"),
        house.store.edit() as book,
    ):
        book.put(replace(schedule, note="lost"), edit=True)

    assert house.path.read_bytes() == before
    assert house.store.read() == [schedule]
    assert len(house.edits) == 1
    assert sorted(p.name for p in house.folder.glob(".*.tmp")) == []


def test_the_block_still_runs_while_the_file_cannot_be_written(house: House) -> None:
    schedule = house.add()
    house.disk.fails = {"write_temp": OSError(30, "Read-only file system")}
    seen: list[int] = []

    for _ in range(3):
        with pytest.raises(Unavailable):
            house.do(
                lambda book: seen.extend(book.schedules),
                lambda book: book.put(replace(schedule, total_runs=1), edit=False),
            )

    assert seen == [1, 1, 1]


def test_a_file_that_cannot_be_read_is_no_damage(house: House) -> None:
    house.add()
    house.path.unlink()
    house.path.mkdir()

    with pytest.raises(Unavailable, match="can't be read"):
        house.load()

    assert house.kinds() == []


def test_a_database_that_fails_after_the_file_is_caught_up_with(house: House) -> None:
    schedule = house.add()
    house.on_edit_fails = Unavailable("The database can't be written.")
    with pytest.raises(Unavailable), house.store.edit() as book:
        book.put(replace(schedule, note="in the file"), edit=True)

    house.on_edit_fails = None
    house.load()

    assert house.edits[1:] == [(schedule, replace(schedule, version=2, note="in the file"))]


def test_whoever_waits_too_long_for_the_lock_is_told(house: House) -> None:
    house.load()
    impatient = house.a_store(lock_wait=timedelta(seconds=0.05))
    lock = FileLock(house.folder / "scheduled_campaigns.json.lock", thread_local=False)

    with lock, pytest.raises(Unavailable, match="changed by somebody else"):
        _in_a_thread(impatient.edit().__enter__)

    with impatient.edit() as book:
        assert book.schedules == {}


def test_a_thread_that_waits_too_long_for_another_is_told(house: House) -> None:
    impatient = house.a_store(lock_wait=timedelta(seconds=0.05))

    with impatient.edit(), pytest.raises(Unavailable, match="changed by somebody else"):
        _in_a_thread(impatient.edit().__enter__)


def test_reading_never_waits_for_the_lock(house: House) -> None:
    house.add()
    reader = house.a_store()
    writer = house.a_store()

    with writer.edit() as book:
        book.put(replace(book.schedules[1], note="not yet"), edit=True)
        read = _in_a_thread(reader.read)

    assert [s.note for s in read] == [None]
    assert [s.note for s in reader.read()] == ["not yet"]


def _in_a_thread(function: Callable[[], Any]) -> Any:
    answers: list[Any] = []

    def call() -> None:
        try:
            answers.append((function(), None))
        except Exception as error:
            answers.append((None, error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    [(answer, error)] = answers
    if error is not None:
        raise error
    return answer


# Several at once


def _add_25(folder: str, worker: int) -> None:
    database = Database(Path(folder) / "sendonce.db")
    store = JsonStore(
        Path(folder),
        disk=OsDisk(),
        database=database,
        clock=FakeClock(),
        on_edit=lambda tx, old, new, now: None,
    )
    for n in range(25):
        with store.edit() as book:
            book.add(lambda id_: a_schedule(id=id_, note=f"{worker}/{n}"))  # noqa: B023
    database.close()


def test_four_processes_that_add_at_once_lose_nothing(house: House) -> None:
    start = multiprocessing.get_context("spawn")
    processes = [start.Process(target=_add_25, args=(str(house.folder), w)) for w in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 4
    schedules = house.store.read()
    assert sorted(ids(schedules)) == list(range(1, 101))
    assert {s.note for s in schedules} == {f"{w}/{n}" for w in range(4) for n in range(25)}
    house.load()
    assert house.kinds() == []
    with house.database.read() as tx:
        assert sequence.last_id(tx, "schedules") == 100


def test_four_threads_that_edit_one_schedule_lose_no_version(house: House) -> None:
    house.add()

    def edit_ten_times() -> None:
        for _ in range(10):
            with house.store.edit() as book:
                book.put(book.schedules[1], edit=True)

    threads = [threading.Thread(target=edit_ten_times) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert house.store.read()[0].version == 41
    assert len(house.edits) == 41


def test_the_block_may_open_transactions_of_its_own(house: House) -> None:
    with house.store.edit() as book:
        with house.database.write(durable=True) as tx:
            sequence.next_id(tx, "something")
        book.add(lambda id_: a_schedule(id=id_))

    assert ids(house.store.read()) == [1]


def test_a_forked_child_can_edit_though_a_thread_of_its_parent_held_the_lock(house: House) -> None:
    house.add()
    with house.store.edit():
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                house.store.read()
                impatient = house.a_store(lock_wait=timedelta(seconds=0.05))
                try:
                    with impatient.edit():
                        os._exit(1)
                except Unavailable:
                    os._exit(0)
            os._exit(2)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert house.add().id == 2


# The one save


def test_the_batch_is_readable_and_private(tmp_path: Path) -> None:
    path = tmp_path / "scheduled_campaigns.json"

    save_scheduled_campaigns(OsDisk(), path, [{"id": 1, "note": "Grüße"}])

    assert path.read_text(encoding="utf-8") == '[\n  {\n    "id": 1,\n    "note": "Grüße"\n  }\n]\n'
    assert path.stat().st_mode & 0o777 == 0o600


def test_instants_keep_their_microseconds(house: House) -> None:
    house.add(created_at=datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC))

    assert house.entries[0]["created_at"] == "2026-03-01T08:00:00.123456Z"
    assert house.a_store().read() == house.store.read()
