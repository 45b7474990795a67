"""Sendonce as its users have it: `app.py serve` in a process of its own, reached through the public API alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks import corpus
from foundation.clock import SystemClock
from tests.processes.servers import APP, Server, running

_AT_ONCE = 1000
_LOOK_EVERY = timedelta(seconds=0.25)
_STUCK_AFTER = timedelta(seconds=60)
_DEFAULTS = {"scheduler_check_interval": "1.0", "execution_buffer": "30", "retry_delay": "60"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that has ended: seconds from asking for it until its end was in the ledger, and until a first mail was out.

    made_seconds: from the claim until all its deliveries were made.
    """

    seconds: float
    first_seconds: float
    made_seconds: float


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Give a ready server with the settings that it has by itself, its data in this folder; kill it at the end."""
    with running([APP], folder, **_DEFAULTS) as [server]:
        yield server


def a_schedule(server: Server, *, port: int, connections: int, audience_id: int) -> int:
    """Make a schedule of the measured mail to that audience, years ahead, through a mail server; return its id."""
    account = server.post(
        "/api/accounts",
        {
            "name": "Counting server",
            "host": "127.0.0.1",
            "port": port,
            "security": "none",
            "from_email": corpus.SENDER,
            "from_name": corpus.SENDER_NAME,
            "max_connections": connections,
        },
    )
    campaign = server.post(
        "/api/campaigns",
        {
            "name": "Workshop letter",
            "subject": corpus.SUBJECT,
            "html": corpus.HTML,
            "text": corpus.TEXT,
            "audience_ids": [audience_id],
            "account_ids": [account["id"]],
        },
    )
    later = SystemClock().now() + timedelta(days=3650)
    schedule = server.post(
        "/api/schedules",
        {
            "campaign_id": campaign["id"],
            "schedule_type": "once",
            "schedule_time": later.replace(microsecond=0, tzinfo=None).isoformat(),
        },
    )
    return int(schedule["id"])


def an_audience(server: Server, recipients: int) -> int:
    """Make an audience of so many people, by the call that other programs use; return its id."""
    audience = server.post("/api/audiences", {"name": "Riders"})
    for start in range(0, recipients, _AT_ONCE):
        some = map(corpus.person, range(start, min(start + _AT_ONCE, recipients)))
        body = [{"email": p.email, "name": p.name, "attributes": p.attributes} for p in some]
        server.post(f"/api/audiences/{audience['id']}/recipients", {"recipients": body})
    return int(audience["id"])


def send_now(server: Server, schedule_id: int) -> Ended:
    """Run the schedule and return when the run has ended. Raises RuntimeError where it stands still."""
    clock, nobody = SystemClock(), threading.Event()
    asked, begun = clock.now(), clock.elapsed()
    run = server.post(f"/api/schedules/{schedule_id}/run-now", {})
    first, moved = None, begun
    while run["finished_at"] is None:
        clock.wait(nobody, _LOOK_EVERY)
        before, run = run, server.get(f"/api/runs/{run['id']}")
        if run["counts"]["sent"] and first is None:
            first = clock.elapsed()
        if run["counts"] != before["counts"]:
            moved = clock.elapsed()
        if clock.elapsed() - moved > _STUCK_AFTER:
            raise RuntimeError(f"the run stands still: {run}")
    started = datetime.fromisoformat(run["started_at"])
    finished = datetime.fromisoformat(run["finished_at"])
    return Ended(
        seconds=(finished - asked).total_seconds(),
        first_seconds=((first or clock.elapsed()) - begun).total_seconds(),
        made_seconds=(started - datetime.fromisoformat(run["claimed_at"])).total_seconds(),
    )
