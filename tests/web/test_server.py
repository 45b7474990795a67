import html
import io
import tomllib
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from foundation.version import VERSION
from web.strict_json import MOST_BYTES


@pytest.mark.parametrize("path", ["/", "/automation"])
def test_a_person_who_opens_the_server_sees_what_it_is(stranger: FlaskClient, path: str) -> None:
    page = stranger.get(path)

    assert page.status_code == 200
    assert VERSION in page.text
    assert "/static/css/plain.css" in page.text


def test_the_front_page_says_how_to_fetch_the_description_with_a_token(
    stranger: FlaskClient,
) -> None:
    page = html.unescape(stranger.get("/", headers={"Host": "127.0.0.1:9000"}).text)

    assert (
        'curl -H "Authorization: Bearer $TOKEN" -o api.html http://127.0.0.1:9000/api/docs' in page
    )
    assert "href=/api" not in page


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
        "//api/audiences/1",
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
