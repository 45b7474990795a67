"""What becomes of recipients and accounts, whatever the mail server says or does: real dispatcher, real sockets."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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
    SILENCE,
    Action,
    InTurn,
    ScriptedServer,
)


@dataclass(frozen=True)
class Fault:
    step: str
    actions: Sequence[Action]
    said: str


FAULTS = (
    Fault("banner", [b"421 busy\r\n", HANG_UP], "banner: 421 busy"),
    Fault("banner", [b"450 later\r\n", HANG_UP], "banner: 450 later"),
    Fault("banner", [b"554 no\r\n", HANG_UP], "banner: 554 no"),
    Fault("banner", [HANG_UP], "banner: "),
    Fault("banner", [RESET], "(connect|banner): "),
    Fault("banner", [b"hello there\r\n"], "banner: "),
    Fault("EHLO", [b"421 busy\r\n", HANG_UP], "ehlo: 421 busy"),
    Fault("EHLO", [b"450 later\r\n"], "ehlo: 450 later"),
    Fault("EHLO", [HANG_UP], "ehlo: "),
    Fault("MAIL", [b"421 too much\r\n", HANG_UP], "mail: 421 too much"),
    Fault("MAIL", [b"550 5.7.1 not you\r\n"], "mail: 550 5.7.1 not you"),
    Fault("MAIL", [HANG_UP], "mail: "),
    Fault("MAIL", [RESET], "mail: "),
)
PUT_OFF: Sequence[tuple[str, Sequence[Action]]] = (
    ("MAIL", [b"451 later\r\n"]),
    ("RCPT", [b"450 greylisted\r\n"]),
    ("RCPT", [b"421 enough\r\n", HANG_UP]),
    ("RCPT", [HANG_UP]),
    ("DATA", [b"451 later\r\n"]),
    ("DATA", [b"421 enough\r\n", HANG_UP]),
    ("DATA", [RESET]),
    ("DATA", [b"250 what\r\n"]),
    ("content", [RESET]),
    ("end", [b"451 later\r\n"]),
    ("end", [b"421 enough\r\n", HANG_UP]),
)
LARGE = (
    "€" * 70 + "\n"
) * 14_000  # four megabytes in base64: more than the loopback swallows at once


class Case:
    """A server that does something else the first time a step is reached, and a run that goes through it."""

    def __init__(
        self,
        b: Books,
        open_servers: ExitStack,
        step: str,
        actions: Sequence[Action],
        **changes: Any,
    ) -> None:
        self.step = step
        self.server = open_servers.enter_context(ScriptedServer())
        self.server.script[step] = InTurn(actions, self.server.script[step])
        self.run_id = a_run(b, self.server, **changes)
        [self.account_id] = b.run(self.run_id).content.account_ids


def a_run(b: Books, server: ScriptedServer, *, people: int = 3, **changes: Any) -> int:
    """Make a run that goes through this server, one connection at a time unless said otherwise."""
    of_run = {k: changes.pop(k) for k in ("in_doubt", "text") if k in changes}
    account = b.account(**({"port": server.port, "max_connections": 1} | changes))
    return b.running(people=people, account_ids=(account.id,), **of_run)


class TestTheAccountsFaults:
    """No try is counted, the account rests, and everybody gets their one mail in the end."""

    def test_a_fault_is_over_and_everybody_gets_their_mail(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ExitStack() as open_servers:
            there = [Case(b, open_servers, f.step, f.actions) for f in FAULTS]
            b.note_rests()
            with sending(b):
                for case in there:
                    until_finished(b, case.run_id)

            for case, fault in zip(there, FAULTS, strict=True):
                assert re.match(fault.said, b.rests()[case.account_id]), fault
                assert receivers(case.server.messages) == everybody(), fault
                assert {d.attempts for d in b.deliveries(case.run_id)} == {1}, fault
                assert b.account_by_id(case.account_id).state == State.OK, fault

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

    def test_a_sign_in_that_is_put_off_rests_the_account(self, tmp_path: Path) -> None:
        script = {
            "EHLO": [b"250-scripted.test\r\n250 AUTH PLAIN\r\n"],
            "AUTH": InTurn([b"454 4.7.0 later\r\n"], [b"235 welcome\r\n"]),
        }
        with books(tmp_path, SystemClock()) as b, ScriptedServer(script) as server:
            run_id = a_run(b, server, username="u", password="p")
            with sending(b):
                run = until_finished(b, run_id)

            assert run.status == "completed"
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

    def test_what_is_put_off_is_sent_once_in_the_end(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ExitStack() as open_servers:
            there = [
                # Large, so that a server that goes in the middle of the content is noticed there.
                Case(b, open_servers, step, actions, text=LARGE if step == "content" else "Hi")
                for step, actions in PUT_OFF
            ]
            with sending(b):
                for case in there:
                    until_finished(b, case.run_id)

            for case, what in zip(there, PUT_OFF, strict=True):
                refused = 1 if case.step == "end" else 0
                assert b.statuses(case.run_id) == {"sent": 3}, what
                assert sum(receivers(case.server.messages).values()) == 3 + refused, what
                assert sorted(d.attempts for d in b.deliveries(case.run_id)) == [1, 1, 2], what

    @pytest.mark.parametrize("step", ["RCPT", "DATA", "end"])
    def test_a_refusal_is_final(self, tmp_path: Path, step: str) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server)
            server.script[step] = InTurn([b"550 5.7.1 spam\r\n"], server.script[step])
            with sending(b):
                run = until_finished(b, run_id)

            assert (run.counts.sent, run.counts.failed) == (2, 1)
            [failed] = [d for d in b.deliveries(run_id) if d.status == "failed"]
            assert (failed.smtp_code, failed.smtp_reply) == (550, "5.7.1 spam")
            assert failed.attempts == 1

    def test_a_message_that_is_too_big_fails_and_the_account_goes_on(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server)
            server.script["MAIL"] = InTurn([b"552 5.3.4 too big\r\n"], [b"250 ok\r\n"])
            with sending(b):
                run = until_finished(b, run_id)

            assert (run.counts.sent, run.counts.failed) == (2, 1)
            assert b.first_account().state == State.OK

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

    @pytest.mark.parametrize(
        "actions",
        [
            [HANG_UP],
            [RESET],
            [b"25", HANG_UP],
            [b"250-queued\r\n", HANG_UP],
            [b"what?\r\n", HANG_UP],
        ],
    )
    def test_a_doubt_is_held_and_the_others_go_on(
        self, tmp_path: Path, actions: Sequence[Action]
    ) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server)
            server.script["end"] = InTurn(actions, [b"250 ok\r\n"])
            with sending(b):
                run = until_finished(b, run_id)

            assert (run.counts.sent, run.counts.in_doubt) == (2, 1)
            assert receivers(server.messages) == everybody()

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

    def test_a_word_that_nobody_asked_for_is_no_reply_to_the_content(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            run_id = a_run(b, server)
            server.script["DATA"] = InTurn(
                [b"354 go ahead\r\n250 queued already\r\n", SILENCE], server.script["DATA"]
            )
            with sending(b):
                run = until_finished(b, run_id)

            assert run.counts.sent == 3
            assert receivers(server.messages) == everybody()


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
