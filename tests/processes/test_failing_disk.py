"""A server whose disk fails it: it ends at once, says why, and the next start goes on and believes nothing unsafe."""

import os
import resource
import signal
from pathlib import Path

import pytest

from tests.processes.mail_server import a_mail_server
from tests.processes.servers import (
    APP,
    PATIENCE_SECONDS,
    a_campaign,
    a_schedule,
    finished_run,
    running,
    wait_until,
)

pytestmark = pytest.mark.processes

RECIPIENTS = [f"reader-{number}@example.com" for number in range(200)]


def test_a_server_whose_disk_fails_ends_and_the_next_start_goes_on(tmp_path: Path) -> None:
    with a_mail_server(pause_seconds=0.02) as mail:
        with running([APP], tmp_path) as [first]:
            campaign_id = a_campaign(first, smtp_port=mail.port, recipients=RECIPIENTS)
            schedule_id = a_schedule(first, campaign_id)
            wait_until(lambda: mail.received.total() >= 40, "a part is sent")
            log = tmp_path / "data" / "sendonce.db-wal"

            # From now on the kernel refuses (EFBIG) to make the database's log any longer.
            _, hard = resource.prlimit(first.process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(first.process.pid, resource.RLIMIT_FSIZE, (log.stat().st_size, hard))

            assert first.process.wait(timeout=PATIENCE_SECONDS) == os.EX_IOERR
            assert "The disk has failed the database" in first.text
            sent_before = set(mail.received)

        with running([APP], tmp_path) as [second]:
            run = wait_until(lambda: finished_run(second, schedule_id), "the run ends")
            listed = second.get(f"/api/runs/{run['id']}/deliveries?status=in_doubt&limit=500")

            in_doubt = {delivery["email"] for delivery in listed["items"]}
            assert len(sent_before) < len(RECIPIENTS)
            assert set(mail.received.values()) == {1}
            assert set(mail.received) | in_doubt == set(RECIPIENTS)
            # What was leased may have been sent by what the disk has lost: nobody of them is written to again.
            assert in_doubt
            assert second.stop(signal.SIGTERM, seconds=10) == 0
