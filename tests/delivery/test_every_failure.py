"""Every way in which a mail server can fail, once, in the middle of a run: what becomes of the recipient, of the
account, and in whose words it is told. Real dispatcher, real sockets; a row for each way, all at once."""

import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts.endpoint import endpoint_of
from accounts.model import Account, Security, State
from foundation.clock import SystemClock
from mail import opening
from mail.reply import Broken, Reply
from mail.transport import Timeouts, Transport
from tests.delivery.builders import (
    QUICK,
    Books,
    books,
    everybody,
    greet_when_two_are_at_hand,
    receivers,
    sending,
    travelled_along,
    until,
    until_finished,
)
from tests.mail.certificates import client_context, server_context
from tests.mail.scripted_server import (
    HANG_UP,
    RESET,
    SILENCE,
    Action,
    Flood,
    InTurn,
    ScriptedServer,
)


@dataclass(frozen=True)
class Row:
    """What a server does the first time that a step is reached, and what is said of it.

    hasty: the time-out that this row waits for, made short. script: what else the server does, always.
    """

    step: str
    actions: Sequence[Action]
    said: str
    hasty: str | None = None
    script: Mapping[str, Any] = field(default_factory=dict)
    account: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.step}: {self.actions}"


def starttls(*actions: Action, said: str) -> Row:
    offers = {"EHLO": [b"250-scripted.test\r\n250 STARTTLS\r\n"]}
    account = {"security": Security.STARTTLS, "host": "localhost"}
    return Row("STARTTLS", actions, said, script=offers, account=account)


def auth(
    *actions: Action, said: str, offers: bytes = b"PLAIN", hasty: str | None = None, **script: Any
) -> Row:
    script = {"EHLO": [b"250-scripted.test\r\n250 AUTH %s\r\n" % offers]} | script
    return Row("AUTH", actions, said, hasty, script, {"username": "u", "password": "p"})


ENDLESS_LINE = Flood(b"x" * 5000)
ENDLESS_REPLY = Flood(b"250-and\r\n" * 20)
NOT_SMTP = "The server's answer is not SMTP"
WRONG_KIND = "The server gave an answer of the wrong kind"
GONE = "(The server closed the connection|The connection broke)"
SILENT = "The server gave no complete answer within 1 seconds"

