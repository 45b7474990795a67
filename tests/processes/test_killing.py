"""A server that dies while it sends: nobody gets two, nobody is lost, every doubt is listed."""

import signal
from pathlib import Path
from typing import Any

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


def test_after_kill_9_the_next_start_goes_on_and_nobody_gets_two(tmp_path: Path) -> None:
    with a_mail_server(pause_seconds=0.02) as mail:
        with running([APP], tmp_path) as [first]:
            schedule_id = _begin(first, mail)
            first.kill()

        with running([APP], tmp_path) as [second]:
            run = wait_until(lambda: finished_run(second, schedule_id), "the run ends")

            _assert_nobody_has_two_and_nobody_is_lost(second, run, mail)


def test_a_stand_by_goes_on_where_a_killed_leader_was(tmp_path: Path) -> None:
    with a_mail_server(pause_seconds=0.02) as mail, running([APP] * 2, tmp_path) as servers:
        leader, stand_by = sorted(servers, key=lambda server: not server.leads())
        schedule_id = _begin(stand_by, mail)

        leader.kill()
        run = wait_until(lambda: finished_run(stand_by, schedule_id), "the run ends")

        assert stand_by.leads()
        _assert_nobody_has_two_and_nobody_is_lost(stand_by, run, mail)


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


def _assert_nobody_has_two_and_nobody_is_lost(
    server: Server, run: dict[str, Any], mail: MailServer
) -> None:
    listed = server.get(f"/api/runs/{run['id']}/deliveries?status=in_doubt&limit=500")["items"]
    in_doubt = {delivery["email"] for delivery in listed}
    counts = run["counts"]
    assert set(mail.received.values()) == {1}
    assert set(mail.received) | in_doubt == set(RECIPIENTS)
    assert counts["in_doubt"] == len(in_doubt) <= CONNECTIONS
    assert counts["sent"] + counts["in_doubt"] == counts["recipients"] == len(RECIPIENTS)
