import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from filelock import FileLock

from foundation.errors import Unavailable
from scheduler.model import ScheduleType, Status
from tests.builders import a_schedule
from tests.scheduler.house import House, PowerCut, fail, ids


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


def test_what_a_dead_process_left_of_a_save_is_swept_away(house: House) -> None:
    house.add()
    left = house.folder / ".scheduled_campaigns.json.4711.tmp"
    left.write_bytes(b"half an ent")

    house.store = house.a_store()
    house.load()

    assert not left.exists()


def test_ids_given_out_before_a_crash_are_not_given_out_again(house: House) -> None:
    house.add()
    with pytest.raises(RuntimeError):
        house.do(lambda book: book.add(lambda id_: a_schedule(id=id_)), fail)

    assert house.add().id == 3


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
    assert ids(house.store.read()) == [1]
    with pytest.raises(Unavailable, match="can't be read"):
        house.a_store().read()
    assert house.kinds() == []


def test_a_database_that_fails_after_the_file_is_caught_up_with(house: House) -> None:
    schedule = house.add()
    house.on_edit_fails = Unavailable("The database can't be written.")
    with house.store.edit() as book:
        book.put(replace(schedule, note="in the file"), edit=True)
    late = house.edits[1:]

    house.on_edit_fails = None
    house.load()

    assert late == []
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


def _fail(house: House, step: str | None) -> None:
    house.disk.fails = {step: PowerCut()} if step not in (None, "on_edit") else {}
    house.on_edit_fails = PowerCut() if step == "on_edit" else None
