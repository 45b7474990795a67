import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import cli
from scheduler.thread import scheduler_thread


def demo(*arguments: str) -> tuple[int, str]:
    ended = CliRunner().invoke(cli, ["demo", "--exit", "--port", "0", *arguments])
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended.exit_code, ended.output


def test_the_demo_sends_to_everybody_once_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    status, said = demo("--recipients", "40")

    assert status == 0, said
    numbers = dict(
        line.rsplit(maxsplit=1)
        for line in said.partition("Reconciliation")[2].splitlines()
        if line.startswith("  ")
    )
    assert {name.strip(): number for name, number in numbers.items()} == {
        "recipients": "40",
        "= sent": "40",
        "+ failed": "0",
        "+ skipped": "0",
        "+ in doubt": "0",
        "duplicates": "0",
        "missing": "0",
    }
    assert "holds 40 messages" in said
    assert not scheduler_thread.is_alive()
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_is_set_for_the_real_thing_reaches_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDONCE_DATA_DIR", str(tmp_path / "real"))
    monkeypatch.setenv("SENDONCE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SENDONCE_EXECUTION_BUFFER", "a long time")

    status, said = demo("--recipients", "3")

    assert status == 0, said
    assert list(tmp_path.iterdir()) == []


def test_the_demo_takes_a_free_port_where_the_wanted_one_is_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, said = demo("--recipients", "3", "--port", str(taken.getsockname()[1]))

    assert status == 0, said
