"""The machine's clocks."""

import threading
from datetime import UTC, datetime, timedelta

from freezegun import freeze_time

from foundation.clock import SystemClock


def test_the_wall_clock_is_in_utc() -> None:
    with freeze_time("2026-03-29T03:30:00+02:00"):
        assert SystemClock().now() == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


def test_elapsed_time_never_goes_back() -> None:
    clock = SystemClock()

    readings = [clock.elapsed() for _ in range(100)]

    assert readings == sorted(readings)


def test_waiting_ends_when_the_event_is_set() -> None:
    event = threading.Event()
    threading.Timer(0.01, event.set).start()

    assert SystemClock().wait(event, timedelta(minutes=5)) is True
