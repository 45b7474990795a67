"""The demo as a person runs it: it goes on serving, and it does not believe itself."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes.servers import ROOT, environment, wait_until

pytestmark = pytest.mark.processes


def test_it_goes_on_serving_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with _a_demo(tmp_path, "--recipients", "20") as (demo, log):
        wait_until(lambda: "/setup?token=" in log.read_text(), "the demo is through")

        link = re.search(r"^http://\S+/setup\?token=\S+$", log.read_text(), re.MULTILINE)
        assert link is not None
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(link[0], timeout=5) as page:
            assert b"20 sent" in page.read()

        demo.send_signal(signal.SIGINT)
        assert demo.wait(timeout=10) == 0
        assert not list(tmp_path.glob("sendonce-demo-*"))


def test_a_message_that_the_mail_server_does_not_have_is_found(tmp_path: Path) -> None:
    with _a_demo(tmp_path, "--recipients", "400", "--exit") as (demo, log):
        files = wait_until(
            lambda: list(tmp_path.glob("sendonce-demo-*/data/outbox/new/*")), "mail comes"
        )
        files[0].unlink()

        assert demo.wait(timeout=25) == 1
        said = log.read_text()
        assert re.search(r"missing +1\n", said)
        assert "It does not add up." in said
        assert not list(tmp_path.glob("sendonce-demo-*"))


def test_a_demo_that_is_stopped_in_the_middle_says_how_far_it_came_and_judges_nothing(
    tmp_path: Path,
) -> None:
    with _a_demo(tmp_path, "--recipients", "5000") as (demo, log):
        wait_until(lambda: list(tmp_path.glob("sendonce-demo-*/data/outbox/new/*")), "mail comes")

        demo.send_signal(signal.SIGTERM)

        assert demo.wait(timeout=10) == 1
        said = log.read_text()
        assert re.search(r"Stopped before the end: [\d,]+ of 5,000 sent so far\.", said)
        assert "Reconciliation" not in said
        assert "add up" not in said
        assert not list(tmp_path.glob("sendonce-demo-*"))


@contextmanager
def _a_demo(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    path = folder / "log"
    with path.open("wb") as log:
        demo = subprocess.Popen(
            [sys.executable, "app.py", "demo", "--port", "0", *arguments],
            cwd=ROOT,
            env=environment(folder) | {"TMPDIR": str(folder)},
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        yield demo, path
    except BaseException as error:
        error.add_note(path.read_text(errors="replace")[-3000:])
        raise
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait(timeout=10)
