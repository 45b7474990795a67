"""Whatever happens, in whatever order, wherever a process dies: each recipient of a run is written to once.

A fixed number of histories always; with SIMULATED_STEPS=1000000 as many as make up so many steps (make simulate).
"""

import os
import sys
import tempfile
from pathlib import Path
from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings

from foundation.clock import SystemClock
from tests.simulation.history import History
from tests.simulation.world import a_world

MEMORY = Path("/dev/shm")  # nothing waits for a disk
HISTORIES = 20
AT_ONCE = 200


class Tally:
    histories = 0
    steps = 0


def live(dice: Random) -> None:
    """Live through one history; raises Broken where the promise is broken."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    with (
        pytest.MonkeyPatch.context() as patch,
        a_world(folder, dice, patch, retry_delay="5") as world,
    ):
        try:
            History(world).run()
        except BaseException:
            for line in world.story:
                note(line)
            raise
        finally:
            Tally.histories += 1
            Tally.steps += world.steps


def explore(number: int, histories: int) -> None:
    """Let hypothesis choose so many histories, beginning at this number."""

    @seed(number)
    @settings(
        max_examples=histories,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(dice=st.randoms(use_true_random=False))
    def run(dice: Random) -> None:
        live(dice)

    run()


@pytest.mark.timeout(0)
def test_the_promise_holds_in_every_history(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = int(os.environ.get("SIMULATED_STEPS", "0"))
    first = int(os.environ.get("SIMULATED_FROM", "0"))
    clock = SystemClock()
    begun = clock.elapsed()

    explore(first, HISTORIES)
    number = first
    while Tally.steps < wanted:
        number += 1
        explore(number, AT_ONCE)

    seconds = (clock.elapsed() - begun).total_seconds()
    with capsys.disabled():
        sys.stdout.write(
            f" {Tally.histories} histories, {Tally.steps} steps, {seconds:.0f} s, seeds {first} to {number} "
        )
