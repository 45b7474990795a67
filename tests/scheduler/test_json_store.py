import contextlib
import multiprocessing
import os
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foundation.errors import NotFound, Unavailable
from scheduler.json_store import JsonStore, save_scheduled_campaigns
from scheduler.model import ScheduleType, Status
from scheduler.reconcile import Kind
from storage import sequence
from storage.database import Database
from storage.disk import OsDisk
from tests.builders import a_schedule
from tests.fake_clock import FakeClock
from tests.scheduler.house import House, fail, ids


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


def test_the_batch_is_readable_and_private(tmp_path: Path) -> None:
    path = tmp_path / "scheduled_campaigns.json"

    save_scheduled_campaigns(OsDisk(), path, [{"id": 1, "note": "Grüße"}])

    assert path.read_text(encoding="utf-8") == '[\n  {\n    "id": 1,\n    "note": "Grüße"\n  }\n]\n'
    assert path.stat().st_mode & 0o777 == 0o600


def test_instants_keep_their_microseconds(house: House) -> None:
    house.add(created_at=datetime(2026, 3, 1, 8, 0, 0, 123456, tzinfo=UTC))

    assert house.entries[0]["created_at"] == "2026-03-01T08:00:00.123456Z"
    assert house.a_store().read() == house.store.read()
