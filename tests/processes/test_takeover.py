"""A leader that is killed: whichever way to run it was, another process leads within two ticks."""

import os
import signal
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.processes.ledger import ledger_of
from tests.processes.servers import APP, FLASK, gunicorn, running, wait_until

pytestmark = pytest.mark.processes

INTERVAL_SECONDS = 1
TWO_TICKS = timedelta(seconds=2 * INTERVAL_SECONDS)
# For recovering, on a machine that has other work.
ALLOWANCE = timedelta(seconds=0.8)


@pytest.mark.parametrize(
    "commands",
    [
        pytest.param([APP, APP], id="two servers"),
        pytest.param([gunicorn(workers=2)], id="two workers of gunicorn"),
        pytest.param([FLASK, APP], id="flask with its reloader beside a server"),
    ],
)
def test_another_process_leads_within_two_ticks_of_the_leader_s_death(
    tmp_path: Path, commands: Sequence[Sequence[str]]
) -> None:
    settings = {"scheduler_check_interval": str(INTERVAL_SECONDS)}
    with running(commands, tmp_path, **settings) as servers, ledger_of(tmp_path) as ledger:
        says = "this process stands by, another one leads"
        wait_until(lambda: any(says in server.text for server in servers), "another stands by")
        dead = ledger.leader()

        died_at = datetime.now(UTC)
        os.kill(dead.pid, signal.SIGKILL)
        wait_until(lambda: ledger.leader().epoch > dead.epoch, "another one leads")

        heir = ledger.leader()
        assert heir.pid != dead.pid
        assert heir.started_at - died_at <= TWO_TICKS + ALLOWANCE
        wait_until(lambda: ledger.leader().last_tick, "it ticks")
