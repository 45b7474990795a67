"""Log lines: the ledger's words, values as fields, and nothing that nobody may read."""

import json
import logging
from collections.abc import Iterator

import pytest

from foundation.log import log_for, set_up_logging


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)


def fail() -> None:
    password = "hunter2"
    raise ZeroDivisionError(len(password))


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_trace_shows_no_local_variables(
    log_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up_logging(log_format)

    try:
        fail()
    except ZeroDivisionError:
        log_for("test").exception("a tick failed")

    written = capsys.readouterr().err
    assert "ZeroDivisionError" in written
    assert "hunter2" not in written.replace('password = "hunter2"', "")


def test_a_json_line_has_its_values_as_fields(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging("json")

    log_for("scheduler.tick").info("run claimed", run_id=41)

    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["run_id"], line["level"]) == ("run claimed", 41, "info")
