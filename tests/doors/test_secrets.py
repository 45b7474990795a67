"""No secret in an answer, a log, an error or a table; and nothing from outside is more than text to a reader."""

import csv
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from flask.testing import FlaskClient

from assembly import Sendonce
from foundation.log import log_for, set_up_logging
from tests.doors.test_routes import routes_of
from tests.house import BOOTSTRAP_TOKEN, a_house, app_of, bearer
from tests.mail.scripted_server import ScriptedServer
from tests.web.browser_client import PASSWORD, signed_in
from tests.web.given import a_campaign, a_schedule, an_account, materialised, put_as_failed
from web.csv_answers import defused

SMTP_PASSWORD = "planted-smtp-password"
KEY = "planted-secret-key"
OLD_KEY = "planted-older-key"
OF_AN_EXAMPLE = f"&#34;password&#34;: &#34;{PASSWORD}&#34;"
SECRETS = (SMTP_PASSWORD, KEY, OLD_KEY, BOOTSTRAP_TOKEN, PASSWORD)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sendonce]:
    folder = tmp_path_factory.mktemp("secrets")
    with a_house(folder, secret_key=KEY, secret_key_old=OLD_KEY) as house:
        yield house


def knocking(house: Sendonce) -> FlaskClient:
    client = app_of(house).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
    return client


def test_a_busy_session_shows_no_secret(
    busy: Sendonce, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client = knocking(busy)
    refusing = {
        "EHLO": [b"250-x\r\n250 AUTH PLAIN LOGIN\r\n"],
        "AUTH": [b"535 5.7.8 " + SMTP_PASSWORD.encode() + b"?\r\n"],
    }
    with ScriptedServer(refusing) as server:
        account = an_account(
            client, host=server.host, port=server.port, username="news", password=SMTP_PASSWORD
        )
        tested = client.post(f"/api/accounts/{account['id']}/test", json={})
    campaign = a_campaign(client)
    a_schedule(client, campaign_id=campaign["id"])
    browser = signed_in(busy)
    token = client.post("/api/tokens", json={"name": "ci"}).json["token"]

    answers = [tested.text]
    for route in routes_of(app_of(busy)):
        if route.method == "GET" and route.rule != "/api/events":
            for headers in ({}, {"Accept": "text/html"}):
                answers.append(client.get(route.path, headers=headers).text)
            answers.append(browser.get(route.path).text)
    answers = [answer.replace(OF_AN_EXAMPLE, "") for answer in answers]
    for path, body in (
        ("/api/accounts", {"password": SMTP_PASSWORD, "username": 5}),
        ("/api/users", {"email": "no", "password": PASSWORD}),
    ):
        answers.append(client.post(path, json=body).text)
    answers.append(browser.post_form("/accounts/new", {"password": SMTP_PASSWORD}).text)
    answers.append(
        browser.post_form("/login", {"email": "x@example.com", "password": PASSWORD}).text
    )
    said = capsys.readouterr()
    logged = said.out + said.err + caplog.text

    told = [secret for secret in (*SECRETS, token) for a in answers if secret in a]
    in_logs = [secret for secret in (*SECRETS, token) if secret in logged]
    assert len(answers) > 150
    assert tested.json["steps"][-1]["step"] == "auth"
    assert (told, in_logs) == ([], [])


def test_the_database_holds_no_secret_in_clear(busy: Sendonce) -> None:
    client = knocking(busy)
    an_account(client, username="news", password=SMTP_PASSWORD)
    token = client.post("/api/tokens", json={"name": "two"}, headers={"Idempotency-Key": "k"}).json
    busy.database.checkpoint()

    kept = b"".join(
        path.read_bytes() for path in busy.settings.data_dir.rglob("*") if path.is_file()
    )

    found = [secret for secret in (*SECRETS, token["token"]) if secret.encode() in kept]
    assert found == []


def test_what_a_mail_server_says_is_text_in_every_page_and_table(tmp_path: Path) -> None:
    evil = "=cmd|'/c calc'!A1 <script>alert(1)</script>"
    with a_house(tmp_path) as house:
        client = knocking(house)
        run_id = materialised(house, client)
        put_as_failed(house, run_id, "ann@example.com")
        with house.database.write(durable=False) as tx:
            tx.exec_driver_sql(
                "UPDATE deliveries SET smtp_reply = ? WHERE status = 'failed'", (evil,)
            )
        page = {"Accept": "text/html"}
        pages = [
            client.get(path, headers=page).text
            for path in (
                f"/runs/{run_id}",
                f"/runs/{run_id}?status=failed",
                "/recipients/ann@example.com",
            )
        ]
        table = client.get(f"/api/runs/{run_id}/deliveries.csv").text

    assert any("&lt;script&gt;alert(1)" in page for page in pages)
    assert [page for page in pages if "<script>alert" in page] == []
    cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
    assert "'" + evil in cells


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_of_a_table_is_a_formula(start: str) -> None:
    assert defused(f"{start}1+1") == f"'{start}1+1"


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_is_logged_is_one_line(
    log_format: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    before = structlog.get_config()
    try:
        set_up_logging(log_format)
        forged = "550 no\n2026-01-01 [info] signed in user_id=1\r\n\x1b[2K\x1b]0;title\x07"
        log_for("a test of lines").warning("account failing", why=forged)
        logging.getLogger("library").warning("said %s", forged)
    finally:
        structlog.configure(**before)
    lines = capsys.readouterr().err.strip("\n").split("\n")

    assert len(lines) == 2
    assert [line for line in lines if "\x1b]" in line or "\x1b[2K" in line or "\r" in line] == []
    if log_format == "json":
        assert [json.loads(line)["level"] for line in lines] == ["warning", "warning"]
