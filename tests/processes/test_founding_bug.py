"""Several server processes on one data directory: one run for each slot, one mail for each recipient.

The older tool ran its scheduler once in every process of the server, so each campaign went out several times.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes.mail_server import a_mail_server
from tests.processes.servers import (
    APP,
    FLASK,
    GUNICORN,
    a_campaign,
    a_schedule,
    entry_of,
    finished_run,
    running,
    runs_of,
    ticked_since,
    wait_until,
)

pytestmark = pytest.mark.processes

RECIPIENTS = [f"reader-{number}@example.com" for number in range(50)]


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param([APP] * 4, id="four servers"),
        pytest.param([GUNICORN], id="gunicorn with four workers"),
        pytest.param([FLASK], id="flask with its reloader"),
    ],
)
def test_a_slot_runs_once_and_each_recipient_gets_one_mail(
    tmp_path: Path, commands: Sequence[Sequence[str]]
) -> None:
    with a_mail_server() as mail, running(commands, tmp_path) as servers:
        campaign_id = a_campaign(servers[0], smtp_port=mail.port, recipients=RECIPIENTS)

        schedule_id = a_schedule(servers[-1], campaign_id)
        run = wait_until(lambda: finished_run(servers[-1], schedule_id), "the run ends")
        wait_until(
            lambda: entry_of(tmp_path, schedule_id)["status"] == "completed", "the file follows"
        )
        wait_until(
            lambda: ticked_since(servers[0], run["finished_at"], seconds=2),
            "a second run had its chance",
        )

        assert [r["id"] for server in servers for r in runs_of(server, schedule_id)] == [
            run["id"]
        ] * len(servers)
        assert run["status"] == "completed"
        assert run["counts"]["sent"] == run["counts"]["recipients"] == len(RECIPIENTS)
        assert mail.received == dict.fromkeys(RECIPIENTS, 1)
        entry = entry_of(tmp_path, schedule_id)
        assert entry["total_runs"] == 1
        assert entry["enabled"] is False
        assert entry["next_run"] is None
        assert entry["last_run"] == run["claimed_at"]


def test_of_several_servers_one_leads_and_all_are_ready(tmp_path: Path) -> None:
    with running([APP] * 3, tmp_path) as servers:
        leading = [server.leads() for server in servers]

        assert sorted(leading) == [False, False, True]
        assert [server.request("GET", "/readyz")[0] for server in servers] == [200, 200, 200]
