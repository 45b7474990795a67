"""A clock that jumps: not believed until there is reason to, and nothing is written with a time that is doubted."""

from datetime import timedelta

import pytest

from scheduler.steady_clock import Beat, Found, SteadyClock
from tests.fake_clock import FakeClock

WINDOW = timedelta(hours=1)
DAY = timedelta(days=1)


class Clocks:
    """A wall clock that somebody can set, and what Sendonce makes of it."""

    def __init__(self, *, is_synchronised: bool = False) -> None:
        self.wall = FakeClock()
        self.steady = SteadyClock(self.wall)
        self.is_synchronised = is_synchronised
        self.accepts = 0

    def jump(self, step: timedelta) -> None:
        self.wall.set_wall_clock(self.wall.now() + step)

    def look(self) -> Found:
        return self.steady.look(
            accepts=self.accepts, window=WINDOW, is_synchronised=lambda: self.is_synchronised
        )

    def minutes(self, count: int) -> list[Found]:
        """Let minutes go by, looking once in each; return what stood out."""
        found = []
        for _ in range(count):
            self.wall.advance(minutes=1)
            found.append(self.look())
        return [one for one in found if one is not Found.NOTHING_NEW]


def test_time_that_goes_by_is_no_step_however_long_nobody_looked() -> None:
    clocks = Clocks()

    clocks.wall.advance(days=40)

    assert clocks.look() is Found.NOTHING_NEW
    assert clocks.steady.now() == clocks.wall.now()


@pytest.mark.parametrize("seconds", [1, 59])
def test_a_small_step_forward_is_believed(seconds: int) -> None:
    clocks = Clocks()

    clocks.jump(timedelta(seconds=seconds))

    assert clocks.look() is Found.NOTHING_NEW
    assert clocks.steady.now() == clocks.wall.now()


def test_a_jump_is_not_believed_even_before_anybody_looked() -> None:
    clocks = Clocks()
    before = clocks.wall.now()

    clocks.jump(DAY)

    assert clocks.steady.now() == before
    assert clocks.steady.step == DAY
    clocks.wall.advance(seconds=5)
    assert clocks.steady.now() == before + timedelta(seconds=5)
    assert clocks.look() is Found.JUMPED


def test_it_is_believed_when_it_is_back() -> None:
    clocks = Clocks()
    clocks.jump(DAY)
    clocks.look()

    clocks.jump(-DAY)

    assert clocks.look() is Found.BELIEVED_AGAIN
    assert clocks.steady.step is None
    assert clocks.steady.now() == clocks.wall.now()


@pytest.mark.parametrize(
    ("step", "is_synchronised", "is_believed"),
    [
        (timedelta(minutes=30), False, True),
        (DAY, True, True),
        (DAY, False, False),
    ],
)
def test_one_that_holds_for_ten_minutes_is_believed_where_there_is_reason_to(
    step: timedelta, is_synchronised: bool, is_believed: bool
) -> None:
    clocks = Clocks(is_synchronised=is_synchronised)
    clocks.jump(step)
    clocks.look()

    assert clocks.minutes(9) == []
    assert clocks.minutes(2) == ([Found.BELIEVED_AGAIN] if is_believed else [])
    assert (clocks.steady.now() == clocks.wall.now()) is is_believed


def test_a_clock_that_goes_on_jumping_begins_its_ten_minutes_anew() -> None:
    clocks = Clocks(is_synchronised=True)
    clocks.jump(DAY)
    clocks.look()
    clocks.minutes(6)

    clocks.jump(DAY)

    assert clocks.minutes(9) == []
    assert clocks.minutes(2) == [Found.BELIEVED_AGAIN]


def test_a_person_may_accept_it_at_once() -> None:
    clocks = Clocks()
    clocks.accepts = 3
    clocks.jump(DAY)
    clocks.look()
    assert clocks.minutes(1) == []

    clocks.accepts = 4

    assert clocks.look() is Found.BELIEVED_AGAIN
    assert clocks.steady.now() == clocks.wall.now()


def test_a_step_back_is_taken_as_it_is() -> None:
    clocks = Clocks()

    clocks.jump(-DAY)

    assert clocks.steady.now() == clocks.wall.now()
    assert clocks.look() is Found.WENT_BACK
    assert clocks.look() is Found.NOTHING_NEW


def test_a_jump_between_two_processes_of_one_boot_is_measured_too() -> None:
    wall = FakeClock()
    last = Beat(now=wall.now(), elapsed=wall.elapsed())
    wall.advance(hours=5)
    wall.set_wall_clock(wall.now() + DAY)

    steady = SteadyClock(wall, last)

    assert steady.step == DAY
    assert steady.now() == last.now + timedelta(hours=5)


@pytest.mark.parametrize(
    ("step", "is_doubted"),
    [
        (timedelta(days=-1), True),
        (timedelta(seconds=-30), False),
        (timedelta(days=29), False),
        (timedelta(days=31), True),
    ],
)
def test_after_a_boot_a_clock_before_the_last_sign_of_life_or_a_month_after_it_is_doubted(
    step: timedelta, is_doubted: bool
) -> None:
    wall = FakeClock()
    last = Beat(now=wall.now() - step, elapsed=None)

    steady = SteadyClock(wall, last)

    assert (steady.step is not None) is is_doubted
    assert steady.now() == (last.now if is_doubted else wall.now())


def test_a_clock_that_was_doubted_at_the_start_is_accepted_by_what_is_said_after_it() -> None:
    wall = FakeClock()
    steady = SteadyClock(wall, Beat(now=wall.now() + DAY, elapsed=None))

    def look(accepts: int) -> Found:
        return steady.look(accepts=accepts, window=WINDOW, is_synchronised=lambda: False)

    assert look(7) is Found.JUMPED
    assert look(7) is Found.NOTHING_NEW
    assert look(8) is Found.WENT_BACK
    assert steady.now() == wall.now()
