"""A whole Sendonce for tests: real SQLite, a real schedule file, the real sandbox server; the clock is the test's."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from flask import Flask
from jinja2.bccache import Bucket, BytecodeCache

from assembly import Edges, Sendonce, assemble
from foundation.clock import Clock
from foundation.settings import Settings
from scheduler.thread import SchedulerThread, step
from storage.database import Database
from storage.disk import Disk, OsDisk
from storage.migrate import migrate
from tests.fake_clock import FakeClock
from web.server import build_flask

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
def a_house(
    folder: Path, *, clock: Clock | None = None, disk: Disk | None = None, **settings: str
) -> Iterator[Sendonce]:
    """Give a house in which no thread runs: the test takes the scheduler's steps itself."""
    _lay_tables(folder / "data")
    edges = Edges(clock=clock or FakeClock(), disk=disk or OsDisk())
    house = assemble(settings_for(folder, **settings), edges)
    object.__setattr__(house, "thread", SchedulerThread())
    try:
        yield house
    finally:
        _apps.pop(id(house), None)
        house.leader.step_down()
        house.sandbox.stop()
        house.database.close()


class Idle:
    """A dispatcher that sends nothing, for a test that leads with a clock of its own."""

    is_alive = True

    def start(self, epoch: int) -> None:
        """Begin nothing."""

    def stop(self) -> None:
        """End nothing."""


def tick_of(house: Sendonce) -> None:
    """Let the house lead, where it does not yet, and tick once; nothing is sent."""
    house.leader._dispatcher = Idle()
    step(house.scheduler, house.leader)


def app_of(house: Sendonce) -> Flask:
    """Return the house's one application: building it takes longer than most tests."""
    if id(house) not in _apps:
        _apps[id(house)] = build_flask(house)
        _apps[id(house)].jinja_env.bytecode_cache = _TEMPLATES
    return _apps[id(house)]


_apps: dict[int, Flask] = {}


class _Compiled(BytecodeCache):
    """Templates that were compiled once, for all applications of this process."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_TEMPLATES = _Compiled()


def _lay_tables(data: Path) -> None:
    """Put a database into a new data directory as the migrations make it: they run once for all tests of a process."""
    if not data.exists():
        data.mkdir(parents=True, mode=0o700)
        (data / "sendonce.db").write_bytes(_migrated())


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(Path(folder) / "sendonce.db")
        migrate(database)
        database.checkpoint()
        database.close()
        return database.path.read_bytes()


def bearer(token: str = BOOTSTRAP_TOKEN) -> dict[str, Any]:
    """Return the headers of a request with this token."""
    return {"Authorization": f"Bearer {token}"}
