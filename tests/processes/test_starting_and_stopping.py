"""What a start says when it can't start, and how a server ends."""

import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes.servers import (
    APP,
    FLASK,
    GUNICORN,
    ROOT,
    environment,
    running,
    wait_until,
)

pytestmark = pytest.mark.processes


def _ends(
    command: Sequence[str], folder: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=25,
        check=False,
    )


def test_a_port_in_use_ends_with_status_1_and_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = _ends([sys.executable, "app.py", "--port", str(port)], tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Port {port} of 127.0.0.1 can't be used")
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [APP, GUNICORN, FLASK], ids=["app.py", "gunicorn", "flask"])
@pytest.mark.parametrize(
    ("setting", "value"), [("buffer", "30"), ("execution_buffer", "soon"), ("data_dir", "")]
)
def test_a_setting_that_makes_no_sense_stops_the_start_with_a_sentence(
    tmp_path: Path, command: Sequence[str], setting: str, value: str
) -> None:
    ended = _ends(command, tmp_path, **{setting: value})

    assert ended.returncode not in (0, None)
    assert f"SENDONCE_{setting.upper()}" in ended.stderr
    assert "foundation/settings.py" not in ended.stderr


@pytest.mark.parametrize("command", [APP, GUNICORN, FLASK], ids=["app.py", "gunicorn", "flask"])
def test_a_data_directory_that_is_a_file_stops_the_start_with_a_sentence(
    tmp_path: Path, command: Sequence[str]
) -> None:
    (tmp_path / "data").write_text("not a folder")

    ended = _ends(command, tmp_path)

    assert ended.returncode not in (0, None)
    assert str(tmp_path / "data") in ended.stderr
    assert "storage/filesystem.py" not in ended.stderr


def test_an_idle_server_ends_at_once_with_status_0_and_another_takes_over(tmp_path: Path) -> None:
    with running([APP] * 2, tmp_path) as servers:
        leader, stand_by = sorted(servers, key=lambda server: not server.leads())
        says = "this process stands by, another one leads"
        wait_until(lambda: says in stand_by.text, "the stand-by says so")
        assert stand_by.text.count(says) == 1
        assert says not in leader.text

        assert leader.stop(signal.SIGTERM, seconds=5) == 0
        wait_until(stand_by.leads, "the stand-by leads")
        wait_until(stand_by.is_ready, "the stand-by is ready")


def test_a_second_signal_changes_nothing(tmp_path: Path) -> None:
    with running([APP], tmp_path) as [server]:
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGINT)

        assert server.stop(signal.SIGTERM, seconds=10) == 0
        assert "Traceback" not in server.text
