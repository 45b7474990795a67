"""A server that is told to stop while it sends: what it has begun comes to its end, and nobody is in doubt."""

import signal
from pathlib import Path

import pytest

from tests.processes.mail_server import MailServer, a_mail_server
from tests.processes.servers import (
    APP,
    Server,
    a_campaign,
    a_schedule,
    finished_run,
    running,
    runs_of,
    wait_until,
)

pytestmark = pytest.mark.processes

CONNECTIONS = 4
RECIPIENTS = [f"reader-{number}@example.com" for number in range(200)]


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


def _begin(server: Server, mail: MailServer) -> int:
    """Let a campaign begin, and return its schedule's id when a part of it has been sent."""
    campaign_id = a_campaign(
        server, smtp_port=mail.port, recipients=RECIPIENTS, max_connections=CONNECTIONS
    )
    schedule_id = a_schedule(server, campaign_id)
    wait_until(lambda: mail.received.total() >= 40, "a part is sent")
    [run] = runs_of(server, schedule_id)
    assert run["status"] == "running"
    return schedule_id
