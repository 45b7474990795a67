"""A server that is told to stop while it sends: in doubt is only what the mail server has not answered."""

import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from assembly import Sendonce, assemble
from delivery import reads
from delivery.model import DeliveryStatus
from foundation.settings import Settings
from tests.mail.scripted_server import SILENCE, Action, Call, ScriptedServer, Session
from tests.processes.ledger import ledger_of
from tests.processes.mail_server import MailServer, a_mail_server
from tests.processes.servers import (
    APP,
    FLASK,
    Server,
    a_campaign,
    a_schedule,
    environment,
    finished_run,
    gunicorn,
    running,
    runs_of,
    wait_until,
)

pytestmark = pytest.mark.processes

CONNECTIONS = 4
RECIPIENTS = [f"reader-{number}@example.com" for number in range(200)]
# Ten seconds, and two for a machine that has other work: there an interpreter alone takes one to end.
LONGEST_STOP = timedelta(seconds=12)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_told_to_stop_while_it_sends_leaves_no_doubt(
    tmp_path: Path, number: signal.Signals
) -> None:
    with a_mail_server(pause_seconds=0.02) as mail:
        with running([APP], tmp_path) as [first]:
            schedule_id = _begin(first, mail)

            assert first.stop(number, seconds=10) == 0

        with running([APP], tmp_path) as [second]:
            run = wait_until(lambda: finished_run(second, schedule_id), "the run ends")

            assert run["counts"]["sent"] == len(RECIPIENTS)
            assert mail.received == dict.fromkeys(RECIPIENTS, 1)


def test_every_way_to_run_stops_in_time_and_in_doubt_is_only_what_was_not_answered(
    tmp_path: Path,
) -> None:
    ways = {"app.py": APP, "gunicorn": gunicorn(workers=1), "flask": FLASK}
    # At once: each of them waits eight seconds for a server that does not answer.
    with ThreadPoolExecutor(len(ways)) as pool:
        tries = [pool.submit(_stop_and_go_on, tmp_path / way, ways[way]) for way in ways]

    for one in tries:
        one.result()


def _stop_and_go_on(folder: Path, command: Sequence[str]) -> None:
    with FallingSilent() as mail:
        with running([command], folder) as [first]:
            schedule_id = _begin(first, mail)
            wait_until(lambda: mail.waiting == CONNECTIONS, "no connection has its answer")

            status, lasted = _stop(first, mail)

            assert status == 0
            assert lasted <= LONGEST_STOP
            assert "Traceback" not in first.text
        with ledger_of(folder) as ledger:
            assert ledger.leader().stopped_cleanly
            [run] = ledger.runs(schedule_id)
            # The two that the server answered late are sent, and nobody else is on the way any more.
            assert ledger.addresses(run.id)[DeliveryStatus.IN_DOUBT] == mail.unanswered
            assert len(mail.unanswered) == CONNECTIONS / 2
            assert run.counts.sending == 0
        mail.speak()
        with _next_start(folder) as house:
            wait_until(lambda: _has_ended(house, run.id), "the run ends")
        with ledger_of(folder) as ledger:
            [run] = ledger.runs(schedule_id)
            found = ledger.addresses(run.id)

        assert found[DeliveryStatus.IN_DOUBT] == mail.unanswered
        assert found[DeliveryStatus.SENT] == set(RECIPIENTS) - mail.unanswered
        assert mail.received == dict.fromkeys(RECIPIENTS, 1)


@contextmanager
def _next_start(folder: Path) -> Iterator[Sendonce]:
    """Lead in this process, as the next one that is started does."""
    settings = Settings.load(environment(folder), {})
    house = assemble(settings)
    try:
        assert house.store.lead()
        assert house.leader.take_over()
        yield house
    finally:
        house.leader.step_down()
        house.database.close()


def _has_ended(house: Sendonce, run_id: int) -> bool:
    with house.database.read() as tx:
        return reads.run(tx, run_id).status.finished


def _stop(server: Server, mail: "FallingSilent") -> tuple[int, timedelta]:
    """Tell a server to stop; return its status, and how long it took until everything it had forked was gone."""
    begun = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    mail.stop_was_asked.set()
    status = server.process.wait(timeout=20)
    wait_until(lambda: not _tree_lives(server.process.pid), "everything that it forked is gone")
    return status, timedelta(seconds=time.monotonic() - begun)


def _tree_lives(group: int) -> bool:
    listed = subprocess.run(["ps", "-A", "-o", "pgid=,stat="], capture_output=True, check=True)
    rows = [line.split() for line in listed.stdout.decode().splitlines()]
    return any(int(pgid) == group and not state.startswith("Z") for pgid, state in rows)


def _begin(server: Server, mail: "MailServer | FallingSilent") -> int:
    """Let a campaign begin, and return its schedule's id when a part of it has been sent."""
    campaign_id = a_campaign(
        server, smtp_port=mail.port, recipients=RECIPIENTS, max_connections=CONNECTIONS
    )
    schedule_id = a_schedule(server, campaign_id)
    wait_until(lambda: mail.received.total() >= 40, "a part is sent")
    [run] = runs_of(server, schedule_id)
    assert run["status"] == "running"
    return schedule_id


class FallingSilent(ScriptedServer):
    """Takes every message. After forty it answers no final dot until a stop was asked, and then one of two.

    waiting: how many dots have no answer yet; unanswered: whose dots never get one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.unanswered: set[str] = set()
        self.stop_was_asked = threading.Event()
        self._is_silent = True
        self._turn = threading.Lock()

    @property
    def received(self) -> Counter[str]:
        return Counter(message.rcpt_to[0] for message in self.messages)

    def speak(self) -> None:
        """Answer everything from now on."""
        self._is_silent = False

    def actions_for(self, session: Session, step: str) -> Sequence[Action]:
        actions = super().actions_for(session, step)
        with self._turn:
            if step != "end" or not self._is_silent or len(self.messages) <= 40:
                return actions
            self.waiting += 1
            if self.waiting % 2:
                self.unanswered.add(session.rcpt_to[0])
                return [SILENCE]
        return [Call(self._wait_until_the_stop_is_seen), *actions]

    def _wait_until_the_stop_is_seen(self) -> None:
        self.stop_was_asked.wait(20)
        time.sleep(1)
