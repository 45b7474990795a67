"""One round: a campaign during which whoever leads is killed at random moments, until it is done."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from delivery.certificate import Certificate
from delivery.model import DeliveryStatus, Run
from storage.aliveness import Leader, process_lives
from tests.killing.misbehaving_server import MisbehavingServer
from tests.processes.ledger import Ledger, ledger_of
from tests.processes.servers import (
    APP,
    GUNICORN,
    Server,
    a_campaign,
    a_schedule,
    running,
    wait_until,
)

CONNECTIONS = 4
SETTINGS = {"execution_buffer": "0", "retry_delay": "0.3", "scheduler_check_interval": "0.1"}
TWO_WORKERS = tuple("2" if word == "4" else word for word in GUNICORN)
WAYS: dict[str, Sequence[Sequence[str]]] = {
    "started again": [APP],
    "a stand-by takes over": [APP, APP],
    "another worker takes over": [TWO_WORKERS],
}


@dataclass(kw_only=True)
class Outcome:
    """What a round has come to. doubts: how many came with so many kills, without those of the mail server's doing."""

    recipients: list[str]
    doubts: list[tuple[int, int]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    addresses: dict[DeliveryStatus, set[str]] = field(default_factory=dict)
    certificate: Certificate | None = None

    @property
    def kills(self) -> int:
        return sum(kills for kills, _ in self.doubts)


class Round:
    """Servers on one data directory, a campaign that is on its way, and somebody who kills."""

    def __init__(
        self, folder: Path, way: str, mail: MisbehavingServer, dice: random.Random
    ) -> None:
        self._folder = folder
        self._commands = WAYS[way]
        self._mail = mail
        self._dice = dice
        self._servers: list[Server] = []

    def play(self, *, recipients: int, kills: int) -> Outcome:
        """Let the campaign begin, kill, wait for its end; return what is there then."""
        outcome = Outcome(recipients=[f"reader-{n}@example.com" for n in range(recipients)])
        with self._running() as ledger:
            schedule_id = self._begin(outcome.recipients)
            for moment in self._moments(recipients, kills):
                self._mail.wait_until(
                    lambda moment=moment: len(self._mail.messages) >= moment, seconds=120
                )
                time.sleep(self._dice.random() * 0.02)
                outcome.doubts.append(self._kill_and_count(ledger, schedule_id))
            wait_until(lambda: ledger.runs(schedule_id)[0].finished_at, "the run ends", seconds=120)
            outcome.runs = ledger.runs(schedule_id)
            outcome.addresses = ledger.addresses(outcome.runs[0].id)
            outcome.certificate = ledger.certificate(outcome.runs[0].id)
        return outcome

    @contextmanager
    def _running(self) -> Iterator[Ledger]:
        with running(self._commands, self._folder, **SETTINGS) as servers:
            self._servers = servers
            try:
                with ledger_of(self._folder) as ledger:
                    yield ledger
            finally:
                for server in self._servers:
                    server.kill()

    def _begin(self, people: Sequence[str]) -> int:
        campaign_id = a_campaign(
            self._servers[0],
            smtp_port=self._mail.port,
            recipients=people,
            max_connections=CONNECTIONS,
        )
        return a_schedule(self._servers[0], campaign_id, seconds=1)

    def _moments(self, recipients: int, kills: int) -> list[int]:
        """Return after how many messages to kill: once in each of as many parts of the sending, but for its end."""
        part = recipients * 0.8 / kills
        return [int(part * (number + self._dice.random())) + 1 for number in range(kills)]

    def _kill_and_count(self, ledger: Ledger, schedule_id: int) -> tuple[int, int]:
        """Kill whoever leads, wait until another does; return how often that was done, and the doubts it left."""
        before = self._doubts(ledger, schedule_id)
        kills = 1
        epoch = self._kill(ledger)
        if self._dice.random() < 0.25:
            # Before the next one leads, while it recovers, or when it has just begun to send.
            time.sleep(self._dice.random() * 1.5)
            kills += 1
            epoch = self._kill(ledger)
        wait_until(lambda: ledger.leader().epoch > epoch, "another one leads")
        return kills, len(self._doubts(ledger, schedule_id) - before)

    def _doubts(self, ledger: Ledger, schedule_id: int) -> set[str]:
        [run] = ledger.runs(schedule_id)
        return ledger.addresses(run.id)[DeliveryStatus.IN_DOUBT] - self._mail.unanswered

    def _kill(self, ledger: Ledger) -> int:
        """Kill the process that leads, or is about to; start another where nobody else does. Return its epoch."""
        leader = ledger.leader()
        if self._commands == WAYS["another worker takes over"]:
            return self._kill_worker(ledger)
        server = next((s for s in self._servers if s.process.pid == leader.pid), self._servers[0])
        server.kill()
        self._servers.remove(server)
        self._servers.append(Server(APP, self._folder, **SETTINGS))
        # As it was before the kill: a stand-by may lead already.
        return leader.epoch

    def _kill_worker(self, ledger: Ledger) -> int:
        leader = wait_until(lambda: _living(ledger.leader()), "a worker leads")
        os.kill(leader.pid, signal.SIGKILL)
        return leader.epoch


def _living(leader: Leader) -> Leader | None:
    return leader if process_lives(leader.pid) else None
