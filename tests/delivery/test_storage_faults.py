"""A store that can't be used while mails go out: nothing is sent, it is said once, and it goes on by itself."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from foundation.clock import SystemClock
from storage.database import Database
from tests.delivery.builders import (
    Books,
    a_dispatcher,
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


@contextmanager
def read_only(b: Books) -> Iterator[None]:
    """Let every write of ours be refused by the real SQLite, as on a disk that was mounted read-only."""
    with at_every(b, "begin", lambda tx: tx.exec_driver_sql("PRAGMA query_only = ON")):
        yield
    event.listen(
        b.database._engine, "begin", lambda tx: tx.exec_driver_sql("PRAGMA query_only = OFF")
    )


@contextmanager
def full(b: Books) -> Iterator[None]:
    """Let every COMMIT of a write fail as on a full disk."""
    with at_every(b, "commit", lambda tx: fail_a_write(tx, sqlite3.SQLITE_FULL)):
        yield


@contextmanager
def locked(b: Books) -> Iterator[None]:
    with somebody_else_writes(b.database.path.parent):
        yield


@contextmanager
def at_every(b: Books, moment: str, do: Callable[[Any], object]) -> Iterator[None]:
    event.listen(b.database._engine, moment, do)
    yield
    event.remove(b.database._engine, moment, do)


def fail_a_write(tx: Any, code: int) -> None:
    if "sendonce_synchronous" in tx.get_execution_options():
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = code
        raise OperationalError("COMMIT", {}, error)


def impatient(b: Books) -> None:
    """Let nobody wait long for another program."""
    b.database.close()
    b.database = Database(b.database.path, busy=timedelta(seconds=0.3))


@pytest.mark.parametrize("fault", [read_only, full, locked])
def test_nothing_is_sent_while_the_ledger_can_not_be_written_and_then_it_goes_on(
    tmp_path: Path, fault: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        impatient(b)
        run_id = run_through(b, server, people=300)
        with sending(b) as dispatcher:
            server.wait_until(lambda: len(server.messages) > 20)
            with fault(b):
                until_still(lambda: len(server.messages))
                sent = len(server.messages)
                trouble = dispatcher.trouble or ""
            run = until_finished(b, run_id)
            until(lambda: dispatcher.trouble is None)

        assert sent < 300
        assert trouble.startswith("The database can't be written just now")
        assert run.counts.sent == 300
        assert receivers(server.messages) == everybody(300)
        said_in_log = capsys.readouterr().out
        # By who leases and by who writes outcomes, where both have met it, each once.
        said = [said_in_log.count(f"nothing is {what}") for what in ("leased", "sent")]
        assert said in ([1, 1], [1, 0], [0, 1])
        assert (
            1 <= sum(said_in_log.count(f"can be {how} again\n") for how in ("used", "written")) <= 2
        )


def test_an_outcome_that_can_not_be_written_leaves_its_delivery_sending_until_it_can_be(
    tmp_path: Path,
) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=1)
        breaks = full(b)
        server.script["end"] = [Call(breaks.__enter__), b"250 queued\r\n"]
        with sending(b) as dispatcher:
            until(lambda: dispatcher.trouble is not None)
            assert b.statuses(run_id) == {"sending": 1}
            breaks.__exit__(None, None, None)
            until_finished(b, run_id)

        assert b.statuses(run_id) == {"sent": 1}


def test_no_content_goes_out_whose_intent_can_not_be_written(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=1)
        breaks = full(b)
        server.script["DATA"] = [Call(breaks.__enter__), b"354 go ahead\r\n"]
        with sending(b) as dispatcher:
            until(lambda: dispatcher.trouble is not None)
            server.wait_until(lambda: server.open_connections == 0)
            breaks.__exit__(None, None, None)
            server.script["DATA"] = [b"354 go ahead\r\n"]

            assert server.messages == []
            assert server.cut_off == [b""]
            until_finished(b, run_id)

        assert receivers(server.messages) == everybody(1)


def test_damage_in_the_ledger_stops_what_it_touches_and_is_said(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=3)
        [page] = [
            row.rootpage
            for row in b.raw("SELECT rootpage FROM sqlite_master WHERE name = 'deliveries'")
        ]
        b.database.checkpoint()
        b.database.close()
        with b.database.path.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xa5" * 4096)
        with sending(b) as dispatcher:
            until(lambda: dispatcher.trouble is not None)
            said = dispatcher.trouble or ""

        assert "put back a backup" in said
        assert server.messages == []
        assert b.run(run_id).status == "running"


class TestAStopWhileAnotherProgramHoldsTheDatabase:
    def test_it_takes_no_longer_than_any_other(self, tmp_path: Path) -> None:
        clock = SystemClock()
        with books(tmp_path, clock) as b, ScriptedServer() as server:
            run_id = run_through(b, server, people=600)
            dispatcher = a_dispatcher(b, replies_awaited=timedelta(seconds=1))
            dispatcher.start(b.epoch)
            server.wait_until(lambda: len(server.messages) > 20)
            with somebody_else_writes(tmp_path):
                until_still(lambda: len(server.messages))
                before = clock.elapsed()
                dispatcher.stop()

                assert clock.elapsed() - before < timedelta(seconds=3)

            b.lead(boot_id="boot 1")
            b.recover(boot_id="boot 1")
            statuses = b.statuses(run_id)
            assert set(statuses) <= {"sent", "queued", "in_doubt"}
            assert statuses["in_doubt"] <= 4
            assert statuses["sent"] + statuses["in_doubt"] >= len(server.messages)

    def test_what_the_server_says_meanwhile_is_heard(self, tmp_path: Path) -> None:
        with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
            answered = threading.Event()
            server.script["end"] = [Call(lambda: answered.wait(10)), b"250 queued\r\n"]
            run_id = run_through(b, server, people=1)
            dispatcher = a_dispatcher(b)
            dispatcher.start(b.epoch)
            server.wait_until(lambda: len(server.messages) == 1)
            with somebody_else_writes(tmp_path):
                stopping = threading.Thread(target=dispatcher.stop)
                stopping.start()
                until(lambda: dispatcher.must_stop)
                answered.set()
                until(lambda: dispatcher.trouble is not None or not stopping.is_alive())
            stopping.join()

            assert b.statuses(run_id) == {"sent": 1}
