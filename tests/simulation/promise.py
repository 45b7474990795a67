"""The promise, checked against what the mail server saw, after everything that happens."""

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from delivery import slots
from delivery.decisions import BY_RULE
from scheduler.due import next_undecided
from scheduler.reconcile import Kind
from tests.simulation.mail_server import Key

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.world import World

_SETTLED = ("sent", "in_doubt", "sending")


class Broken(AssertionError):
    """The promise is broken."""


@dataclass(frozen=True, slots=True)
class Row:
    """One delivery, as the database has it now. is_older: leased or sending since before the last boot."""

    run_id: int
    email: str
    status: str
    resends: int
    epoch: int | None
    lease: int | None
    reason: str | None
    is_older: bool
    decisions: int  # by persons
    resent: int  # by persons
    by_rule: int

    @property
    def key(self) -> Key:
        return self.run_id, self.email


class Promise:
    """What must hold in one world, and what its people have been answered."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.is_dirty = False
        self.people: frozenset[str] = frozenset()
        self.most_connections = 0
        self.stopped: set[int] = set()  # runs whose pause or cancel was answered
        self.told_runs: set[int] = set()  # which somebody was told of
        self.suppressed: set[str] = set()  # who was told that no mail comes any more
        self.may_fail: set[str] = set()  # whom the server has refused
        self._may_doubt: set[Key] = set()
        self._fences: Counter[Key] = Counter()
        self._sending: dict[Key, int | None] = {}
        self._leased: set[Key] = set()
        self._epoch = 0
        self._is_put_back = False
        self._known_before: set[Key] = set()  # what an older state of the directory knows already
        self._broken: list[str] = []

    def committed(self, process: "Process") -> None:
        """Look at who has passed the fence in this commit."""
        self.is_dirty = True
        rows = self._world.ask(
            "SELECT run_id, email, status, lease FROM deliveries WHERE status IN ('leased', 'sending')"
        )
        sending = {(run, email): lease for run, email, status, lease in rows if status == "sending"}
        leased = {(run, email) for run, email, status, _ in rows if status == "leased"}
        self._look_for_a_new_leader()
        for key, lease in sending.items():
            if self._sending.get(key) != lease:
                self._passes_the_fence(key)
        self._sending, self._leased = sending, leased

    def _look_for_a_new_leader(self) -> None:
        """What the last one had begun may be in doubt; where the directory is doubted, what it had leased too."""
        [(epoch, is_doubted)] = self._world.ask(
            "SELECT (SELECT max(epoch) FROM epochs), doubted_reason IS NOT NULL FROM installation"
        )
        if epoch is not None and epoch > self._epoch:
            self._epoch = epoch
            self._may_doubt |= set(self._sending) | (self._leased if is_doubted else set())

    def _passes_the_fence(self, key: Key) -> None:
        self._fences[key] += 1
        run_id, email = key
        if run_id in self.stopped:
            self._break(f"{key} is sent, though the run was paused or cancelled")
        if email in self.suppressed:
            self._break(f"{key} is sent, though the address was suppressed")

    def content_begins(self, process: "Process", key: Key) -> None:
        """Content is given to a socket: its intent must be written."""
        if self._world.truth.begun[key] > self._fences[key]:
            self._break(f"content of {key} goes out before its intent is written")

    def process_died(self, process: "Process") -> None:
        """At most one delivery is open for each connection."""
        sending = self._world.ask(
            f"SELECT count(*) FROM deliveries WHERE status = 'sending' AND epoch = {process.epoch}"
        )[0][0]
        if sending > self.most_connections:
            self._break(f"{sending} deliveries are open after the death of a process")

    def power_is_back(self) -> None:
        """What was leased when the power was lost may be in doubt from now on."""
        self._sending = {}
        self._may_doubt |= {row.key for row in self._rows() if row.status in ("leased", "sending")}
        self.is_dirty = True

    def may_go_on(self, run_id: int) -> None:
        """Somebody lets a run go on that was stopped or held."""
        self.stopped.discard(run_id)
        self.somebody_said_go_on()

    def is_put_back(self, *, can_be_told: bool) -> None:
        """An older state of the directory is here: where that can be told nothing may be sent before a person says so.

        Who had a mail since then may get another one after that: nobody can know.
        """
        self._world.truth.forget()
        self._is_put_back = can_be_told
        self._sending = {}
        self._fences.clear()
        self.stopped.clear()
        self.told_runs.clear()
        self.suppressed.clear()
        self._known_before = {row.key for row in self._rows()}
        self._epoch = self._world.ask("SELECT coalesce(max(epoch), 0) FROM epochs")[0][0]
        self.is_dirty = True

    def somebody_said_go_on(self) -> None:
        self._is_put_back = False

    def accepted(self, key: Key) -> None:
        """The mail server has taken one."""
        self.is_dirty = True
        if self._is_put_back:
            self._break(f"{key} is sent from a directory that was put back")

    def _break(self, how: str) -> None:
        self._broken.append(how)

    def check(self) -> None:
        """Raise Broken where the promise is."""
        if self._world.bugs:
            raise Broken(self._world.bugs[0])
        if self._broken:
            raise Broken(self._broken[0])
        if not self.is_dirty:
            return
        self.is_dirty = False
        rows = self._rows()
        for row in rows:
            self._check_row(row)
        for key, times in self._world.truth.accepted.items():
            _hold(
                times == 1 or key in {r.key for r in rows}, f"{key} was sent, and is in no ledger"
            )
        self._check_counts(rows)
        self._check_runs()

    def _check_row(self, row: Row) -> None:
        truth = self._world.truth
        accepted = truth.accepted[row.key]
        _hold(accepted <= 1 + row.resends, f"{row} was accepted {accepted} times")
        _hold(row.by_rule <= 1, f"{row} is sent again twice by the rule")
        _hold(row.resends == row.by_rule + row.resent, f"{row} is sent again by nobody")
        if row.key in self._known_before:
            return
        if accepted and not row.decisions:
            again = row.resends > 0 and row.status in ("queued", "leased")
            lost = row.is_older and row.status == "leased"
            _hold(row.status in _SETTLED or again or lost, f"{row} was accepted")
        if row.status == "sent" and not row.decisions:
            _hold(accepted > 0 or row.key in truth.misled, f"{row} was not accepted")
        if row.status == "in_doubt":
            open_ = truth.ended[row.key] > 0 or row.key in self._may_doubt
            _hold(open_, f"{row} need not be in doubt")

    def _check_counts(self, rows: list[Row]) -> None:
        by_run: dict[int, Counter[str]] = {}
        for row in rows:
            by_run.setdefault(row.run_id, Counter())[row.status] += 1
        for run_id, origin, made, *counts in self._world.ask(
            "SELECT id, origin, materialised, recipients, queued, sending, sent, failed, skipped, in_doubt FROM runs"
        ):
            found = by_run.get(run_id, Counter())
            told = [
                found.total(),
                found["queued"] + found["leased"],
                *(found[s] for s in ("sending", "sent", "failed", "skipped", "in_doubt")),
            ]
            _hold(counts == told, f"run {run_id} counts {counts} and has {told}")
            if made:
                people = {row.email for row in rows if row.run_id == run_id}
                everybody = people == self.people or (origin == "send-missing" and people)
                _hold(bool(everybody), f"run {run_id} goes to {people}")

    def _check_runs(self) -> None:
        twice = self._world.ask(
            "SELECT schedule_id, slot, count(*) FROM runs WHERE origin IN ('slot', 'missed')"
            " GROUP BY schedule_id, slot HAVING count(*) > 1"
        )
        lost = self.told_runs - {run_id for (run_id,) in self._world.ask("SELECT id FROM runs")}
        _hold(not lost, f"runs that somebody was told of are gone: {lost}")
        _hold(not twice, f"a slot has more than one run: {twice}")
        self._check_families()

    def _check_families(self) -> None:
        """Runs for the missing of one another write to nobody twice, but for what was decided about doubts."""
        got: Counter[Key] = Counter()
        allowed: Counter[Key] = Counter()
        family = dict(self._world.ask("SELECT id, coalesce(family, id) FROM runs"))
        for row in self._rows():
            if row.key not in self._known_before:
                key = family[row.run_id], row.email
                got[key] += self._world.truth.accepted[row.key]
                allowed[key] += row.resends + (row.decisions - row.resent)
        twice = {key: times for key, times in got.items() if times > 1 + allowed[key]}
        _hold(not twice, f"somebody got a mail from two runs of a family: {twice}")

    def check_the_end(self, process: "Process") -> None:
        """Look at everything once more, when all has had the time to end."""
        self.is_dirty = True
        self.check()
        left = self._world.ask("SELECT id, status, reason FROM runs WHERE finished_at IS NULL")
        _hold(not left, f"runs that do not end: {left}")
        for row in self._rows():
            _hold(row.status in ("sent", "failed", "skipped", "in_doubt"), f"{row} has no end")
            if row.status == "failed" and not row.decisions and row.key not in self._known_before:
                was_refused = row.email in self.may_fail or row.key in self._world.truth.refused
                gave_up = (row.reason or "").startswith("gave up")
                _hold(was_refused or gave_up, f"{row} was never refused")
        self._check_slots(process)

    def _check_slots(self, process: "Process") -> None:
        house = process.house
        now = house.clock.now()
        schedules = house.store.read()
        with house.database.read() as tx:
            standings = slots.standings(tx, {s.id for s in schedules}, now)
            behind = slots.behind(tx)
            notices = house.store.notices(tx, since=None)
        damage = [n.message for n in notices if n.kind is Kind.DAMAGE]
        _hold(not damage, f"the schedule file was damaged, and nobody touched it: {damage}")
        _hold(not behind, f"the file is behind in {behind}")
        for schedule in schedules:
            if not schedule.enabled:
                continue
            upcoming = next_undecided(schedule, standings[schedule.id], now)
            late = now - house.scheduler.buffer - timedelta(seconds=120)
            if upcoming is not None:
                _hold(upcoming.at > late, f"{schedule.id} was not decided at {upcoming.at}")
                _hold(schedule.next_run is not None, f"{schedule} does not say when it runs next")

    def _rows(self) -> list[Row]:
        found = self._world.ask(
            "SELECT d.run_id, d.email, d.status, d.resends, d.epoch, d.lease, d.reason,"
            f" e.boot_id IS NOT 'boot {self._world.boots}',"
            " (SELECT count(*) FROM decisions WHERE delivery_id = d.id AND by != :rule),"
            " (SELECT count(*) FROM decisions WHERE delivery_id = d.id AND by != :rule AND action = 'resend'),"
            " (SELECT count(*) FROM decisions WHERE delivery_id = d.id AND by = :rule)"
            " FROM deliveries d LEFT JOIN epochs e ON e.epoch = d.epoch",
            rule=BY_RULE,
        )
        return [Row(*values[:7], bool(values[7]), *values[8:]) for values in found]


def _hold(fact: bool, otherwise: str) -> None:
    if not fact:
        raise Broken(otherwise)
