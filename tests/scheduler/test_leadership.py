import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from foundation.errors import Unavailable
from scheduler.leadership import Leadership

_START = multiprocessing.get_context("spawn")


def _lead_and_stay(folder: str, to_parent: Connection) -> None:
    to_parent.send(Leadership(Path(folder) / "scheduler.lock").lead())
    signal.pause()


def _a_leading_process(folder: Path) -> multiprocessing.process.BaseProcess:
    mine, theirs = _START.Pipe()
    process = _START.Process(target=_lead_and_stay, args=(str(folder), theirs))
    process.start()
    assert mine.poll(30)
    assert mine.recv() is True
    return process


def test_the_first_leads_and_the_second_stands_by(tmp_path: Path) -> None:
    first, second = (Leadership(tmp_path / "scheduler.lock") for _ in range(2))

    answers = [first.lead(), second.lead(), first.lead()]

    assert answers == [True, False, True]
    first.resign()


def test_whoever_stands_by_leads_after_a_resignation(tmp_path: Path) -> None:
    first, second = (Leadership(tmp_path / "scheduler.lock") for _ in range(2))
    assert first.lead()

    first.resign()

    assert second.lead()
    assert not first.lead()
    second.resign()


def test_resigning_twice_or_without_leading_is_no_mistake(tmp_path: Path) -> None:
    first, second = (Leadership(tmp_path / "scheduler.lock") for _ in range(2))
    assert first.lead()

    second.resign()
    first.resign()
    first.resign()

    assert second.lead()
    second.resign()


def test_any_thread_may_keep_and_resign_what_another_took(tmp_path: Path) -> None:
    first, second = (Leadership(tmp_path / "scheduler.lock") for _ in range(2))
    assert first.lead()

    kept: list[bool] = []
    thread = threading.Thread(target=lambda: (kept.append(first.lead()), first.resign()))
    thread.start()
    thread.join()

    assert kept == [True]
    assert second.lead()
    second.resign()


def test_a_killed_leader_is_followed_and_a_living_one_is_not(tmp_path: Path) -> None:
    process = _a_leading_process(tmp_path)
    follower = Leadership(tmp_path / "scheduler.lock")
    assert not follower.lead()

    process.kill()
    process.join()

    assert follower.lead()
    follower.resign()


@pytest.mark.parametrize("replace", [True, False])
def test_a_leader_whose_lock_file_was_taken_away_steps_down_first(
    tmp_path: Path, replace: bool
) -> None:
    path = tmp_path / "scheduler.lock"
    first, second = Leadership(path), Leadership(path)
    assert first.lead()
    path.unlink()
    if replace:
        path.touch()

    answers = [second.lead(), first.lead(), first.lead()]

    assert answers == [True, False, False]
    second.resign()
    assert first.lead()
    first.resign()


def test_a_leader_alone_steps_down_before_it_leads_again_on_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "scheduler.lock"
    leadership = Leadership(path)
    assert leadership.lead()
    path.unlink()

    answers = [leadership.lead(), leadership.lead()]

    assert answers == [False, True]
    leadership.resign()


def test_a_forked_child_neither_leads_nor_keeps_the_lock_of_its_dead_parent(
    tmp_path: Path,
) -> None:
    path = tmp_path / "scheduler.lock"
    leadership = Leadership(path)
    assert leadership.lead()
    answer_from, answer_to = os.pipe()
    wait_from, wait_to = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(answer_to, b"leads" if leadership.lead() else b"stands by")
        leadership.resign()  # must not free the parent's lock
        os.write(answer_to, b".")
        os.close(wait_to)
        os.read(wait_from, 1)
        os._exit(0)

    answer = b""
    while not answer.endswith(b"."):
        answer += os.read(answer_from, 100)

    assert answer == b"stands by."
    other = Leadership(path)
    assert leadership.lead()
    assert not other.lead()
    leadership.resign()  # the child lives on and holds nothing
    assert other.lead()
    other.resign()
    os.close(wait_to)
    os.waitpid(child, 0)


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    leadership = Leadership(tmp_path / "nowhere" / "scheduler.lock")
    (tmp_path / "nowhere").write_text("a file, not a folder")

    with pytest.raises(Unavailable, match="no process can lead"):
        leadership.lead()