ACCOUNTS_FAULTS = (
    Row("banner", [b"421 busy\r\n", HANG_UP], "banner: 421 busy"),
    Row("banner", [b"450 later\r\n", HANG_UP], "banner: 450 later"),
    Row("banner", [b"554 no\r\n", HANG_UP], "banner: 554 no"),
    Row("banner", [HANG_UP], f"banner: {GONE}"),
    Row("banner", [RESET], f"(connect|banner): .*({GONE}|reset)"),
    Row("banner", [b"hello there\r\n"], f"banner: {NOT_SMTP}"),
    Row("banner", [b"150 soon\r\n"], f"banner: {NOT_SMTP}"),
    Row("banner", [b"354 go ahead\r\n"], f"banner: {WRONG_KIND}"),
    Row("banner", [b"\x00\x00\r\n"], f"banner: {NOT_SMTP}"),
    Row("banner", [b"220-hello\r\n554 no\r\n"], f"banner: {NOT_SMTP}"),
    Row("banner", [ENDLESS_LINE], f"banner: {NOT_SMTP} .a line of more than"),
    Row("banner", [Flood(b"220-a\r\n" * 20)], f"banner: {NOT_SMTP} .a reply of more than"),
    Row("banner", [SILENCE], f"banner: {SILENT}", "banner"),
    Row("EHLO", [b"421 busy\r\n", HANG_UP], "ehlo: 421 busy"),
    Row("EHLO", [b"450 later\r\n"], "ehlo: 450 later"),
    Row("EHLO", [b"354 go ahead\r\n"], f"ehlo: {WRONG_KIND}"),
    Row("EHLO", [HANG_UP], f"ehlo: {GONE}"),
    Row("EHLO", [ENDLESS_REPLY], f"ehlo: {NOT_SMTP}"),
    Row("EHLO", [SILENCE], f"ehlo: {SILENT}", "command"),
    Row("HELO", [b"550 no\r\n"], "ehlo: 550 no", script={"EHLO": [b"502 what\r\n"]}),
    starttls(b"454 not now\r\n", said="starttls: 454 not now"),
    starttls(b"501 no\r\n", said="starttls: 501 no"),
    starttls(b"421 bye\r\n", HANG_UP, said="starttls: 421 bye"),
    starttls(b"220 go\r\n250 injected\r\n", said="starttls: The server said something that is no"),
    starttls(b"220 go\r\n", HANG_UP, said="tls: "),
    auth(b"454 4.7.0 later\r\n", said="auth: 454 4.7.0 later"),
    auth(b"421 bye\r\n", HANG_UP, said="auth: 421 bye"),
    auth(HANG_UP, said=f"auth: {GONE}"),
    auth(b"354 go\r\n", said=f"auth: {WRONG_KIND}"),
    auth(SILENCE, said=f"auth: {SILENT}", hasty="command"),
    auth(b"334 what?\r\n", said="auth: .* challenge", offers=b"CRAM-MD5"),
    auth(b"334 \r\n", said="auth: .*asks for more than", challenge=[b"334 more\r\n"]),
    Row("MAIL", [b"421 too much\r\n", HANG_UP], "mail: 421 too much"),
    Row("MAIL", [b"550 5.7.1 not you\r\n"], "mail: 550 5.7.1 not you"),
    Row("MAIL", [b"530 5.7.0 sign in\r\n"], "mail: 530 5.7.0 sign in"),
    Row("MAIL", [b"354 go\r\n"], f"mail: {WRONG_KIND}"),
    Row("MAIL", [b"mail?\r\n"], f"mail: {NOT_SMTP}"),
    Row("MAIL", [HANG_UP], f"mail: {GONE}"),
    Row("MAIL", [RESET], f"mail: {GONE}"),
    Row("MAIL", [SILENCE], f"mail: {SILENT}", "command"),
)
PUT_OFF = (
    Row("MAIL", [b"451 later\r\n"], "the server put it off: 451 later"),
    Row("RCPT", [b"450 4.2.0 greylisted\r\n"], "the server put it off: 450 4.2.0 greylisted"),
    Row("RCPT", [b"421 enough\r\n", HANG_UP], "the server put it off: 421 enough"),
    Row("RCPT", [HANG_UP], f"the connection broke: {GONE}"),
    Row("RCPT", [RESET], f"the connection broke: {GONE}"),
    Row("RCPT", [b"354 go\r\n"], f"the connection broke: {WRONG_KIND}"),
    Row("RCPT", [b"250-yes\r\n550 no\r\n"], f"the connection broke: {NOT_SMTP}"),
    Row(
        "RCPT",
        [b"250 yes\r\n250 yes\r\n"],
        "the connection broke: The server (said something|gave an answer)",
    ),
    Row("RCPT", [ENDLESS_LINE], f"the connection broke: {NOT_SMTP}"),
    Row("RCPT", [SILENCE], f"the connection broke: {SILENT}", "command"),
    Row(
        "RCPT",
        [b"450 greylisted\r\n"],
        "the server put it off: 450 greylisted",
        script={"RSET": [b"421 bye\r\n", HANG_UP]},
    ),
    Row("DATA", [b"451 later\r\n"], "the server put it off: 451 later"),
    Row("DATA", [b"421 enough\r\n", HANG_UP], "the server put it off: 421 enough"),
    Row("DATA", [RESET], f"the connection broke: {GONE}"),
    Row("DATA", [b"250 what\r\n"], f"the connection broke: {WRONG_KIND}"),
    Row("DATA", [ENDLESS_REPLY], f"the connection broke: {NOT_SMTP}"),
    Row("DATA", [SILENCE], f"the connection broke: {SILENT}", "data"),
    Row(
        "DATA",
        [b"354 go ahead\r\n250 queued already\r\n", SILENCE],
        "the connection broke: The server spoke before the end of the content",
    ),
    Row("content", [RESET], f"the connection broke: {GONE}"),
    Row("content", [b"421 enough\r\n", HANG_UP], "the connection broke: The server spoke before"),
    Row("end", [b"451 later\r\n"], "the server put it off: 451 later"),
    Row("end", [b"452 4.3.1 no room\r\n"], "the server put it off: 452 4.3.1 no room"),
    Row("end", [b"421 enough\r\n", HANG_UP], "the server put it off: 421 enough"),
)
FINAL = (
    Row("MAIL", [b"552 5.3.4 too big\r\n"], "the server refused the message: 552 5.3.4 too big"),
    Row("MAIL", [b"555 BODY?\r\n"], "the server refused the message: 555 BODY"),
    Row("MAIL", [b"553 SMTPUTF8?\r\n"], "the server refused the message: 553 SMTPUTF8"),
    Row("RCPT", [b"550 5.1.1 nobody\r\n"], "the server refused the recipient: 550 5.1.1 nobody"),
    Row("RCPT", [b"550 no\n"], "the server refused the recipient: 550 no"),
    Row("RCPT", [b"550 \xff\x00\r\n"], "the server refused the recipient: 550 \ufffd\ufffd"),
    Row("DATA", [b"554 no\r\n"], "the server refused to take the message: 554 no"),
    Row("end", [b"554 5.7.1 spam\r\n"], "the server refused the content: 554 5.7.1 spam"),
    Row("end", [b"554-a\r\n554 b\r\n"], "the server refused the content: 554 a\nb"),
)
DOUBTS = (
    Row("end", [HANG_UP], GONE),
    Row("end", [RESET], GONE),
    Row("end", [b"25", HANG_UP], GONE),
    Row("end", [b"250-queued\r\n", HANG_UP], f"{GONE}.*250 queued"),
    Row("end", [b"what?\r\n", HANG_UP], NOT_SMTP),
    Row("end", [b"354 go\r\n"], WRONG_KIND),
    Row("end", [b"150 soon\r\n"], NOT_SMTP),
    Row("end", [b"\x00250 ok\r\n"], NOT_SMTP),
    Row("end", [b"250-queued\r\n550 no\r\n"], NOT_SMTP),
    Row("end", [ENDLESS_LINE], NOT_SMTP),
    Row("end", [ENDLESS_REPLY], NOT_SMTP),
    Row("end", [SILENCE], SILENT, "end"),
    Row("end", [b"250-queued\r\n", SILENCE], SILENT, "end"),
)
NOBODYS_FAULT = (
    Row("end", [b"250 queued\r\n", HANG_UP], ""),
    Row("end", [b"250 queued\r\n421 idle too long\r\n", HANG_UP], ""),
    Row("end", [b"250 queued\r\n250 stray\r\n"], ""),
    Row("end", [b"250 queued\r\n", RESET], ""),
)
LARGE = ("€" * 70 + "\n") * 14_000  # in base64 more than the loopback swallows at once


