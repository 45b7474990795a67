"""From the ledger to the mail server and back: real SQLite, real sockets, the machine's own clock."""

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

from foundation.clock import SystemClock
from mail.outbox import list_outbox
from mail.sandbox import SandboxServer
from storage.database import Database
from tests.delivery.builders import (
    books,
    everybody,
    receivers,
    run_through,
    sending,
    somebody_else_writes,
    until,
    until_finished,
    until_still,
)
from tests.mail.scripted_server import Call, ScriptedServer

"""From the ledger to the mail server and back: real SQLite, real sockets, the machine's own clock."""


def test_everybody_gets_one_mail_in_the_sandbox(tmp_path: Path) -> None:
    sandbox = SandboxServer(tmp_path / "outbox", SystemClock())
    with books(tmp_path, SystemClock()) as b:
        account = b.account(port=sandbox.start(), max_connections=8)
        run_id = b.claim(b.audience(people=300), account_ids=(account.id,))
        with sending(b):
            run = until_finished(b, run_id)
        sandbox.stop()

        assert (run.status, run.counts.sent, run.counts.recipients) == ("completed", 300, 300)
        received = list_outbox(tmp_path / "outbox", q=None, before=None, limit=500)
        assert Counter(m.rcpt_to[0] for m in received) == everybody(300)
        assert {m.run_id for m in received} == {run_id}
        assert {m.message_id for m in received} == {d.message_id for d in b.deliveries(run_id)}


def test_an_outcome_carries_what_the_server_said(tmp_path: Path) -> None:
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer({"end": [b"250 2.0.0 as 4711\r\n"]}) as s,
    ):
        run_id = run_through(b, s, people=1)
        with sending(b):
            until_finished(b, run_id)

        found = b.delivery(run_id)
        assert (found.smtp_code, found.smtp_reply) == (250, "2.0.0 as 4711")
        assert found.account_id == b.first_account().id


def test_two_runs_that_share_an_account_get_on_together(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port)
        first = b.running(people=150, account_ids=(account.id,))
        second = b.running(*(f"q{i}@example.com" for i in range(150)), account_ids=(account.id,))
        with sending(b):
            until_finished(b, first)
            until_finished(b, second)

        halves = [Counter(m.rcpt_to[0][0] for m in part) for part in halved(server.messages)]
        assert min(halves[0].values()) > 20


def test_two_accounts_share_a_run(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as one, ScriptedServer() as other:
        accounts = [b.account(port=s.port, name=str(s.port)) for s in (one, other)]
        run_id = b.running(people=200, account_ids=tuple(a.id for a in accounts))
        with sending(b):
            until_finished(b, run_id)

        assert receivers(one.messages) + receivers(other.messages) == everybody(200)
        assert min(len(one.messages), len(other.messages)) > 20


def test_no_more_connections_are_opened_than_the_account_allows(tmp_path: Path) -> None:
    most = Most()
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        server.script["DATA"] = [Call(lambda: most.note(server)), b"354 go ahead\r\n"]
        run_id = run_through(b, server, people=200, max_connections=3)
        with sending(b):
            until_finished(b, run_id)

        assert 1 < most.connections <= 3


def test_the_rate_is_kept(tmp_path: Path) -> None:
    clock, times = SystemClock(), []
    with books(tmp_path, clock) as b, ScriptedServer() as server:
        server.script["end"] = [Call(lambda: times.append(clock.elapsed())), b"250 ok\r\n"]
        run_id = run_through(b, server, people=30, rate_per_second=10, max_connections=4)
        # From before the first is let go: a connection that opens slowly makes the first arrive late, and no other.
        began = clock.elapsed()
        with sending(b):
            until_finished(b, run_id)

        # Ten at once after a quiet time, and then one every tenth of a second.
        took = (max(times) - began).total_seconds()
        assert 1.8 < took < 4
        assert len(times) == 30


def test_the_limit_per_hour_is_kept(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=40, limit_per_hour=25, max_connections=4)
        with sending(b) as dispatcher:
            server.wait_until(lambda: len(server.messages) == 25)
            until(lambda: b.statuses(run_id) == {"sent": 25, "queued": 15})
            for _ in range(5):  # looks of the leasing thread
                dispatcher.wake()
                until(lambda: not dispatcher._wake.is_set())

        assert len(server.messages) == 25
        assert b.run(run_id).status == "running"


def test_a_limit_is_kept_over_a_restart(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=10, limit_per_day=6)
        with sending(b):
            until(lambda: b.statuses(run_id) == {"sent": 6, "queued": 4})
        b.lead(boot_id="boot 1")
        with sending(b) as dispatcher:
            for _ in range(5):
                dispatcher.wake()
                until(lambda: not dispatcher._wake.is_set())

        assert len(server.messages) == 6


def test_nothing_is_sent_while_the_ledger_can_not_be_written(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        b.database.close()
        b.database = Database(tmp_path / "sendonce.db", busy=timedelta(milliseconds=100))
        run_id = run_through(b, server, people=600)
        with sending(b):
            server.wait_until(lambda: len(server.messages) > 20)
            with somebody_else_writes(tmp_path):
                until_still(lambda: len(server.messages))
                assert b.run(run_id).counts.sent <= len(server.messages) < 600
            run = until_finished(b, run_id)

        assert run.counts.sent == 600
        assert receivers(server.messages) == everybody(600)


def test_a_run_waits_for_the_one_before_it(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port)
        first = b.claim(b.audience(people=100), account_ids=(account.id,))
        people = b.audience(*(f"q{i}@example.com" for i in range(10)))
        second = b.claim(people, account_ids=(account.id,), waits_for=first)
        with sending(b):
            until_finished(b, second)
            until_finished(b, first)

        order = [m.rcpt_to[0][0] for m in server.messages]
        assert order.index("q") >= 96  # at most what is on its way on other connections comes later


def test_a_run_with_nobody_in_it_ends_at_once(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b:
        run_id = b.claim(b.audience())
        with sending(b):
            assert until_finished(b, run_id).status == "completed"


def test_a_run_whose_content_can_not_be_compiled_is_paused(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port)
        broken = b.running(people=3, account_ids=(account.id,), text="{% if %}")
        well = b.running(people=3, account_ids=(account.id,))
        with sending(b):
            until_finished(b, well)
            until(lambda: b.run(broken).status == "paused")

        assert (b.run(broken).reason or "").startswith("text: line 1")


def test_a_run_whose_accounts_are_gone_is_paused(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b:
        run_id = b.running(people=3, account_ids=(99,))
        with sending(b):
            until(lambda: b.run(run_id).status == "paused")

        assert b.run(run_id).reason == "none of its sender accounts exists any more"
        assert b.statuses(run_id) == {"queued": 3}


def test_the_password_of_an_edited_account_is_used_for_the_next_connection(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as old, ScriptedServer() as new:
        run_id = run_through(b, old, people=400, max_connections=2)
        with sending(b):
            old.wait_until(lambda: len(old.messages) > 20)
            b.edit(b.first_account(), port=new.port)
            until_finished(b, run_id)

        assert receivers(old.messages) + receivers(new.messages) == everybody(400)
        assert len(new.messages) > 100


class Most:
    """The most connections that a server had at once."""

    def __init__(self) -> None:
        self.connections = 0

    def note(self, server: ScriptedServer) -> None:
        self.connections = max(self.connections, server.open_connections)


def halved(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    middle = len(messages) // 2
    return messages[:middle], messages[middle:]
