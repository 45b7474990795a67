"""The promise, tried as a person tries it: a server that is killed while it sends, and the proof."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.servers import ROOT, environment

pytestmark = pytest.mark.processes


def test_a_server_that_is_killed_again_and_again_keeps_the_promise(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "app.py", "chaos", "--recipients", "60", "--kills", "2", "--seed", "1"],
        cwd=ROOT,
        env=environment(tmp_path) | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "The promise has held" in done.stdout
    assert "Its slot has run once" in done.stdout
    assert "The server was killed 2 times" in done.stdout
    # Nothing of it is left, and nothing of the user's was used.
    assert list(tmp_path.iterdir()) == []
