"""Whether several commands are sent at once, as the account says: real dispatcher, real sockets."""

from collections.abc import Sequence
from pathlib import Path

from foundation.clock import SystemClock
from tests.delivery.builders import (
    books,
    everybody,
    receivers,
    run_through,
    sending,
    until_finished,
)
from tests.mail.scripted_server import Action, ScriptedServer, Session


class Listener(ScriptedServer):
    """A server that offers PIPELINING, and notes at which steps more lay there than it had answered."""

    def __init__(self) -> None:
        super().__init__()
        self.hurried: set[str] = set()

    def actions_for(self, session: Session, step: str) -> Sequence[Action]:
        if session.buffer and step != "content":
            self.hurried.add(step)
        return super().actions_for(session, step)


def test_a_server_that_offers_it_is_sent_several_commands_at_once(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, Listener() as server:
        run_id = run_through(b, server, people=20, max_connections=2)
        with sending(b):
            until_finished(b, run_id)

        assert {"MAIL", "RCPT"} <= server.hurried
        assert receivers(server.messages) == everybody(20)


def test_an_account_without_pipelining_says_one_thing_at_a_time(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, Listener() as server:
        run_id = run_through(b, server, people=20, max_connections=2, pipelining=False)
        with sending(b):
            until_finished(b, run_id)

        assert server.hurried == set()
        assert receivers(server.messages) == everybody(20)


def test_pipelining_that_is_switched_off_in_a_run_is_off_from_the_next_connection_on(
    tmp_path: Path,
) -> None:
    with books(tmp_path, SystemClock()) as b, Listener() as hurried, Listener() as calm:
        run_id = run_through(b, hurried, people=200, max_connections=2)
        with sending(b):
            hurried.wait_until(lambda: len(hurried.messages) > 20)
            b.edit(b.first_account(), port=calm.port, pipelining=False)
            until_finished(b, run_id)

        assert "MAIL" in hurried.hurried
        assert len(calm.messages) > 20
        assert calm.hurried == set()
        assert receivers(hurried.messages) + receivers(calm.messages) == everybody(200)
