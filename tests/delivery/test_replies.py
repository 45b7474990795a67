"""What becomes of recipients and accounts, whatever the mail server says or does: real dispatcher, real sockets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from accounts.model import State
from campaigns.model import InDoubtRule
from foundation.clock import SystemClock
from tests.delivery.builders import (
    Books,
    books,
    everybody,
    receivers,
    sending,
    until,
    until_finished,
)
from tests.mail.scripted_server import (
    HANG_UP,
    RESET,
    Action,
    InTurn,
    ScriptedServer,
)


def a_run(b: Books, server: ScriptedServer, *, people: int = 3, **changes: Any) -> int:
    """Make a run that goes through this server, one connection at a time unless said otherwise."""
    of_run = {k: changes.pop(k) for k in ("in_doubt", "text") if k in changes}
    account = b.account(**({"port": server.port, "max_connections": 1} | changes))
    return b.running(people=people, account_ids=(account.id,), **of_run)


class TestTheAccountsFaults:
    """No try is counted, the account rests, and everybody gets their one mail in the end."""

    def test_a_server_that_is_down_is_asked_again_and_again(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as down:
            run_id = a_run(b, down)
        with books(tmp_path, SystemClock()) as b, sending(b):
            until(lambda: "connect:" in (b.first_account().state_reason or ""))

            assert b.statuses(run_id)["queued"] == 3
            assert {d.attempts for d in b.deliveries(run_id)} == {0}

    def test_a_refused_password_pauses_the_account_until_a_person_has_looked(
        self, tmp_path: Path
    ) -> None:
        script = {
            "EHLO": [b"250-scripted.test\r\n250 AUTH PLAIN\r\n"],
            "AUTH": [b"535 5.7.8 wrong\r\n"],
        }
        with books(tmp_path, SystemClock()) as b, ScriptedServer(script) as server:
            run_id = a_run(b, server, username="u", password="p", max_connections=4)
            with sending(b):
                until(lambda: b.first_account().state == State.PAUSED)
                until(lambda: "leased" not in b.statuses(run_id))

                assert b.first_account().state_reason == "auth: 535 5.7.8 wrong"
                assert b.run(run_id).status == "running"
                assert sum(c.startswith("AUTH") for c in server.commands) == 1

                server.script["AUTH"] = [b"235 welcome\r\n"]
                b.revive(b.first_account())
                until_finished(b, run_id)

            assert receivers(server.messages) == everybody()

    def test_a_server_that_can_not_say_ehlo_is_greeted_in_the_old_way(self, tmp_path: Path) -> None:
        with (
            books(tmp_path, SystemClock()) as b,
            ScriptedServer({"EHLO": [b"502 no\r\n"]}) as server,
        ):
            run_id = a_run(b, server)
            with sending(b):
                until_finished(b, run_id)

            assert receivers(server.messages) == everybody()

    def test_connections_that_are_too_many_are_done_without(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server, people=200, max_connections=4)
            server.script["banner"] = InTurn(
                *[[b"220 scripted.test ESMTP\r\n"]] * 2, [b"421 too many connections\r\n", HANG_UP]
            )
            with sending(b):
                run = until_finished(b, run_id)

            assert run.counts.sent == 200
            assert receivers(server.messages) == everybody(200)
            assert {d.attempts for d in b.deliveries(run_id)} == {1}


class TestTheRecipientsOwn:
    """4xx are tried again and 5xx are final, and the others go on."""

    def test_a_run_in_which_everybody_is_refused_has_failed(self, tmp_path: Path) -> None:
        with (
            books(tmp_path, SystemClock()) as b,
            ScriptedServer({"RCPT": [b"550 5.1.1 nobody\r\n"]}) as server,
        ):
            run_id = a_run(b, server, people=30)
            with sending(b):
                run = until_finished(b, run_id)

            assert (run.status, run.counts.failed) == ("failed", 30)


class TestDoubts:
    """The end of the content may have arrived, and no complete reply came back."""

    def test_a_doubt_is_sent_once_more_where_the_rule_says_so(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server, in_doubt=InDoubtRule.RESEND, people=1)
            server.script["end"] = InTurn([HANG_UP], [b"250 ok\r\n"])
            with sending(b):
                run = until_finished(b, run_id)

            assert run.counts.sent == 1
            first, second = (message_id_of(m.content) for m in server.messages)
            assert first == second == b.delivery(run_id).message_id

    def test_a_second_doubt_is_held_whatever_the_rule(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer({"end": [HANG_UP]}) as server:
            run_id = a_run(b, server, in_doubt=InDoubtRule.RESEND, people=1)
            with sending(b):
                run = until_finished(b, run_id)

            assert run.counts.in_doubt == 1
            assert len(server.messages) == 2


class TestConnectionsThatAreKept:
    @pytest.mark.parametrize(
        "actions", [[b"250 queued\r\n", HANG_UP], [b"250 queued\r\n421 idle too long\r\n", HANG_UP]]
    )
    def test_one_that_is_closed_between_two_messages_is_nobody_s_fault(
        self, tmp_path: Path, actions: Sequence[Action]
    ) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer({"end": actions}) as server:
            run_id = a_run(b, server, people=5)
            b.note_rests()
            with sending(b):
                run = until_finished(b, run_id)

            assert run.counts.sent == 5
            assert receivers(server.messages) == everybody(5)
            assert {d.attempts for d in b.deliveries(run_id)} == {1}
            assert b.rests() == {}

    def test_one_that_is_closed_when_the_next_message_begins_is_nobody_s_fault(
        self, tmp_path: Path
    ) -> None:
        ok = [b"250 ok\r\n"]
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            server.script["MAIL"] = InTurn(ok, [HANG_UP], ok, [RESET], ok)
            run_id = a_run(b, server, people=5)
            b.note_rests()
            with sending(b):
                until_finished(b, run_id)

            assert receivers(server.messages) == everybody(5)
            assert {d.attempts for d in b.deliveries(run_id)} == {1}
            assert b.rests() == {}

    def test_many_messages_go_over_one_connection(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server, people=50)
            with sending(b):
                until_finished(b, run_id)

            assert server.connections == 1


class TestRefusalsInARow:
    def test_they_pause_the_run_and_can_be_queued_again(self, tmp_path: Path) -> None:
        with (
            books(tmp_path, SystemClock()) as b,
            ScriptedServer({"RCPT": [b"554 5.7.1 blocked\r\n"]}) as server,
        ):
            run_id = a_run(b, server, people=40)
            with sending(b):
                until(lambda: b.run(run_id).status == "paused")
                until(lambda: set(b.statuses(run_id)) == {"queued", "failed"})
                run = b.run(run_id)

                assert "20 refusals in a row, the last: 554 5.7.1 blocked" in (run.reason or "")
                assert 20 <= run.counts.failed <= 24
                beyond = run.counts.failed - 20

                server.script["RCPT"] = [b"250 ok\r\n"]
                b.resume(run_id, retry_refused=True)
                run = until_finished(b, run_id)

            assert (run.counts.sent, run.counts.failed) == (40 - beyond, beyond)
            assert set(receivers(server.messages).values()) == {1}

    def test_mails_that_can_not_be_made_pause_the_run_too(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server, people=40, text="{{ 1 / (email|length - 15) }}")
            with sending(b):
                until(lambda: b.run(run_id).status == "paused")

            assert "20 refusals in a row" in (b.run(run_id).reason or "")
            assert "divides by zero" in (b.run(run_id).reason or "")
            assert set(receivers(server.messages)) == {f"p{i}@example.com" for i in range(10)}


def message_id_of(content: bytes) -> str:
    [line] = [x for x in content.decode().split("\r\n") if x.startswith("Message-ID: ")]
    return line.removeprefix("Message-ID: ")
