"""The rate of an account, measured in simulated time: the loop's clock jumps to what comes next."""

import asyncio
import selectors
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from delivery.lane import Connection, Lane
from delivery.outcome import NotBegun
from tests.delivery.builders import books
from tests.delivery.test_lane import Desk, Greeted
from tests.fake_clock import FakeClock

_LOOK_SECONDS = 0.1
_ANSWERED_IN_SECONDS = 0.03


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: lets the clock go on by what the loop would wait."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self._clock.advance(seconds=timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_Jumping(clock))
        self._its = clock

    def time(self) -> float:
        return self._its.elapsed().total_seconds()


def departures(
    folder: Path, rates: Sequence[float], *, seconds: float, connections: int = 4
) -> list[list[float]]:
    """Return when messages went while an account had these rates, so many seconds each, from the start of each."""
    clock = FakeClock()
    went: list[list[float]] = []

    async def main(desk: Desk) -> None:
        def elapsed() -> float:
            return clock.elapsed().total_seconds()

        async def sends(lane: Lane, connection: Connection) -> None:
            greeted: Any = Greeted()
            lane.holds(connection, greeted)
            while (given := await lane.next(connection)) is not None:
                work: Any = given
                await lane.wait_for_rate(connection)
                went[-1].append(elapsed() - began)
                await asyncio.sleep(_ANSWERED_IN_SECONDS)
                await lane.record(connection, work, NotBegun())

        desk.behaves = sends
        for rate in rates:
            went.append([])
            began = elapsed()
            desk.account = replace(desk.account, rate_per_second=rate)
            while elapsed() < began + seconds:
                if room := desk.lane.room(desk.account):
                    desk.give(room)
                await asyncio.sleep(_LOOK_SECONDS)
        went.append([])  # what goes while it ends is nobody's matter
        desk.office.stopping.set()
        while desk.lane.tasks:
            desk.lane.close()
            await asyncio.sleep(_LOOK_SECONDS)
        await desk.end()

    with books(folder, clock) as b, asyncio.Runner(loop_factory=lambda: _Loop(clock)) as runner:

        async def at_a_desk() -> None:
            await main(Desk(b, rate_per_second=rates[0], max_connections=connections))

        runner.run(at_a_desk())
    return went[: len(rates)]


@pytest.mark.parametrize(
    ("rate", "seconds"), [(0.25, 200), (0.7, 100), (1, 60), (3, 20), (10, 6), (50, 3)]
)
def test_an_account_sends_at_its_rate(tmp_path: Path, rate: float, seconds: float) -> None:
    [times] = departures(tmp_path, [rate], seconds=seconds)

    burst = max(1, int(rate))
    assert len(times) == pytest.approx(burst + rate * seconds, rel=0.02, abs=1)
    # Never more than the rate allows in any stretch, and one second's worth.
    for first, start in enumerate(times):
        assert len(times) - first <= rate * (times[-1] - start) + burst + 1e-6


def test_a_rate_below_one_a_second_sends_one_at_a_time(tmp_path: Path) -> None:
    [times] = departures(tmp_path, [0.25], seconds=60)

    assert {round(after - before, 2) for before, after in pairwise(times)} == {4.0}


@pytest.mark.parametrize(
    "rates", [(10, 40), (40, 10), (0.5, 20), (20, 0.5), (10, 11, 10, 11, 10, 11)]
)
def test_a_change_of_the_rate_holds_at_once_and_lets_no_second_burst_through(
    tmp_path: Path, rates: Sequence[float]
) -> None:
    parts = departures(tmp_path, rates, seconds=4)

    for rate, times in zip(rates[1:], parts[1:], strict=True):
        assert len(times) == pytest.approx(rate * 4, rel=0.05, abs=2)
