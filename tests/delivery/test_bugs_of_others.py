"""The ways in which other programs lose mails or send them twice when they die or wait in vain, each tried on ours."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from accounts.endpoint import endpoint_of
from accounts.model import Account
from foundation.clock import SystemClock
from mail import opening
from mail.reply import Broken, Reply
from mail.transport import Transport
from tests.delivery.builders import (
    QUICK,
    Books,
    books,
    everybody,
    receivers,
    run_through,
    sending,
    until,
    until_finished,
)
from tests.mail.scripted_server import SILENCE, Call, InTurn, ScriptedServer

TAKEN = [b"250 queued\r\n"]


def test_listmonk_a_killed_process_loses_nobody_of_the_batch_that_it_had_fetched(
    tmp_path: Path,
) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        stuck = threading.Event()
        well_behaved = server.script["MAIL"]
        server.script["MAIL"] = InTurn(*[well_behaved] * 5, [Call(stuck.set), SILENCE])
        run_id = run_through(b, server, people=60, max_connections=20)
        with sending(b):
            assert stuck.wait(10)
            until(lambda: b.statuses(run_id)["sent"] == 5)
            fetched = b.statuses(run_id)["leased"]
            die(b)
            settled = b.statuses(run_id)

        assert fetched >= 15
        assert settled == {"sent": 5, "queued": 55}
        server.script["MAIL"] = well_behaved
        with sending(b):
            run = until_finished(b, run_id)

        assert run.counts.sent == 60
        assert receivers(server.messages) == everybody(60)


def test_keila_and_billionmail_a_restart_sends_nobody_the_mail_again(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        # The server has the hundredth mail, and the process dies before it hears so.
        server.script["end"] = InTurn(*[TAKEN] * 99, [Call(lambda: die(b)), *TAKEN], TAKEN)
        run_id = run_through(b, server, people=150, max_connections=4)
        with sending(b) as dispatcher:
            until(lambda: not dispatcher.is_alive)
        had_it = receivers(server.messages)
        with sending(b):
            run = until_finished(b, run_id)

        assert 100 <= had_it.total() < 150
        assert set(receivers(server.messages).values()) == {1}
        doubts = {d.email for d in b.deliveries(run_id) if d.status == "in_doubt"}
        assert set(receivers(server.messages)) | doubts == set(everybody(150))
        # Not the hundred that it had sent: only what it had no reply to, one for each connection.
        assert 1 <= len(doubts) <= 4
        assert run.counts.sent == 150 - len(doubts)


def test_notifuse_and_mautic_a_time_out_behind_the_final_dot_is_a_doubt_and_no_retry(
    tmp_path: Path,
) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        server.script["end"] = InTurn([SILENCE], TAKEN)
        run_id = run_through(b, server, people=5, max_connections=1)
        with sending(b, connect=connect_impatiently):
            run = until_finished(b, run_id)

        assert receivers(server.messages) == everybody(5)
        assert (run.counts.sent, run.counts.in_doubt) == (4, 1)
        doubt = b.delivery(run_id, "p0@example.com")
        assert (doubt.status, doubt.attempts, doubt.next_attempt_at) == ("in_doubt", 1, None)


def die(b: Books) -> None:
    """Let the process be dead: the next one leads, and what the dead one still does is worth nothing."""
    b.lead(boot_id="boot 1")
    b.recover(boot_id="boot 1")


async def connect_impatiently(account: Account) -> Transport | Reply | Broken:
    """Connect, and wait only a moment for the reply to the final dot."""
    endpoint = endpoint_of(account, sandbox_port=account.port)
    return await opening.connect(endpoint, replace(QUICK, end=timedelta(seconds=0.3)))
