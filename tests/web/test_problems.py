import logging
from datetime import datetime
from typing import NoReturn
from zoneinfo import ZoneInfo

import pytest
from flask import Flask
from flask.testing import FlaskClient

from foundation.errors import Conflict, SendonceError, Unavailable
from web import problems


def an_app(error: Exception) -> FlaskClient:
    app = Flask("test")
    problems.install(app)

    @app.get("/")
    def fail() -> NoReturn:
        raise error

    return app.test_client()


def test_a_bug_is_a_500_whose_trace_is_in_the_log_under_its_reference(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = an_app(RuntimeError("secret detail")).get("/")

    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert "secret detail" not in answer.text
    logged = caplog.text + capsys.readouterr().out
    assert answer.json["reference"] in logged


def test_what_an_error_knows_beside_its_sentence_is_in_the_problem() -> None:
    answer = an_app(Conflict("Run 3 is not finished.", run_id=3)).get("/")

    assert answer.status_code == 409
    assert answer.json["run_id"] == 3
    assert answer.json["detail"] == "Run 3 is not finished."


def test_an_instant_that_an_error_knows_is_told_as_in_every_answer() -> None:
    at = datetime(2026, 3, 1, 9, tzinfo=ZoneInfo("Europe/Berlin"))

    answer = an_app(Conflict("That slot is decided.", slot=at)).get("/")

    assert answer.json["slot"] == "2026-03-01T08:00:00Z"


def test_an_error_can_not_hide_a_member_of_the_problem() -> None:
    answer = an_app(Conflict("No.", status=200)).get("/")

    assert answer.json["status"] == 409


def test_what_is_not_available_says_when_to_come_back() -> None:
    answer = an_app(Unavailable("The disk is full.")).get("/")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"


def test_every_kind_of_error_has_a_status() -> None:
    def kinds(base: type[SendonceError]) -> list[type[SendonceError]]:
        return [*base.__subclasses__(), *(k for b in base.__subclasses__() for k in kinds(b))]

    unknown = [
        kind
        for kind in kinds(SendonceError)
        if not any(parent in problems._STATUS for parent in kind.__mro__)
    ]

    assert unknown == []
