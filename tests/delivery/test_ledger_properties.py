"""Whatever happens to a run, in whatever order: its counters add up, nobody is lost, and nobody is written to twice."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from campaigns.model import InDoubtRule
from delivery import ledger, model
from delivery.control import cancel, pause, resume
from delivery.leases import Leased
from delivery.model import Delivery, RunStatus
from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, Sent, TryAgain
from foundation.errors import Conflict
from mail.reply import Stage
from tests.delivery.builders import BY, RETRY_DELAY, Books, a_reply

PEOPLE = 4
MEMORY = Path("/dev/shm")  # no step waits for a disk
FINAL = ("sent", "failed", "skipped", "in_doubt")


class Run(RuleBasedStateMachine):
    """One run over two lists that share people, two accounts, and a leader that dies now and then."""

    status: RunStatus | None = None

    @initialize(in_doubt=st.sampled_from(InDoubtRule), made=st.booleans())
    def claim(self, in_doubt: InDoubtRule, made: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self.books = Books(self.folder)
        self.accounts = [self.books.account(name=n) for n in ("one", "two")]
        self.rule = in_doubt
        self.audience_id = self.books.audience(people=PEOPLE)
        other = self.books.audience("P0@example.com", "p1@EXAMPLE.com")
        self.run_id = self.books.claim(self.audience_id, other, in_doubt=in_doubt)
        self.leased: list[Leased] = []  # held by the leader that lives
        self.sending: list[Leased] = []
        self.may_have_it: dict[str, int] = {}  # how often somebody may have been handed the mail
        self.suppressed: set[str] = set()
        self.settled: dict[int, str] = {}
        self.refused: set[int] = set()  # failed, and may be queued again
        self.status = RunStatus.CLAIMED
        if made:
            self.books.materialise(self.run_id)
            self.books.start(self.run_id)

    def teardown(self) -> None:
        if hasattr(self, "books"):
            self.books.database.close()
            shutil.rmtree(self.folder)

    @rule(data=st.data())
    def sending_goes_on(self, data: st.DataObject) -> None:
        ways: list[Callable[[st.DataObject], None]] = []
        if self.status == RunStatus.CLAIMED:
            ways.append(self._make_a_piece)
        if self.leased:
            ways += [self._begin, self._begin, self._end_unbegun]
        if self.sending:
            ways += [self._end_begun] * 2
        if self.status == RunStatus.RUNNING and len(self.leased) < 3:
            ways += [self._lease]
        if ways:
            data.draw(st.sampled_from(ways))(data)

    @rule(
        what=st.sampled_from(
            ["pause", "resume", "retry", "suppress", "cancel", "refusals", "crash", "outage", "end"]
        ),
        who=st.integers(0, PEOPLE - 1),
    )
    def something_else_happens(self, what: str, who: int) -> None:
        match what:
            case "pause":
                self._do(pause)
            case "resume" | "retry":
                self._do(resume, retry_refused=what == "retry")
                self.refused = set()
            case "suppress":
                self.books.suppress(f"p{who}@example.com")
                self.suppressed.add(f"p{who}@example.com")
            case "cancel" if who == 0:  # else few runs would live long
                self._do(cancel)
            case "refusals":
                self._pause_for_refusals()
            case "crash" | "outage" if who < 2:
                self._crash(same_boot=what == "crash")
            case "end":
                self.books.finish(self.run_id)

    def _make_a_piece(self, data: st.DataObject) -> None:
        rows = data.draw(st.integers(2, 4))
        with self.books.database.write(durable=True) as tx:
            ledger.materialise(tx, self.run_id, rows=rows, now=self.books.now)
        self.books.start(self.run_id)

    def _lease(self, data: st.DataObject) -> None:
        self.books.later(seconds=data.draw(st.sampled_from([0, 60])))
        account = data.draw(st.sampled_from(self.accounts))
        taken = self.books.lease(self.run_id, account, limit=data.draw(st.integers(1, 4)))
        assert not {i.id for i in taken} & {i.id for i in self.leased + self.sending}
        self.leased += taken

    def _begin(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.leased))
        self.leased.remove(item)
        if self.books.begin(item):
            assert self.books.run(self.run_id).status == RunStatus.RUNNING
            assert item.address_key not in self.suppressed
            self.sending.append(item)
        else:
            self.books.record(item, NotBegun(), begun=False)

    def _end_unbegun(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.leased))
        self.leased.remove(item)
        at = self.books.now + RETRY_DELAY
        outcomes: list[Outcome] = [
            NotBegun(),
            AccountFault(a_reply(421, stage=Stage.MAIL), pause=False),
            TryAgain(a_reply(451, stage=Stage.RCPT), at),
            Failed(a_reply(550, stage=Stage.RCPT), "refused"),
        ]
        self.books.record(item, data.draw(st.sampled_from(outcomes)), begun=False)

    def _end_begun(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.sending))
        self.sending.remove(item)
        outcomes: list[Outcome] = [
            InDoubt("the server closed"),
            InDoubt("the server was silent"),
            Sent(a_reply(250)),
            TryAgain(a_reply(451), self.books.now + RETRY_DELAY),
            Failed(a_reply(554), "refused"),
            NotBegun(),
        ]
        outcome = data.draw(st.sampled_from(outcomes))
        assert self.books.record(item, outcome, begun=True)
        if isinstance(outcome, Sent | InDoubt):
            self._may_have_it(item)

    def _pause_for_refusals(self) -> None:
        failed = [d.id for d in self.books.deliveries(self.run_id) if d.status == "failed"]
        with self.books.database.write(durable=False) as tx:
            paused = bool(failed) and ledger.set_status(
                tx,
                self.run_id,
                [RunStatus.RUNNING],
                to=RunStatus.PAUSED,
                reason="refusals",
                refused_ids=failed,
            )
        if paused:
            self.refused = set(failed)
            self.settled = {i: s for i, s in self.settled.items() if i not in failed}

    def _crash(self, *, same_boot: bool) -> None:
        rows = {r.id: r.status for r in self.books.raw("SELECT id, status FROM deliveries")}
        # A cancel is durable: what it found leased was skipped before anything later could be lost.
        lost = [] if same_boot else [i for i in self.leased if rows[i.id] == "leased"]
        for item in self.sending + lost:
            self._may_have_it(item)
        self.leased, self.sending = [], []
        boot_id = "boot 1" if same_boot else "boot 2"
        self.books.lead(boot_id=boot_id)
        self.books.recover(boot_id=boot_id)
        # The next one lives on the boot that its successor calls the same.
        self.books.lead(boot_id="boot 1")
        assert not {"leased", "sending"} & set(self.books.statuses(self.run_id))

    def _may_have_it(self, item: Leased) -> None:
        times = self.may_have_it.get(item.address_key, 0) + 1
        self.may_have_it[item.address_key] = times
        assert times <= (2 if self.rule == InDoubtRule.RESEND else 1)

    def _do(self, action: Any, **options: Any) -> None:
        try:
            with self.books.database.write(durable=True) as tx:
                action(tx, self.run_id, self.books.now, by=BY, **options)
        except Conflict:
            return

    @invariant()
    def it_is_as_it_should_be(self) -> None:
        if not hasattr(self, "books"):
            return
        self.books.statuses(self.run_id)  # the counters add up
        run, deliveries = self.books.run(self.run_id), self.books.deliveries(self.run_id)
        self.status = run.status
        self._check_nobody_is_in_it_twice(run, deliveries)
        self._check_what_has_an_end_keeps_it(deliveries)
        self._check_who_may_have_the_mail_is_sent_or_in_doubt(deliveries)
        if run.finished_at is not None:
            assert run.status.finished
            assert run.counts.queued == run.counts.sending == 0

    def _check_nobody_is_in_it_twice(self, run: model.Run, found: list[Delivery]) -> None:
        keys = {d.email.casefold() for d in found}
        assert len(keys) == len(found)
        assert not run.materialised or len(keys) == PEOPLE

    def _check_what_has_an_end_keeps_it(self, found: list[Delivery]) -> None:
        now = {d.id: str(d.status) for d in found}
        assert {i: now[i] for i in self.settled} == self.settled
        self.settled |= {i: s for i, s in now.items() if s in FINAL and i not in self.refused}

    def _check_who_may_have_the_mail_is_sent_or_in_doubt(self, found: list[Delivery]) -> None:
        allowed = {"sent", "in_doubt"}
        if self.rule == InDoubtRule.RESEND:  # to be sent again, or on its way again
            allowed |= {"queued", "sending"}
        had = [d.status for d in found if d.email.casefold() in self.may_have_it]
        assert set(had) <= allowed


TestRun = Run.TestCase
TestRun.settings = settings(
    max_examples=20,
    stateful_step_count=35,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
