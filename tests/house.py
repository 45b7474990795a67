"""A whole Sendonce for tests: real SQLite, a real schedule file, the real sandbox server; the clock is the test's."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assembly import Edges, Sendonce, assemble
from foundation.clock import Clock
from foundation.settings import Settings
from scheduler.thread import SchedulerThread
from tests.fake_clock import FakeClock

BOOTSTRAP_TOKEN = "test-bootstrap-token"


def settings_for(folder: Path, **changes: str) -> Settings:
    """Return settings over a data directory in the folder, and a state folder of their own."""
    environ = {
        "SENDONCE_DATA_DIR": str(folder / "data"),
        "SENDONCE_STATE_DIR": str(folder / "state"),
        "SENDONCE_BOOTSTRAP_TOKEN": BOOTSTRAP_TOKEN,
        "SENDONCE_SECRET_KEY": "a secret key for tests",
    }
    return Settings.load(environ | {f"SENDONCE_{k.upper()}": v for k, v in changes.items()})


@contextmanager
def a_house(folder: Path, *, clock: Clock | None = None, **settings: str) -> Iterator[Sendonce]:
    """Give a house in which no thread runs: the test takes the scheduler's steps itself."""
    edges = Edges(clock=clock or FakeClock())
    house = assemble(settings_for(folder, **settings), edges)
    object.__setattr__(house, "thread", SchedulerThread())
    try:
        yield house
    finally:
        house.leader.step_down()
        house.sandbox.stop()
        house.database.close()


def bearer(token: str = BOOTSTRAP_TOKEN) -> dict[str, Any]:
    """Return the headers of a request with this token."""
    return {"Authorization": f"Bearer {token}"}
