"""A run that goes through several accounts: each takes what it can, and what one can't another does."""

import socket
from pathlib import Path

from foundation.clock import SystemClock
from tests.delivery.builders import (
    books,
    everybody,
    receivers,
    sending,
    until,
    until_finished,
)
from tests.mail.scripted_server import HANG_UP, Call, InTurn, ScriptedServer


def test_each_account_takes_its_part_by_what_it_may_send(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as slow, ScriptedServer() as fast:
        accounts = [
            b.account(port=slow.port, rate_per_second=10),
            b.account(port=fast.port, rate_per_second=40),
        ]
        run_id = b.running(people=150, account_ids=tuple(a.id for a in accounts))
        with sending(b):
            until_finished(b, run_id)

        assert receivers(slow.messages) + receivers(fast.messages) == everybody(150)
        # One second's worth of each at once, and then by the rates: 1 to 4.
        assert 20 <= len(slow.messages) <= 40


def test_the_limit_of_an_account_holds_for_all_its_runs_together(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port, limit_per_hour=23, max_connections=8)
        runs = [
            b.running(*(f"p{i}.{n}@example.com" for i in range(30)), account_ids=(account.id,))
            for n in range(3)
        ]
        with sending(b) as dispatcher:
            server.wait_until(lambda: len(server.messages) >= 23)
            until(lambda: sum(b.run(r).counts.sent for r in runs) == 23)
            for _ in range(5):  # looks of the leasing thread
                dispatcher.wake()
                until(lambda: not dispatcher._wake.is_set())

        assert len(server.messages) == 23
        # They took turns.
        assert min(b.run(run_id).counts.sent for run_id in runs) >= 4


def test_when_the_limit_of_one_is_used_up_the_other_takes_the_rest(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as one, ScriptedServer() as other:
        limited = b.account(port=one.port, limit_per_hour=7)
        free = b.account(port=other.port)
        run_id = b.running(people=40, account_ids=(limited.id, free.id))
        with sending(b):
            until_finished(b, run_id)

        assert len(one.messages) <= 7
        assert receivers(one.messages) + receivers(other.messages) == everybody(40)


def test_a_server_that_is_down_holds_nobody_up(tmp_path: Path) -> None:
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer() as server,
        socket.socket() as nobody,
    ):
        nobody.bind(("127.0.0.1", 0))  # bound, but it listens to no one
        down = b.account(port=nobody.getsockname()[1], max_connections=20)
        well = b.account(port=server.port)
        run_id = b.running(people=40, account_ids=(down.id, well.id))
        with sending(b):
            until_finished(b, run_id, seconds=5)

        assert receivers(server.messages) == everybody(40)
        assert {d.attempts for d in b.deliveries(run_id)} == {1}
        assert b.account_by_id(down.id).state == "failing"


def test_a_server_that_refuses_the_sender_midway_leaves_the_rest_to_the_other(
    tmp_path: Path,
) -> None:
    script = {"MAIL": InTurn(*[[b"250 ok\r\n"]] * 5, [b"421 too much\r\n", HANG_UP])}
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer(script) as sick,
        ScriptedServer() as server,
    ):
        accounts = [b.account(port=s.port, max_connections=1) for s in (sick, server)]
        run_id = b.running(people=200, account_ids=tuple(a.id for a in accounts))
        with sending(b):
            until_finished(b, run_id)

        assert receivers(sick.messages) + receivers(server.messages) == everybody(200)
        assert {d.attempts for d in b.deliveries(run_id)} == {1}


def test_what_one_server_may_have_taken_no_other_gets(tmp_path: Path) -> None:
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer({"end": [HANG_UP]}) as silent,
        ScriptedServer() as server,
    ):
        server.script["MAIL"] = [
            Call(lambda: silent.wait_until(lambda: bool(silent.messages))),
            b"250 ok\r\n",
        ]
        first = b.account(port=silent.port, max_connections=1)
        second = b.account(port=server.port, max_connections=1)
        run_id = b.running(people=6, account_ids=(first.id, second.id))
        with sending(b):
            until(lambda: b.run(run_id).status.finished)

        counts = b.run(run_id).counts
        taken = receivers(silent.messages)
        assert counts.in_doubt == sum(taken.values()) > 0
        assert counts.sent == len(server.messages) == 6 - counts.in_doubt
        assert not taken & receivers(server.messages)
