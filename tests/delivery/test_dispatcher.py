"""From the ledger to the mail server and back: real SQLite, real sockets, the machine's own clock."""

import threading
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.model import Account
from delivery.recovery import recover
from foundation.clock import SystemClock
from mail.outbox import list_outbox
from mail.reply import Broken, Reply
from mail.sandbox import SandboxServer
from mail.transport import Transport
from storage.database import Database
from tests.delivery.builders import (
    RETRY_DELAY,
    Books,
    a_dispatcher,
    books,
    connect_quickly,
    receivers,
    sending,
    somebody_else_writes,
    until,
    until_finished,
    until_still,
)
from tests.mail.scripted_server import SILENCE, Call, ScriptedServer


def a_run(b: Books, server: ScriptedServer, *, people: int = 3, **changes: Any) -> int:
    account = b.account(**({"port": server.port} | changes))
    return b.running(people=people, account_ids=(account.id,))


def everybody(people: int) -> dict[str, int]:
    return {f"p{i}@example.com": 1 for i in range(people)}


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
        run_id = a_run(b, s, people=1)
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
        run_id = a_run(b, server, people=200, max_connections=3)
        with sending(b):
            until_finished(b, run_id)

        assert 1 < most.connections <= 3


def test_the_rate_is_kept(tmp_path: Path) -> None:
    clock, times = SystemClock(), []
    with books(tmp_path, clock) as b, ScriptedServer() as server:
        server.script["end"] = [Call(lambda: times.append(clock.elapsed())), b"250 ok\r\n"]
        run_id = a_run(b, server, people=30, rate_per_second=10, max_connections=4)
        with sending(b):
            until_finished(b, run_id)

        # Ten at once after a quiet time, and then one every tenth of a second.
        took = (max(times) - min(times)).total_seconds()
        assert 1.8 < took < 4
        assert len(times) == 30


def test_the_limit_per_hour_is_kept(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=40, limit_per_hour=25, max_connections=4)
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
        run_id = a_run(b, server, people=10, limit_per_day=6)
        with sending(b):
            until(lambda: b.statuses(run_id) == {"sent": 6, "queued": 4})
        b.lead(boot_id="boot 1")
        with sending(b) as dispatcher:
            for _ in range(5):
                dispatcher.wake()
                until(lambda: not dispatcher._wake.is_set())

        assert len(server.messages) == 6


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_nothing_begins_after_a_person_has_stopped_the_run(tmp_path: Path, action: str) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=600)
        with sending(b):
            server.wait_until(lambda: len(server.messages) > 20)
            counts = getattr(b, action)(run_id).counts
            until(lambda: not {"leased", "sending"} & set(b.statuses(run_id)))

            # What was on its way then has come to its end; nothing else has begun.
            sent = b.run(run_id).counts.sent
            assert sent <= counts.sent + counts.sending
            assert sent == len(server.messages) < 600

            if action == "pause":
                b.resume(run_id)
                until_finished(b, run_id)
                assert receivers(server.messages) == everybody(600)
            else:
                assert b.statuses(run_id) == {"sent": sent, "skipped": 600 - sent}
                assert until_finished(b, run_id).status == "cancelled"


def test_who_unsubscribes_while_the_run_is_on_its_way_gets_nothing(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=200, max_connections=1)
        with sending(b):
            server.wait_until(lambda: len(server.messages) > 5)
            b.suppress("p199@example.com")
            run = until_finished(b, run_id)

        assert (run.counts.sent, run.counts.skipped) == (199, 1)
        assert "p199@example.com" not in receivers(server.messages)


def test_who_unsubscribes_at_the_last_moment_gets_nothing(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=1)
        server.script["DATA"] = [Call(lambda: b.suppress("p0@example.com")), b"354 go ahead\r\n"]
        with sending(b):
            run = until_finished(b, run_id)

        assert server.messages == []
        assert run.counts.skipped == 1
        assert server.cut_off in ([], [b""])


