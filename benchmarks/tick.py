"""What a tick costs when nothing is due, at any number of schedules, and when everything is."""

import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.sizes import Sizes
from benchmarks.timing import best_us
from scheduler.tick import check_and_execute_scheduled_campaigns
from tests.scheduler.office import Office, an_office


def tick_idle(sizes: Sizes) -> Iterator[Figure]:
    """Tick with nothing due: what a server does once a second for ever."""
    for count in sizes.schedules:
        with _with_schedules(count) as office:
            took = best_us(
                partial(check_and_execute_scheduled_campaigns, office.house.scheduler),
                calls=sizes.calls,
                rounds=sizes.rounds,
            )
        yield Figure(name=f"tick, nothing due of {count:,}", value=took, unit="us")


def tick_due(sizes: Sizes) -> Iterator[Figure]:
    """Tick when every schedule is due at once: all are claimed, their file is saved."""
    with _with_schedules(sizes.due) as office:
        office.at("2026-03-02T09:01")
        gc.collect()
        begun = time.perf_counter()
        made = office.tick()
        took = time.perf_counter() - begun
        assert len(made) == sizes.due
    yield Figure(name=f"tick, {sizes.due:,} due", value=took, unit="s")


@contextmanager
def _with_schedules(count: int) -> Iterator[Office]:
    """Give an office with so many daily schedules, none due yet, in a file that somebody wrote."""
    with tempfile.TemporaryDirectory() as folder, an_office(Path(folder)) as office:
        first = office.entry(office.schedule("2026-03-02T09:00"))
        office.write_entries([first | {"id": id_} for id_ in range(1, count + 1)])
        assert office.tick() == []
        assert len(office.entries()) == count
        yield office
