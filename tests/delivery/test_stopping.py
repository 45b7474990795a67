"""Pause, cancel, unsubscribe, stop and restart while mails are on their way: nothing is lost, nobody gets two."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from foundation.clock import SystemClock
from tests.delivery.builders import (
    Books,
    a_dispatcher,
    books,
    everybody,
    receivers,
    run_through,
    sending,
    until,
    until_finished,
)
from tests.mail.scripted_server import SILENCE, Call, ScriptedServer


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_nothing_begins_after_a_person_has_stopped_the_run(tmp_path: Path, action: str) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=600)
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
        run_id = run_through(b, server, people=200, max_connections=1)
        with sending(b):
            server.wait_until(lambda: len(server.messages) > 5)
            b.suppress("p199@example.com")
            run = until_finished(b, run_id)

        assert (run.counts.sent, run.counts.skipped) == (199, 1)
        assert "p199@example.com" not in receivers(server.messages)


def test_who_unsubscribes_at_the_last_moment_gets_nothing(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=1)
        server.script["DATA"] = [Call(lambda: b.suppress("p0@example.com")), b"354 go ahead\r\n"]
        with sending(b):
            run = until_finished(b, run_id)

        assert server.messages == []
        assert run.counts.skipped == 1
        assert server.cut_off in ([], [b""])


def test_a_stop_gives_back_what_was_leased(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=3000)
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
        run_id = run_through(b, server)
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
        run_id = run_through(b, server, people=1)
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
        run_id = run_through(b, server, people=3, max_connections=1)
        with sending(b, replies_awaited=timedelta(seconds=1)):
            server.wait_until(lambda: len(server.messages) == 1)
            before = clock.elapsed()

        assert timedelta(seconds=1) <= clock.elapsed() - before < timedelta(seconds=3)
        assert b.statuses(run_id) == {"in_doubt": 1, "queued": 2}
        [doubt] = [d for d in b.deliveries(run_id) if d.status == "in_doubt"]
        assert doubt.reason == "the server had not answered when we stopped"


def test_a_stop_waits_as_long_for_replies_as_its_ten_seconds_allow(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        assert a_dispatcher(b).replies_awaited == timedelta(seconds=8)


def test_sending_goes_on_after_a_restart_and_nobody_gets_two(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=700)
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
        run_id = run_through(b, server, people=300)
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
        run_id = run_through(b, server, people=800)
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


def settle(b: Books) -> None:
    """Let another leader begin, on the same boot."""
    b.lead(boot_id="boot 1")
    b.recover(boot_id="boot 1")
