import gzip
import io
import re
import tomllib
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from foundation.version import VERSION
from tests.house import app_of
from tests.web.browser_client import a_stranger, signed_in
from web.strict_json import MOST_BYTES


def test_who_opens_the_server_is_led_to_automation_and_there_to_sign_in(house: Sendonce) -> None:
    stranger = a_stranger(house)

    first = stranger.get("/")
    then = stranger.get(first.headers["Location"])

    assert (first.status_code, first.headers["Location"]) == (303, "/automation")
    assert (then.status_code, then.headers["Location"]) == (303, "/login?next=%2Fautomation")
    assert "There is no user yet" in stranger.get(then.headers["Location"]).text


def test_what_is_not_there_is_a_page_for_a_person_and_a_problem_for_a_program(
    house: Sendonce, client: FlaskClient
) -> None:
    person = signed_in(house).get("/nothing")
    program = client.get("/nothing")

    assert (person.status_code, person.mimetype) == (404, "text/html")
    assert "There is nothing at this address" in person.text
    assert (program.status_code, program.mimetype) == (404, "application/problem+json")


def test_files_are_kept_for_ever_under_the_hash_of_them_all(house: Sendonce) -> None:
    page = a_stranger(house).get("/login").text
    [address] = set(re.findall(r'href="(/static/[0-9a-f]{12}/css/app\.css)"', page))
    client = app_of(house).test_client()

    kept = client.get(address, headers={"Accept-Encoding": "gzip"})
    old = client.get("/static/of-before/css/app.css")

    assert (kept.status_code, kept.mimetype) == (200, "text/css")
    assert "immutable" in kept.headers["Cache-Control"]
    assert gzip.decompress(kept.data) == old.data
    assert old.headers["Cache-Control"] == "no-cache"
    assert client.get("/static/x/../../app.py").status_code == 404


@pytest.mark.parametrize("path", ["/", "/api/runs", "/api/nothing", "/healthz", "/u/x"])
def test_every_answer_carries_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path).headers

    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_a_method_that_is_not_known_is_a_405_that_says_which_are(client: FlaskClient) -> None:
    answer = client.put("/api/audiences")

    assert answer.status_code == 405
    assert answer.mimetype == "application/problem+json"
    assert {"GET", "POST"} <= {m.strip() for m in answer.headers["Allow"].split(",")}


@pytest.mark.parametrize(
    "path",
    [
        "/api/audiences/9223372036854775808",
        "/api/audiences/99999999999999999999999",
        "/api/audiences/0",
        "/api/audiences/-1",
        "/api/audiences/01",
        "/api/audiences/1.0",
        "/api/audiences/x",
        "/api/audiences/1/",
        "/api//audiences/1",
        "/api/audiences/%ff",
        "/api/../api/audiences/1",
    ],
)
def test_what_is_no_id_is_a_404(client: FlaskClient, path: str) -> None:
    client.post("/api/audiences", json={"name": "R"})

    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"


def test_a_body_over_16_mib_is_a_413_also_when_it_does_not_say_its_length(
    client: FlaskClient,
) -> None:
    body = b'{"name": "' + b"x" * MOST_BYTES + b'"}'

    known = client.post("/api/audiences", data=body, content_type="application/json")
    chunked = client.post(
        "/api/audiences",
        input_stream=io.BytesIO(body),
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    exact = client.post(
        "/api/audiences",
        data=body[:11] + body[11 + len(body) - MOST_BYTES :],
        content_type="application/json",
    )
    form = client.post(
        "/api/audiences/1/import", data=body, content_type="multipart/form-data; boundary=x"
    )

    assert (known.status_code, chunked.status_code, form.status_code) == (413, 413, 413)
    assert exact.status_code == 422
    assert known.json["status"] == 413


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())

    assert project["project"]["version"] == VERSION
