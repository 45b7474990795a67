"""Real server processes, seen from outside: over HTTP, by their files, by signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).parent.parent.parent
TOKEN = "a-token-for-tests"
PATIENCE_SECONDS = 20
# Starting takes CPU seconds for each process, and all tests of a machine may start theirs at once.
START_SECONDS = 90

APP = (sys.executable, "app.py", "--port", "0")
GUNICORN = (sys.executable, "-m", "gunicorn", "-w", "4", "-b", "127.0.0.1:0", "app:create_app()")
FLASK = (sys.executable, "-m", "flask", "--app", "app", "run", "--debug", "--port", "0")

_URL = re.compile(rb"http://127\.0\.0\.1:([0-9]+)")
T = TypeVar("T")


def gunicorn(*, workers: int) -> Sequence[str]:
    """Return the command that serves with so many workers."""
    return tuple(str(workers) if word == "4" else word for word in GUNICORN)


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return an environment in which nothing is set for Sendonce but this, all of it in the folder."""
    outside = {k: v for k, v in os.environ.items() if not k.startswith(("SENDONCE_", "FLASK_"))}
    given = {
        "DATA_DIR": str(folder / "data"),
        "STATE_DIR": str(folder / "state"),
        "BOOTSTRAP_TOKEN": TOKEN,
        "SCHEDULER_CHECK_INTERVAL": "0.1",
        "EXECUTION_BUFFER": "1",
        "RETRY_DELAY": "1",
    } | {name.upper(): value for name, value in settings.items()}
    return outside | {f"SENDONCE_{name}": value for name, value in given.items()}


class Server:
    """One command that serves, with everything that it forks."""

    def __init__(self, command: Sequence[str], folder: Path, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        number = len(list(folder.glob("server-*.log")))
        self.log = folder / f"server-{number}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(folder, **settings),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def url(self) -> str:
        found = _URL.findall(self.log.read_bytes())
        return f"http://127.0.0.1:{found[-1].decode()}" if found else ""

    def is_ready(self) -> bool:
        """Return whether it answers that its leader, whichever process that is, ticks."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.text}")
        return bool(self.url) and self.request("GET", "/readyz")[0] == 200

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and parsed answer; status 0 where nobody answers."""
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")
        except OSError:
            return 0, None

    def get(self, path: str) -> Any:
        status, answer = self.request("GET", path)
        assert status == 200, (status, answer)
        return answer

    def post(self, path: str, body: object) -> Any:
        status, answer = self.request("POST", path, body)
        assert status in (200, 201, 202), (status, answer)
        return answer

    def leads(self) -> bool:
        return bool(self.get("/api/status")["scheduler"]["leader"])

    def stop(self, number: signal.Signals, *, seconds: float) -> int:
        """Send a signal to the process that was started; return the status it ends with, in time."""
        self.process.send_signal(number)
        return self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """End it and everything it forked, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait(timeout=PATIENCE_SECONDS)

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")


@contextmanager
def running(
    commands: Sequence[Sequence[str]], folder: Path, **settings: str
) -> Iterator[list[Server]]:
    """Start them all at once on one data directory, give them when all are ready, kill them at the end.

    Whatever goes wrong meanwhile, the end of their logs is shown with it.
    """
    with ExitStack() as stack:
        servers = []
        for command in commands:
            server = Server(command, folder, **settings)
            stack.callback(server.kill)
            servers.append(server)
        try:
            for server in servers:
                wait_until(server.is_ready, "a server is ready", seconds=START_SECONDS)
            yield servers
        except BaseException as error:
            for log in sorted(folder.glob("server-*.log")):
                error.add_note(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
            raise


def wait_until(is_so: Callable[[], T], what: str, *, seconds: float = PATIENCE_SECONDS) -> T:
    """Return the first true answer. Fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = is_so()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} seconds in vain: {what}")
        time.sleep(0.05)


def a_campaign(server: Server, *, smtp_port: int, recipients: Sequence[str], **account: Any) -> int:
    """Make an account for that mail server, an audience and a campaign; return the campaign's id."""
    made = server.post(
        "/api/accounts",
        {
            "name": "Receiving server",
            "host": "127.0.0.1",
            "port": smtp_port,
            "security": "none",
            "from_email": "news@sender.example",
        }
        | account,
    )
    people = [{"email": email, "name": email.partition("@")[0]} for email in recipients]
    audience = server.post("/api/audiences", {"name": "People", "recipients": people})
    campaign = server.post(
        "/api/campaigns",
        {
            "name": "News",
            "subject": "Hello {{ name }}",
            "html": "<p>Hello {{ name }}</p><p><a href='{{ unsubscribe_url }}'>no more</a></p>",
            "audience_ids": [audience["id"]],
            "account_ids": [made["id"]],
        },
    )
    campaign_id: int = campaign["id"]
    return campaign_id


def due_in(seconds: float) -> str:
    """Return that moment as wall-clock time in UTC, to the second above."""
    moment = datetime.now(UTC) + timedelta(seconds=seconds + 1)
    return moment.replace(microsecond=0, tzinfo=None).isoformat()


def a_schedule(server: Server, campaign_id: int, *, seconds: float = 1) -> int:
    """Make a one-time schedule that is due in a moment; return its id."""
    made = server.post(
        "/api/schedules",
        {"campaign_id": campaign_id, "schedule_time": due_in(seconds), "schedule_type": "once"},
    )
    schedule_id: int = made["id"]
    return schedule_id


def runs_of(server: Server, schedule_id: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = server.get(f"/api/runs?schedule_id={schedule_id}")["items"]
    return items


def finished_run(server: Server, schedule_id: int) -> dict[str, Any] | None:
    """Return the schedule's newest run once it has ended."""
    return next((run for run in runs_of(server, schedule_id) if run["finished_at"]), None)


def entry_of(folder: Path, schedule_id: int) -> dict[str, Any]:
    """Return the schedule as it stands in scheduled_campaigns.json."""
    entries = json.loads((folder / "data" / "scheduled_campaigns.json").read_bytes())
    return next(entry for entry in entries if entry["id"] == schedule_id)


def ticked_since(server: Server, moment: str, *, seconds: float) -> bool:
    """Return whether the scheduler has gone on for so long after that moment."""
    last = server.get("/api/status")["scheduler"]["last_tick"]
    return bool(last) and datetime.fromisoformat(last) - datetime.fromisoformat(moment) > timedelta(
        seconds=seconds
    )
