"""Any history of edits, damage and crashes: no schedule is lost, no id is used twice, every edit is told once."""

import contextlib
import json
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy import text

from foundation.errors import Unavailable
from scheduler.entries import same_definition, to_entry, to_schedule
from scheduler.model import Schedule, Status
from scheduler.reconcile import cancelled
from storage.database import Tx
from tests.builders import NOON, a_schedule
from tests.scheduler.house import House, PowerCut


@dataclass
class CrashingHouse(House):
    """A house in which the process dies at the step that is named, and on_edit's memory dies with its transaction."""

    dies_in: int | None = None
    steps: int = field(default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        with self.database.write(durable=False) as tx:
            tx.execute(text("CREATE TABLE told (id INTEGER PRIMARY KEY, old TEXT, new TEXT)"))
        self.disk.on_step = self.step

    def step(self, name: str) -> None:
        if self.dies_in is not None:
            self.dies_in -= 1
            if self.dies_in < 0:
                raise PowerCut

    def told(self) -> dict[int, list[tuple[Schedule | None, Schedule]]]:
        with self.database.read() as tx:
            rows = tx.execute(text("SELECT old, new FROM told ORDER BY id")).all()
        edits = defaultdict(list)
        for old, new in rows:
            after = to_schedule(json.loads(new), known=None, now=NOON)
            before = to_schedule(json.loads(old), known=None, now=NOON) if old else None
            edits[after.id].append((before, after))
        return edits

    def _on_edit(self, tx: Tx, old: Schedule | None, new: Schedule, now: datetime) -> None:
        self.step("on_edit")
        tx.execute(
            text("INSERT INTO told (old, new) VALUES (:old, :new)"),
            {"old": json.dumps(to_entry(old)) if old else None, "new": json.dumps(to_entry(new))},
        )
        self.step("after on_edit")


_notes = st.sampled_from(["a", "b", "c"])
_picks = st.integers(0, 5)
_dies = st.none() | st.integers(0, 9)


class History(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.house = CrashingHouse(Path(self.folder.name))
        self.removed: set[int] = set()
        self.texts: list[Any] = []

    def teardown(self) -> None:
        if hasattr(self, "house"):
            self.house.database.close()
            self.folder.cleanup()

    def _do(self, dies_in: int | None, *steps: Any) -> bool:
        """Take the steps in a process that may die on the way; return whether it lived."""
        self.house.dies_in = dies_in
        try:
            self.house.do(*steps)
        except PowerCut:
            self.house.store = self.house.a_store()
            return False
        except Unavailable:
            return False
        finally:
            self.house.dies_in = None
        return True

    def _pick(self, pick: int) -> int | None:
        there = list(self.house.store.read())
        return there[pick % len(there)].id if there else None

    @rule(note=_notes, dies=_dies)
    def add(self, note: str, dies: int | None) -> None:
        self._do(dies, lambda book: book.add(lambda id_: a_schedule(id=id_, note=note)))

    @rule(pick=_picks, note=_notes, dies=_dies, edit=st.booleans())
    def change(self, pick: int, note: str, dies: int | None, edit: bool) -> None:
        id_ = self._pick(pick)

        def step(book: Any) -> None:
            if id_ in book.schedules:
                old = book.schedules[id_]
                changes = {"note": note} if edit else {"enabled": False, "total_runs": 1}
                book.put(replace(old, **changes), edit=edit)

        self._do(dies, step)

    @rule(pick=_picks, dies=_dies)
    def remove(self, pick: int, dies: int | None) -> None:
        id_ = self._pick(pick)
        self.texts += self.house.entries if self.house.path.exists() else []
        if id_ is not None and self._do(
            dies, lambda book: id_ in {*book.schedules, *book.gone} and book.remove(id_)
        ):
            self.removed.add(id_)

    @rule(pick=_picks, dies=_dies)
    def bring_back(self, pick: int, dies: int | None) -> None:
        id_ = self._pick(pick)
        self._do(dies, lambda book: id_ in book.gone and book.bring_back(id_))

    @precondition(lambda self: self.house.path.exists())
    @rule(
        pick=_picks,
        change=st.sampled_from(
            [
                {"note": "hand"},
                {"enabled": "bad"},
                {"id": None},
                {"version": 1, "note": "old"},
                {"version": 9},
                {"id": 1},
                {"id": 3},
                {"id": 5},
                {"total_runs": 5},
            ]
        ),
        dies=_dies,
    )
    def edit_by_hand(self, pick: int, change: dict[str, Any], dies: int | None) -> None:
        entries = self.house.entries
        if entries:
            entries[pick % len(entries)] |= change
            self.house.write(entries)
        self._do(dies)

    @precondition(lambda self: self.house.path.exists())
    @rule(pick=_picks, twice=st.booleans(), dies=_dies)
    def take_out_or_double(self, pick: int, twice: bool, dies: int | None) -> None:
        entries = self.house.entries
        if entries:
            index = pick % len(entries)
            entries[index : index + 1] = [entries[index]] * (2 if twice else 0)
            self.house.write(entries)
        self._do(dies)

    @precondition(lambda self: self.house.path.exists() and self.texts)
    @rule(pick=_picks, dies=_dies)
    def paste_back(self, pick: int, dies: int | None) -> None:
        self.house.write([*self.house.entries, self.texts[pick % len(self.texts)]])
        self._do(dies)

    @precondition(lambda self: self.house.path.exists())
    @rule(kept=st.floats(0, 0.99), gone=st.booleans(), dies=_dies)
    def damage(self, kept: float, gone: bool, dies: int | None) -> None:
        data = self.house.path.read_bytes()
        self.house.write(data[: int(kept * len(data))])
        if gone:
            self.house.path.unlink()
        self._do(dies)

    @rule(seconds=st.sampled_from([1, 3, 86400]))
    def wait(self, seconds: int) -> None:
        self.house.clock.advance(seconds=seconds)

    @rule()
    def restart(self) -> None:
        self.house.store = self.house.a_store()

    @invariant()
    def nothing_is_lost_and_everything_is_told_once(self) -> None:
        if not hasattr(self, "house"):
            return
        with contextlib.suppress(Unavailable):
            self.house.load()
        self.house.clock.advance(seconds=3)
        with self.house.store.edit() as book:
            live, gone, bad = dict(book.schedules), dict(book.gone), dict(book.bad)

        told = self.house.told()
        for edits in told.values():
            assert [old is None for old, _ in edits].count(True) == 1
            assert edits[0][0] is None
            for (_, before), (old, _) in pairwise(edits):
                assert old is not None
                assert same_definition(_undisturbed(old), _undisturbed(before)) or not old.enabled
        assert not self.removed & set(live)
        for id_, schedule in live.items():
            last = told[id_][-1][1]
            assert schedule.version == last.version
            assert same_definition(_undisturbed(schedule), _undisturbed(last))
        assert set(told) - self.removed <= {*live, *gone, *bad} | self._unanswered(told)
        good = [entry["id"] for entry in self.house.entries if entry["enabled"] != "bad"]
        assert good == list(live)
        assert self.house.store.read() == self.house.a_store().read()

    def _unanswered(self, told: Any) -> set[int]:
        """A deletion whose process died behind the copy has happened, though nobody was told."""
        with self.house.database.read() as tx:
            rows = tx.execute(text("SELECT id FROM schedule_copies WHERE gone_why = 'deleted'"))
            return {row.id for row in rows}


def _undisturbed(schedule: Schedule) -> Schedule:
    # What ends by itself is not told: enabled may differ.
    return replace(cancelled(schedule), status=Status.PENDING)


History.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
TestHistory = History.TestCase
