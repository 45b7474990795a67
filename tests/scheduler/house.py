"""A data directory with its schedule store, for the tests of the store."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from scheduler.json_store import Book, JsonStore
from scheduler.model import Schedule
from scheduler.reconcile import Kind
from scheduler.store import Notice
from storage.database import Database, Tx
from storage.disk import OsDisk
from tests.builders import a_database, a_schedule
from tests.fake_clock import FakeClock


class PowerCut(BaseException):
    """The process dies here."""


@dataclass
class FaultyDisk(OsDisk):
    """The real disk, but a step can be made to fail."""

    fails: dict[str, BaseException] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    on_step: Callable[[str], None] = lambda name: None

    def read(self, path: Path) -> bytes:
        self._step("read")
        return super().read(path)

    def write_temp(self, path: Path, data: bytes) -> Path:
        self._step("write_temp")
        return super().write_temp(path, data)

    def sync(self, path: Path) -> None:
        self._step("sync")
        super().sync(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step("rename")
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        self._step("sync_folder")
        super().sync_folder(path)

    def _step(self, name: str) -> None:
        self.calls.append(name)
        self.on_step(name)
        if name in self.fails:
            raise self.fails[name]


@dataclass
class House:
    """A data directory; every store() is what another process would have."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    disk: FaultyDisk = field(default_factory=FaultyDisk)
    edits: list[tuple[Schedule | None, Schedule]] = field(default_factory=list)
    on_edit_fails: BaseException | None = None
    database: Database = field(init=False)

    def __post_init__(self) -> None:
        self.database = a_database(self.folder)
        self.store = self.a_store()

    def a_store(self, **changes: Any) -> JsonStore:
        return JsonStore(
            self.folder,
            disk=self.disk,
            database=self.database,
            clock=self.clock,
            on_edit=self._on_edit,
            **changes,
        )

    @property
    def path(self) -> Path:
        return self.folder / "scheduled_campaigns.json"

    @property
    def entries(self) -> list[Any]:
        loaded: list[Any] = json.loads(self.path.read_bytes())
        return loaded

    def add(self, **changes: Any) -> Schedule:
        with self.store.edit() as book:
            return book.add(lambda id_: a_schedule(id=id_, **changes))

    def add_many(self, count: int) -> list[Schedule]:
        return [self.add(note=f"number {n}") for n in range(count)]

    def load(self) -> None:
        self.do()

    def do(self, *steps: Callable[[Book], object]) -> None:
        """Take these steps in one block."""
        with self.store.edit() as book:
            for step in steps:
                step(book)

    def write(self, content: bytes | list[Any]) -> None:
        """Change the file as a person with an editor does: in place, some seconds ago."""
        self.path.write_bytes(
            content if isinstance(content, bytes) else json.dumps(content).encode()
        )
        self.date_file(seconds_ago=3)

    def date_file(self, *, seconds_ago: float) -> None:
        written = (self.clock.now() - timedelta(seconds=seconds_ago)).timestamp()
        os.utime(self.path, (written, written))

    def change(self, index: int, **changes: Any) -> None:
        entries = self.entries
        entries[index] |= changes
        self.write(entries)

    def notices(self) -> list[Notice]:
        with self.database.read() as tx:
            return self.store.notices(tx, since=None)

    def kinds(self) -> list[Kind]:
        return [notice.kind for notice in reversed(self.notices())]

    def quarantined(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.folder / "quarantine").glob("*"))]

    def _on_edit(self, tx: Tx, old: Schedule | None, new: Schedule, now: datetime) -> None:
        assert now == self.clock.now()
        if self.on_edit_fails is not None:
            raise self.on_edit_fails
        self.edits.append((old, new))


def fail(book: Book) -> None:
    raise RuntimeError


def ids(schedules: list[Schedule]) -> list[int]:
    return [schedule.id for schedule in schedules]


def a_written_entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "campaign_id": 1,
        "schedule_time": "2026-04-01T08:00",
        "schedule_type": "daily",
    } | changes
