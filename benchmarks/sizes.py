"""How much each benchmark measures: FULL for a baseline, QUICK while one is at work."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Numbers of things. rounds: the best of so many counts; seconds: what a cell with a round trip takes."""

    name: str
    repeats: int
    rounds: int
    calls: int
    leased: int
    schedules: tuple[int, ...]
    due: int
    csv_rows: int
    recipients: int
    messages: int
    plain_messages: int
    seconds: float
    round_trips_ms: tuple[int, ...]
    large_run: int


FULL = Sizes(
    name="full",
    repeats=3,
    rounds=7,
    calls=1000,
    leased=5000,
    schedules=(10, 10_000, 100_000),
    due=10_000,
    csv_rows=200_000,
    recipients=200_000,
    messages=20_000,
    plain_messages=2000,
    seconds=20,
    round_trips_ms=(0, 10, 50),
    large_run=1_000_000,
)

QUICK = Sizes(
    name="quick",
    repeats=1,
    rounds=5,
    calls=300,
    leased=1000,
    schedules=(10, 10_000),
    due=1000,
    csv_rows=20_000,
    recipients=20_000,
    messages=5000,
    plain_messages=500,
    seconds=4,
    round_trips_ms=(0, 10),
    large_run=50_000,
)
