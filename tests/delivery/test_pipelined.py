"""Runs over connections where the next mail's envelope travels behind the content of this one: whatever happens in
between, each mail has one outcome, nobody gets two, and what may not go does not go."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from foundation.clock import SystemClock
from tests.delivery.builders import (
    Books,
    books,
    everybody,
    greet_when_two_are_at_hand,
    receivers,
    run_through,
    sending,
    travelled_along,
    until,
    until_finished,
    until_two_are_leased,
)
from tests.mail.scripted_server import (
    HANG_UP,
    RESET,
    SILENCE,
    WELL_BEHAVED,
    Action,
    Call,
    InTurn,
    ScriptedServer,
)


def one_connection(b: Books, server: ScriptedServer, *, people: int = 3, **account: Any) -> int:
    """Make a run over one connection, which opens when the second mail is at hand to be looked ahead to."""
    run_id = run_through(b, server, people=people, max_connections=1, **account)
    greet_when_two_are_at_hand(b, server, run_id)
    return run_id


def second(step: str, *actions: Action) -> dict[str, InTurn]:
    """Return a script in which something is done when a step is reached for the second time."""
    usual = WELL_BEHAVED[step]
    return {step: InTurn(usual, actions, usual)}


def attempts(b: Books, run_id: int) -> list[int]:
    return sorted(d.attempts for d in b.deliveries(run_id))


def messages(server: ScriptedServer) -> Counter[str]:
    return receivers([m for m in server.messages if m.rcpt_to])


def test_envelopes_travel_along_and_everybody_gets_one(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = one_connection(b, server, people=100)
        with sending(b):
            until_finished(b, run_id)

        assert receivers(server.messages) == everybody(100)
        assert server.connections == 1
        assert travelled_along(server) > 50


@pytest.mark.parametrize("code", [451, 554])
def test_a_refusal_of_the_first_lets_the_second_go_on(tmp_path: Path, code: int) -> None:
    script = {"end": InTurn([b"%d no\r\n" % code], [b"250 queued\r\n"])}
    with books(tmp_path, SystemClock()) as b, ScriptedServer(script) as server:
        run_id = one_connection(b, server)
        with sending(b):
            until_finished(b, run_id)

        again = code == 451
        assert b.statuses(run_id) == ({"sent": 3} if again else {"sent": 2, "failed": 1})
        assert attempts(b, run_id) == [1, 1, 2 if again else 1]
        assert travelled_along(server) >= 1
        assert server.connections == 1


@pytest.mark.parametrize("said", [[b"554 nobody\r\n"], [b"250 queued\r\n"], [HANG_UP]])
def test_data_that_is_taken_for_nobody_counts_as_nothing_sent(
    tmp_path: Path, said: list[Action]
) -> None:
    script: dict[str, Any] = {
        **second("RCPT", b"550 5.1.1 nobody\r\n"),
        "DATA for nobody": [b"354 go\r\n"],
        **second("end", *said),
    }
    with books(tmp_path, SystemClock()) as b, ScriptedServer(script) as server:
        run_id = one_connection(b, server)
        with sending(b):
            until_finished(b, run_id)

        assert b.statuses(run_id) == {"sent": 2, "failed": 1}
        assert attempts(b, run_id) == [1, 1, 1]
        assert b.delivery(run_id, "p1@example.com").status == "failed"
        assert messages(server) == {"p0@example.com": 1, "p2@example.com": 1}


def pause(b: Books, run_id: int) -> None:
    b.pause(run_id)


def cancel(b: Books, run_id: int) -> None:
    b.cancel(run_id)


def suppress(b: Books, run_id: int) -> None:
    b.suppress("p1@example.com")


def remove(b: Books, run_id: int) -> None:
    b.remove(1, "p1@example.com")


@pytest.mark.parametrize(
    ("act", "statuses"),
    [
        (pause, {"sent": 1, "queued": 2}),
        (cancel, {"sent": 1, "skipped": 2}),
        (suppress, {"sent": 2, "skipped": 1}),
        (remove, {"sent": 2, "skipped": 1}),
    ],
)
def test_what_is_stopped_with_its_envelope_open_does_not_go(
    tmp_path: Path, act: Callable[[Books, int], None], statuses: dict[str, int]
) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = one_connection(b, server)
        server.script |= second("DATA", Call(lambda: act(b, run_id)), b"354 go\r\n")
        with sending(b):
            until(lambda: b.statuses(run_id) == statuses)
            until(lambda: not b.raw("SELECT 1 FROM deliveries WHERE status = 'leased'"))
            assert travelled_along(server) == 1
            assert "p1@example.com" not in receivers(server.messages)
            assert b"".join(server.cut_off) == b""
            if act is pause:
                b.resume(run_id)
                until_finished(b, run_id)
                assert receivers(server.messages) == everybody()
                assert attempts(b, run_id) == [1, 1, 1]

        assert b.first_account().state == "ok"


def test_an_edit_of_the_account_with_an_envelope_open_loses_nobody(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = one_connection(b, server)
        edit = Call(lambda: b.edit(b.first_account(), from_email="other@sendonce.test"))
        server.script |= second("DATA", edit, b"354 go\r\n")
        with sending(b):
            until_finished(b, run_id)

        assert receivers(server.messages) == everybody()
        assert attempts(b, run_id) == [1, 1, 1]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
def test_a_stop_gives_back_what_has_only_its_envelope_out(tmp_path: Path, step: str) -> None:
    clock, reached = SystemClock(), threading.Event()
    script = second(step, Call(reached.set), SILENCE)
    with books(tmp_path, clock) as b, ScriptedServer(script) as server:
        run_id = one_connection(b, server)
        with sending(b):
            assert reached.wait(10)
            until(lambda: b.statuses(run_id)["sent"] == 1)
            before = clock.elapsed()

        assert clock.elapsed() - before < timedelta(seconds=4)
        assert travelled_along(server) == 1
        assert b.statuses(run_id) == {"sent": 1, "queued": 2}
        assert attempts(b, run_id) == [0, 0, 1]
        assert not b.raw("SELECT 1 FROM deliveries WHERE status = 'leased'")
        assert receivers(server.messages) == {"p0@example.com": 1}


def test_a_stop_waits_for_the_first_and_leaves_the_second_unsent(tmp_path: Path) -> None:
    may_answer = threading.Event()
    script: dict[str, Any] = {"end": [Call(lambda: may_answer.wait(10)), b"250 queued\r\n"]}
    with books(tmp_path, SystemClock()) as b, ScriptedServer(script) as server:
        run_id = one_connection(b, server)
        with sending(b) as dispatcher:
            server.wait_until(lambda: len(server.messages) == 1)
            until_two_are_leased(b, run_id)
            stop = threading.Thread(target=dispatcher.stop)
            stop.start()
            # The third is given back; the second's envelope is open.
            until(lambda: b.statuses(run_id) == {"sending": 1, "leased": 1, "queued": 1})
            may_answer.set()
            stop.join()

        assert travelled_along(server) == 1
        assert b.statuses(run_id) == {"sent": 1, "queued": 2}
        assert receivers(server.messages) == {"p0@example.com": 1}


def test_a_stop_leaves_one_in_doubt_where_two_are_open(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer({"end": [SILENCE]}) as server:
        run_id = one_connection(b, server)
        with sending(b, replies_awaited=timedelta(seconds=0.3)):
            server.wait_until(lambda: len(server.messages) == 1)

        assert travelled_along(server) == 1
        assert b.statuses(run_id) == {"in_doubt": 1, "queued": 2}
        assert attempts(b, run_id) == [0, 0, 1]


def test_the_death_of_the_process_leaves_one_in_doubt_where_two_are_open(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer({"end": [SILENCE]}) as server:
        run_id = one_connection(b, server)
        with sending(b, replies_awaited=timedelta(seconds=0.3)):
            server.wait_until(lambda: len(server.messages) == 1)
            # What the next leader finds where this one had died here.
            b.lead(boot_id="boot 1")
            b.recover(boot_id="boot 1")
            assert b.statuses(run_id) == {"in_doubt": 1, "queued": 2}

        assert travelled_along(server) == 1
        assert b.statuses(run_id) == {"in_doubt": 1, "queued": 2}


@pytest.mark.parametrize("connections", [1, 3])
def test_a_limit_per_hour_is_exact(tmp_path: Path, connections: int) -> None:
    script = {
        **second("RCPT", b"450 later\r\n"),
        "end": InTurn([b"250 queued\r\n"], [b"451 later\r\n"], [b"250 queued\r\n"]),
    }
    with books(tmp_path, SystemClock()) as b, ScriptedServer(script) as server:
        run_id = run_through(b, server, people=20, limit_per_hour=7, max_connections=connections)
        with sending(b) as dispatcher:
            server.wait_until(lambda: len(server.messages) == 7)
            until(lambda: b.statuses(run_id) == {"sent": 6, "queued": 14})
            for _ in range(5):  # looks of the leasing thread
                dispatcher.wake()
                until(lambda: not dispatcher._wake.is_set())
            until(lambda: not b.raw("SELECT 1 FROM deliveries WHERE status = 'leased'"))

        assert len(server.messages) == 7
        assert set(messages(server).values()) <= {1, 2}


def test_no_envelope_travels_along_before_the_rate_lets_its_mail_go(tmp_path: Path) -> None:
    clock = SystemClock()
    times: list[timedelta] = []
    script = {"MAIL": [Call(lambda: times.append(clock.elapsed())), *WELL_BEHAVED["MAIL"]]}
    with books(tmp_path, clock) as b, ScriptedServer(script) as server:
        run_id = one_connection(b, server, people=8, rate_per_second=4)
        began = clock.elapsed()
        with sending(b):
            until_finished(b, run_id)

        assert receivers(server.messages) == everybody(8)
        assert travelled_along(server) >= 1
        # Four at once, and then one every quarter of a second: none is early.
        for later, time in enumerate(times[4:], start=1):
            assert (time - began).total_seconds() >= later / 4


FAULTS: dict[str, list[list[Action]]] = {
    "MAIL": [[b"451 no\r\n"], [b"421 no\r\n", HANG_UP], [HANG_UP], [RESET], [b"what\r\n"]],
    "RCPT": [[b"450 no\r\n"], [b"421 no\r\n", HANG_UP], [HANG_UP], [b"250 ok\r\n250 stray\r\n"]],
    "DATA": [[b"451 no\r\n"], [RESET], [b"354 go\r\n250 stray\r\n"], [b"250 ok\r\n"]],
    "end": [
        [b"451 no\r\n"],
        [b"421 no\r\n", HANG_UP],
        [HANG_UP],
        [RESET],
        [b"250 queued\r\n", RESET],
        [b"250 queued\r\n250 stray\r\n"],
        [b"354 go\r\n"],
    ],
}
NOT_TAKEN = (b"451 no\r\n", b"421 no\r\n")


def test_among_many_faults_nobody_is_lost_and_nobody_gets_two(tmp_path: Path) -> None:
    dice = Random(5)
    refused: list[str] = []

    def turns(server: ScriptedServer, step: str) -> InTurn:
        usual = list(WELL_BEHAVED[step])
        chosen = [dice.choice(FAULTS[step]) if dice.random() < 0.1 else usual for _ in range(150)]
        return InTurn(*(note(server, step, actions) for actions in chosen), usual)

    def note(server: ScriptedServer, step: str, actions: list[Action]) -> list[Action]:
        if step == "end" and actions[0] in NOT_TAKEN:
            return [Call(lambda: refused.append(server.messages[-1].rcpt_to[0])), *actions]
        return actions

    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        for step in FAULTS:
            server.script[step] = turns(server, step)
        run_id = one_connection(b, server, people=60)
        with sending(b):
            until_finished(b, run_id, seconds=60)

        taken = receivers(server.messages) - Counter(refused)
        statuses = {d.email: d.status for d in b.deliveries(run_id)}
        assert set(statuses.values()) <= {"sent", "in_doubt"}
        assert taken == dict.fromkeys(statuses, 1)
        assert travelled_along(server) > 10