def test_a_stop_gives_back_what_was_leased(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=3000)
        with sending(b):
            server.wait_until(lambda: len(server.messages) > 200)

        statuses = b.statuses(run_id)
        assert set(statuses) == {"queued", "sent"}
        assert statuses["sent"] == len(server.messages)
        assert {d.attempts for d in b.deliveries(run_id) if d.status == "queued"} == {0}


@pytest.mark.parametrize("step", ["banner", "EHLO", "MAIL", "RCPT", "DATA"])
def test_a_stop_does_not_wait_for_a_server_that_was_given_nothing(
    tmp_path: Path, step: str
) -> None:
    clock = SystemClock()
    with books(tmp_path, clock) as b, ScriptedServer() as server:
        reached = threading.Event()
        server.script[step] = [Call(reached.set), SILENCE]
        run_id = a_run(b, server)
        with sending(b):
            assert reached.wait(10)
            before = clock.elapsed()

        assert clock.elapsed() - before < timedelta(seconds=4)
        assert b.statuses(run_id) == {"queued": 3}
        assert {d.attempts for d in b.deliveries(run_id)} == {0}
        assert b.first_account().state == "ok"


def test_a_stop_waits_for_the_reply_to_what_was_given(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        dispatcher = a_dispatcher(b)
        answered = threading.Event()
        server.script["end"] = [Call(lambda: answered.wait(10)), b"250 ok\r\n"]
        run_id = a_run(b, server, people=1)
        dispatcher.start(b.epoch)
        server.wait_until(lambda: len(server.messages) == 1)
        stopping = threading.Thread(target=dispatcher.stop)
        stopping.start()
        until(lambda: dispatcher.must_stop)
        answered.set()
        stopping.join()

        assert b.statuses(run_id) == {"sent": 1}


def test_a_stop_leaves_in_doubt_what_is_not_answered_in_time(tmp_path: Path) -> None:
    clock = SystemClock()
    with books(tmp_path, clock) as b, ScriptedServer({"end": [SILENCE]}) as server:
        run_id = a_run(b, server, people=3, max_connections=1)
        with sending(b):
            server.wait_until(lambda: len(server.messages) == 1)
            before = clock.elapsed()

        assert timedelta(seconds=7) < clock.elapsed() - before < timedelta(seconds=10)
        assert b.statuses(run_id) == {"in_doubt": 1, "queued": 2}
        [doubt] = [d for d in b.deliveries(run_id) if d.status == "in_doubt"]
        assert doubt.reason == "the server had not answered when we stopped"


def test_sending_goes_on_after_a_restart_and_nobody_gets_two(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=700)
        for sent in (50, 150, 300):
            with sending(b):
                server.wait_until(lambda sent=sent: len(server.messages) > sent)
            settle(b)
        with sending(b):
            run = until_finished(b, run_id)

        assert run.counts.sent == 700
        assert receivers(server.messages) == everybody(700)


def test_a_dispatcher_can_be_started_again(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=300)
        dispatcher = a_dispatcher(b)

        dispatcher.start(b.epoch)
        server.wait_until(lambda: len(server.messages) > 10)
        dispatcher.start(b.epoch)  # the old one ends first
        until_finished(b, run_id)
        dispatcher.stop()

        assert receivers(server.messages) == everybody(300)
        assert not dispatcher.is_alive


def test_an_old_leader_stops_sending(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = a_run(b, server, people=800)
        with sending(b) as dispatcher:
            server.wait_until(lambda: len(server.messages) > 10)
            settle(b)
            until(lambda: not dispatcher.is_alive)
            sent = len(server.messages)

            assert sent < 800
        with sending(b):
            until_finished(b, run_id)

        doubts = b.run(run_id).counts.in_doubt
        assert doubts <= 4
        assert set(receivers(server.messages).values()) == {1}


def test_nothing_is_sent_while_the_ledger_can_not_be_written(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        b.database.close()
        b.database = Database(tmp_path / "sendonce.db", busy=timedelta(milliseconds=100))
        run_id = a_run(b, server, people=600)
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
        run_id = a_run(b, old, people=400, max_connections=2)
        with sending(b):
            old.wait_until(lambda: len(old.messages) > 20)
            b.edit(b.first_account(), port=new.port)
            until_finished(b, run_id)

        assert receivers(old.messages) + receivers(new.messages) == everybody(400)
        assert len(new.messages) > 100


class TestBugsOfOurOwn:
    """Whatever raises where nothing should: no delivery stays leased for ever, and no run hangs silently."""

    def test_a_mail_that_can_not_be_made_fails_alone(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            dispatcher = a_dispatcher(b)
            dispatcher.composer = BrokenFor("p1@example.com", dispatcher.composer)
            run_id = a_run(b, server)
            dispatcher.start(b.epoch)
            run = until_finished(b, run_id)
            dispatcher.stop()

            assert (run.counts.sent, run.counts.failed) == (2, 1)
            reason = b.delivery(run_id, "p1@example.com").reason or ""
            assert reason.startswith("an error of our own (ZeroDivisionError)")

    def test_one_that_meets_everybody_pauses_the_run(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            dispatcher = a_dispatcher(b)
            dispatcher.composer = BrokenFor("", dispatcher.composer)
            run_id = a_run(b, server, people=60)
            dispatcher.start(b.epoch)
            until(lambda: b.run(run_id).status == "paused")
            dispatcher.stop()

            assert set(b.statuses(run_id)) == {"queued", "failed"}
            assert b.run(run_id).counts.failed < 30

    def test_one_in_connecting_rests_the_account(self, tmp_path: Path) -> None:
        broken = [True]

        async def connect(account: Account) -> Transport | Reply | Broken:
            if broken:
                raise ValueError("not this time")
            return await connect_quickly(account)

        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server)
            with sending(b, connect=connect):
                until(lambda: "ValueError" in (b.first_account().state_reason or ""))
                broken.clear()
                run = until_finished(b, run_id)

            assert run.counts.sent == 3
            assert {d.attempts for d in b.deliveries(run_id)} == {1}

    def test_one_in_sending_leaves_a_doubt_and_the_others_go_on(self, tmp_path: Path) -> None:
        async def connect(account: Account) -> Transport | Reply | Broken:
            opened = await connect_quickly(account)
            return opened if isinstance(opened, Reply | Broken) else Forgetful(opened)

        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server, people=5)
            with sending(b, connect=connect):
                run = until_finished(b, run_id)

            assert (run.counts.sent, run.counts.in_doubt) == (4, 1)
            assert receivers(server.messages) == everybody(5)


class Most:
    """The most connections that a server had at once."""

    def __init__(self) -> None:
        self.connections = 0

    def note(self, server: ScriptedServer) -> None:
        self.connections = max(self.connections, server.open_connections)


class BrokenFor:
    """A composer that raises for whose address ends so."""

    def __init__(self, email: str, composer: Any) -> None:
        self._email = email
        self._composer = composer

    def message_id(self, item: Any, account: Any) -> str:
        return str(self._composer.message_id(item, account))

    def compose(self, item: Any, *args: Any, **options: Any) -> Any:
        if item.email.endswith(self._email):
            raise ZeroDivisionError
        return self._composer.compose(item, *args, **options)


class Forgetful:
    """A transport that raises after it has handed over the mail to p2."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    @property
    def usable(self) -> bool:
        return bool(self._transport.usable)

    async def send(self, message: Any, before_content: Any) -> Any:
        answer = await self._transport.send(message, before_content)
        if message.rcpt_to == "p2@example.com":
            raise KeyError(message.rcpt_to)
        return answer

    async def close(self) -> None:
        await self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


def settle(b: Books) -> None:
    """Let another leader begin, on the same boot."""
    epoch = b.lead(boot_id="boot 1")
    recover(b.database, epoch=epoch, boot_id="boot 1", retry_delay=RETRY_DELAY, now=b.now)


def halved(messages: list[Any]) -> tuple[list[Any], list[Any]]:
    middle = len(messages) // 2
    return messages[:middle], messages[middle:]