class Case:
    """A server that fails as the row says, and a run of three that goes through it.

    ahead: it fails the second time, when the step is reached for the mail that was looked ahead to.
    """

    def __init__(self, b: Books, scene: "Scene", row: Row, *, ahead: bool = False) -> None:
        self.row = row
        self.server = ScriptedServer(row.script, tls=scene.tls)
        scene.servers.enter_context(self.server)
        script = self.server.script
        usual = script[row.step]
        script[row.step] = InTurn(*[usual] * ahead, row.actions, usual)
        fields = {"port": self.server.port, "max_connections": 1} | dict(row.account)
        self.account = b.account(**fields)
        text = LARGE if row.step == "content" else "Hi"
        self.run_id = b.running(people=3, account_ids=(self.account.id,), text=text)
        if row.hasty is not None:
            short = {row.hasty: timedelta(seconds=1)}
            scene.timeouts[self.server.port] = replace(QUICK, **short)
        if ahead:
            greet_when_two_are_at_hand(b, self.server, self.run_id)


class Scene:
    """All servers of a test, and how to connect to each."""

    def __init__(self, folder: Path, servers: ExitStack) -> None:
        self.servers = servers
        self.timeouts: dict[int, Timeouts] = {}
        self.tls, certificate = server_context(folder, names=("localhost",))
        self._client = client_context(certificate)

    async def connect(self, account: Account) -> Transport | Reply | Broken:
        timeouts = self.timeouts.get(account.port, PATIENT)
        endpoint = endpoint_of(account, sandbox_port=account.port)
        return await opening.connect(endpoint, timeouts, tls=self._client)


