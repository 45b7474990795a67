"""What every answer says to a browser, of whatever kind; and what a request says of hosts, which changes no link."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from assembly import Sendonce
from ops.serve import HttpServer, listen
from tests.doors.test_routes import routes_of
from tests.house import a_house, app_of, bearer
from tests.web.browser_client import signed_in
from tests.web.given import a_campaign, a_schedule, an_account
from web.server import build_flask

EVIL = "evil.example"
INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)[^>]*>|<style\b|<[^>]*\s(?:style|on[a-z]+)=|(?:href|src|action)=\"?\s*javascript:",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sendonce]:
    """A house with one of each thing, that is known by an address of its own."""
    folder = tmp_path_factory.mktemp("headers")
    with a_house(folder, public_url="https://mail.example.com") as house:
        client = knocking(house)
        an_account(client)
        campaign = a_campaign(client, html="<p style='color:red' onclick='x()'>Hello</p>")
        schedule = a_schedule(client, campaign_id=campaign["id"])
        assert client.post(f"/api/schedules/{schedule['id']}/run-now").status_code == 202
        yield house


def knocking(house: Sendonce) -> FlaskClient:
    client = app_of(house).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
    client.environ_base["wsgi.multithread"] = True
    return client


def each_kind(house: Sendonce) -> dict[str, TestResponse]:
    """Return an answer of every kind there is."""
    client = knocking(house)
    stranger = app_of(house).test_client()
    browser = signed_in(house)
    with house.database.write(durable=False) as tx:
        tx.exec_driver_sql("DELETE FROM users")
    page = {"Accept": "text/html"}
    big = b"x" * (17 * 1024 * 1024)
    return {
        "a page": client.get("/automation", headers=page),
        "a page of a session": browser.get("/login"),
        "a page that is not there": client.get("/nothing", headers=page),
        "a redirect": stranger.get("/automation", headers=page),
        "the sign-in page": stranger.get("/login", headers=page),
        "json": client.get("/api/runs"),
        "the description": client.get("/api/openapi.json"),
        "a problem": client.get("/api/runs/77"),
        "no credential": stranger.get("/api/runs"),
        "another method": client.put("/api/runs"),
        "too large": client.post("/api/audiences", data=big, content_type="application/json"),
        "a table": client.get("/api/runs/1/deliveries.csv"),
        "a stream": client.get("/api/events", buffered=False),
        "a stylesheet": stranger.get("/static/x/css/app.css"),
        "icons": stranger.get("/static/x/img/icons.svg"),
        "a mail": previewed(house),
        "liveness": stranger.get("/healthz"),
        "figures": stranger.get("/metrics"),
        "an unsubscribe page": stranger.get("/u/x", headers=page),
    }


def test_every_kind_of_answer_is_closed_by_its_headers(world: Sendonce) -> None:
    answers = each_kind(world)

    for kind, answer in answers.items():
        headers = answer.headers
        policy = headers["Content-Security-Policy"]
        is_mail = "sandbox" in policy
        assert headers["X-Content-Type-Options"] == "nosniff", kind
        assert headers["Referrer-Policy"] == "no-referrer", kind
        assert headers["X-Frame-Options"] == ("SAMEORIGIN" if is_mail else "DENY"), kind
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin", kind
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin", kind
        assert "unsafe-eval" not in policy, kind
        assert "*" not in policy, kind
        assert is_mail or "unsafe-inline" not in policy, kind
        assert policy.startswith(("default-src 'self'", "default-src 'none'")), kind
        assert "frame-ancestors" in policy, kind
        if not kind.startswith(("a stylesheet", "icons")):
            assert headers["Cache-Control"] == "no-store", kind
        answer.close()


@pytest.mark.parametrize(
    "fields", [{}, {"images": "on"}, {"view": "source"}, {"view": "text"}, {"html": "{{ oops"}]
)
def test_a_mails_own_html_runs_nothing_and_sends_nothing(
    world: Sendonce, fields: dict[str, str]
) -> None:
    answer = previewed(world, **fields)

    policy = answer.headers["Content-Security-Policy"]
    allowed = re.findall(r"[\w-]+(?:-[\w]+)*", policy.partition("sandbox")[2])
    assert "default-src 'none'" in policy
    assert "script" not in policy
    assert "form-action 'none'" in policy
    assert allowed == ["allow-popups", "allow-popups-to-escape-sandbox"]


def previewed(house: Sendonce, **fields: str) -> TestResponse:
    """Return a campaign's preview as the frame gets it."""
    form = {"name": "N", "subject": "S", "html": "<script>x()</script><p onclick='x()'>Hello</p>"}
    return knocking(house).post("/campaigns/preview", data=form | fields)


def test_no_page_holds_a_script_or_a_style_of_its_own(world: Sendonce) -> None:
    client = knocking(world)
    pages = [r for r in routes_of(app_of(world)) if r.method == "GET" and "/api/" not in r.rule]

    shown = {
        str(route): answer.text
        for route in pages
        for answer in [client.get(route.path, headers={"Accept": "text/html"})]
        if answer.mimetype == "text/html"
        and "sandbox" not in answer.headers["Content-Security-Policy"]
    }

    assert len(shown) > 30
    assert {name: INLINE.findall(page) for name, page in shown.items() if INLINE.search(page)} == {}


@pytest.mark.parametrize(
    "forged",
    [
        {"Host": EVIL},
        {"X-Forwarded-Host": EVIL, "X-Forwarded-Proto": "https", "X-Forwarded-For": "6.6.6.6"},
        {"Forwarded": f"for=6.6.6.6;host={EVIL};proto=https"},
        {
            "X-Original-URL": f"//{EVIL}/",
            "X-Rewrite-URL": f"//{EVIL}/",
            "X-Forwarded-Prefix": f"//{EVIL}",
        },
    ],
)
def test_no_header_of_a_request_turns_a_link_elsewhere(
    world: Sendonce, forged: dict[str, str]
) -> None:
    client = knocking(world)
    paths = ["/", "/login", "/u/x", "/api/docs", "/api/nothing", "/nothing", "/settings/general"]

    answers = [client.get(path, headers={"Accept": "text/html", **forged}) for path in paths]
    made = client.post("/api/audiences", json={"name": "R"}, headers=forged)
    preview = client.post("/api/campaigns/1/preview", json={}, headers=forged)

    for answer in [*answers, made, preview]:
        assert answer.status_code < 500
        assert EVIL not in answer.text
        assert EVIL not in str(answer.headers)
        assert "6.6.6.6" not in answer.text


def test_redirects_stay_on_the_server_that_was_asked(world: Sendonce) -> None:
    client = knocking(world)

    places = [
        client.get(path, headers={"Accept": "text/html", "Host": EVIL}).headers.get("Location")
        for path in ("/", "/accounts/1/test", "/setup?token=x")
    ]

    assert [p for p in places if p is not None and not re.match(r"/(?![/\\])", p)] == []


def test_what_is_no_http_is_answered_closed_too(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        listening = listen("127.0.0.1", 0)
        server = HttpServer(build_flask(house), listening)
        try:
            with socket.create_connection(("127.0.0.1", listening.getsockname()[1]), 5) as raw:
                raw.sendall(b"GET / HTTP/1.1\r\nno header at all\r\n\r\n")
                said = raw.recv(65536).decode()
        finally:
            server.stop()

    assert said.startswith("HTTP/1.0 400")
    assert "Content-Security-Policy: default-src 'none'" in said
    assert "X-Content-Type-Options: nosniff" in said