PATIENT = replace(QUICK, banner=timedelta(seconds=30), command=timedelta(seconds=30))


def test_whatever_a_server_does_has_one_meaning_and_is_told_in_its_words(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ExitStack() as servers:
        scene = Scene(tmp_path, servers)
        b.note_rests()
        note_what_is_put_off(b)
        there = {
            what: [Case(b, scene, row) for row in rows]
            for what, rows in {
                "account": ACCOUNTS_FAULTS,
                "put off": PUT_OFF,
                "final": FINAL,
                "doubt": DOUBTS,
                "nobody": NOBODYS_FAULT,
            }.items()
        }
        with sending(b, connect=scene.connect):
            for case in (case for cases in there.values() for case in cases):
                until_finished(b, case.run_id, seconds=40)

        rests = b.rests()
        for case in there["account"]:
            assert told(rests[case.account.id], case)
            assert outcome_of(b, case) == ({"sent": 3}, [1, 1, 1]), case.row
            assert receivers(case.server.messages) == everybody(), case.row
        for case in there["put off"]:
            assert told(put_off(b, case), case)
            assert outcome_of(b, case) == ({"sent": 3}, [1, 1, 2]), case.row
            refused = 1 if case.row.step == "end" else 0
            assert len(case.server.messages) == 3 + refused, case.row
        for case in there["final"]:
            [failed] = [d for d in b.deliveries(case.run_id) if d.status == "failed"]
            assert told(f"{failed.reason}: {failed.smtp_code} {failed.smtp_reply}", case)
            assert outcome_of(b, case) == ({"sent": 2, "failed": 1}, [1, 1, 1]), case.row
        for case in there["doubt"]:
            [doubt] = [d for d in b.deliveries(case.run_id) if d.status == "in_doubt"]
            assert told(doubt.reason or "", case)
            assert outcome_of(b, case) == ({"sent": 2, "in_doubt": 1}, [1, 1, 1]), case.row
            assert receivers(case.server.messages) == everybody(), case.row
        for case in there["nobody"]:
            assert outcome_of(b, case) == ({"sent": 3}, [1, 1, 1]), case.row
            assert receivers(case.server.messages) == everybody(), case.row
        at_fault = {case.account.id for case in there["account"]}
        assert set(rests) == at_fault
        assert {a.state for a in b.accounts()} == {State.OK}


AHEAD_ACCOUNTS_FAULTS = (Row("MAIL", [b"550 5.7.1 not you\r\n"], "mail: 550 5.7.1 not you"),)
AHEAD_PUT_OFF = (
    Row("MAIL", [b"451 later\r\n"], "the server put it off: 451 later"),
    Row("RCPT", [b"450 4.2.0 greylisted\r\n"], "the server put it off: 450 4.2.0 greylisted"),
    Row("RCPT", [b"421 enough\r\n", HANG_UP], "the server put it off: 421 enough"),
    Row("RCPT", [HANG_UP], f"the connection broke: {GONE}"),
    Row("RCPT", [b"250 yes\r\n250 yes\r\n"], f"the connection broke: {WRONG_KIND}"),
    Row("DATA", [RESET], f"the connection broke: {GONE}"),
    Row("DATA", [SILENCE], f"the connection broke: {SILENT}", "data"),
    Row(
        "DATA",
        [b"354 go ahead\r\n250 queued already\r\n", SILENCE],
        "the connection broke: The server spoke before the end of the content",
    ),
    Row("end", [b"421 enough\r\n", HANG_UP], "the server put it off: 421 enough"),
)
AHEAD_FINAL = (
    Row("MAIL", [b"552 5.3.4 too big\r\n"], "the server refused the message: 552 5.3.4 too big"),
    Row("RCPT", [b"550 5.1.1 nobody\r\n"], "the server refused the recipient: 550 5.1.1 nobody"),
    Row("DATA", [b"554 no\r\n"], "the server refused to take the message: 554 no"),
    Row("end", [b"554 5.7.1 spam\r\n"], "the server refused the content: 554 5.7.1 spam"),
)
AHEAD_DOUBTS = (
    Row("end", [HANG_UP], GONE),
    Row("end", [RESET], GONE),
    Row("end", [b"what?\r\n", HANG_UP], NOT_SMTP),
    Row("end", [SILENCE], SILENT, "end"),
)
AHEAD_NOBODYS_FAULT = (
    Row("MAIL", [b"421 too much\r\n", HANG_UP], ""),
    Row("MAIL", [HANG_UP], ""),
    Row("MAIL", [RESET], ""),
    Row("MAIL", [b"mail?\r\n"], ""),
    Row("MAIL", [SILENCE], "", "command"),
)


def test_the_mail_that_was_looked_ahead_to_fails_as_any_other(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ExitStack() as servers:
        scene = Scene(tmp_path, servers)
        b.note_rests()
        note_what_is_put_off(b)

        def there(rows: Sequence[Row]) -> list[Case]:
            return [Case(b, scene, row, ahead=True) for row in rows]

        accounts, put_offs = there(AHEAD_ACCOUNTS_FAULTS), there(AHEAD_PUT_OFF)
        final, doubts = there(AHEAD_FINAL), there(AHEAD_DOUBTS)
        nobody = there(AHEAD_NOBODYS_FAULT)
        cases = [*accounts, *put_offs, *final, *doubts, *nobody]
        with sending(b, connect=scene.connect):
            for case in cases:
                until_finished(b, case.run_id, seconds=40)

        rests = b.rests()
        assert set(rests) == {case.account.id for case in accounts}
        for case in accounts:
            assert told(rests[case.account.id], case)
        for case in put_offs:
            assert told(put_off(b, case), case)
            assert outcome_of(b, case) == ({"sent": 3}, [1, 1, 2]), str(case.row)
        for case in final:
            failed = b.delivery(case.run_id, "p1@example.com")
            assert told(f"{failed.reason}: {failed.smtp_code} {failed.smtp_reply}", case)
            assert outcome_of(b, case) == ({"sent": 2, "failed": 1}, [1, 1, 1]), str(case.row)
        for case in doubts:
            doubt = b.delivery(case.run_id, "p1@example.com")
            assert doubt.status == "in_doubt"
            assert told(doubt.reason or "", case)
            assert outcome_of(b, case) == ({"sent": 2, "in_doubt": 1}, [1, 1, 1]), str(case.row)
        for case in [*accounts, *nobody]:
            assert outcome_of(b, case) == ({"sent": 3}, [1, 1, 1]), str(case.row)
            assert receivers(case.server.messages) == everybody(), str(case.row)
        assert all(travelled_along(case.server) for case in cases)


def told(words: str, case: Case) -> bool:
    """Whether it was said as the row has it; fails with both when it was not."""
    assert re.match(case.row.said, words, re.DOTALL), (str(case.row), words)
    return True


def outcome_of(b: Books, case: Case) -> tuple[dict[str, int], list[int]]:
    """Return how the recipients stand, and how many tries each was counted."""
    attempts = sorted(d.attempts for d in b.deliveries(case.run_id))
    return dict(b.statuses(case.run_id)), attempts


def note_what_is_put_off(b: Books) -> None:
    with b.database.write(durable=False) as tx:
        tx.exec_driver_sql("CREATE TABLE put_off (run_id INTEGER, said TEXT)")
        tx.exec_driver_sql(
            "CREATE TRIGGER note_put_off AFTER UPDATE ON deliveries"
            " WHEN NEW.status = 'queued' AND NEW.attempts > OLD.attempts BEGIN"
            " INSERT INTO put_off VALUES (NEW.run_id, NEW.reason ||"
            " coalesce(': ' || NEW.smtp_code || ' ' || NEW.smtp_reply, '')); END"
        )


def put_off(b: Books, case: Case) -> str:
    """Return what was said when a delivery of the case's run was put off, the only time."""
    [row] = b.raw("SELECT said FROM put_off WHERE run_id = :id", id=case.run_id)
    said: str = row.said
    return said


STAY = (
    Row("tls", [], "tls: The server's certificate can't be trusted .*Hostname mismatch"),
    Row("tls", [], "tls: The server's certificate can't be trusted .*self.signed"),
    Row("tls", [], "tls: The server's certificate can't be trusted .*expired"),
    Row("tls", [], "tls: The server (does not speak TLS|speaks without TLS) on this port"),
    starttls(said="starttls: The server does not offer STARTTLS"),
    auth(said="auth: The server offers no way to sign in that we know", offers=b"XOAUTH2"),
    Row("banner", [b"554 5.7.1 listed\r\n", HANG_UP], "banner: 554 5.7.1 listed"),
)


def test_an_account_whose_server_can_not_be_used_rests_and_no_try_is_counted(
    tmp_path: Path,
) -> None:
    with books(tmp_path, SystemClock()) as b, ExitStack() as servers:
        for folder in ("name", "stranger", "old"):
            (tmp_path / folder).mkdir()
        wrong_name, known = server_context(tmp_path / "name", names=("elsewhere.test",))
        stranger, _ = server_context(tmp_path / "stranger", names=("localhost",))
        old, old_known = server_context(
            tmp_path / "old", names=("localhost",), ended=timedelta(days=1)
        )
        # Each client trusts one of them; the stranger is trusted by nobody.
        trusted = iter([known, known, old_known, *[known] * 4])
        trusts: dict[int, ssl.SSLContext] = {}
        there: list[tuple[Row, Account, int]] = []
        for row, tls in zip(STAY, [wrong_name, stranger, old, *[None] * 4], strict=True):
            script = dict(row.script)
            if row.step == "STARTTLS":
                script = {}
            elif row.step == "banner":
                script["banner"] = row.actions
            server = ScriptedServer(script, tls=tls, implicit_tls=tls is not None)
            servers.enter_context(server)
            trusts[server.port] = client_context(next(trusted))
            security = {"security": Security.TLS, "host": "localhost"} if row.step == "tls" else {}
            account = b.account(**({"port": server.port} | security | dict(row.account)))
            there.append((row, account, b.running(people=3, account_ids=(account.id,))))

        async def connect(account: Account) -> Transport | Reply | Broken:
            endpoint = endpoint_of(account, sandbox_port=account.port)
            return await opening.connect(endpoint, QUICK, tls=trusts[account.port])

        with sending(b, connect=connect):
            until(lambda: {b.account_by_id(a.id).state for _, a, _ in there} == {State.FAILING})

        for row, account, run_id in there:
            assert re.match(row.said, b.account_by_id(account.id).state_reason or ""), (
                row.said,
                b.account_by_id(account.id).state_reason,
            )
            assert b.statuses(run_id) == {"queued": 3}
            assert {d.attempts for d in b.deliveries(run_id)} == {0}


@pytest.mark.parametrize("code", [500, 504, 530, 534, 535, 538, 550])
def test_a_sign_in_that_is_refused_for_good_pauses_the_account(tmp_path: Path, code: int) -> None:
    row = auth(b"%d 5.7.8 no\r\n" % code, said="")
    with books(tmp_path, SystemClock()) as b, ScriptedServer(row.script) as server:
        server.script["AUTH"] = row.actions
        account = b.account(port=server.port, **row.account)
        run_id = b.running(people=3, account_ids=(account.id,))
        with sending(b):
            until(lambda: b.account_by_id(account.id).state == State.PAUSED)
            until(lambda: b.statuses(run_id) == {"queued": 3})

        assert b.account_by_id(account.id).state_reason == f"auth: {code} 5.7.8 no"
        assert {d.attempts for d in b.deliveries(run_id)} == {0}
