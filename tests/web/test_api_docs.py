import json
import re
import shlex
from html import unescape
from typing import Any

from flask.testing import FlaskClient

from assembly import Sendonce
from tests.web.browser_client import signed_in
from web import curl

_EXAMPLE = re.compile(r'<pre class="code">(curl .*?)</pre>', re.DOTALL)
_ID = re.compile(r'id="([^"]+)"')


def examples(page: str) -> list[list[str]]:
    return [shlex.split(unescape(text).replace("\\\n", "")) for text in _EXAMPLE.findall(page)]


def calls(client: FlaskClient) -> dict[str, Any]:
    document = client.get("/api/openapi.json").json
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_every_call_has_an_example_of_its_own(client: FlaskClient) -> None:
    page = client.get("/api/docs").text

    assert len(examples(page)) == len(calls(client))
    assert all("Authorization: Bearer $TOKEN" in words for words in examples(page))
    assert "http://localhost/api/accounts/1" in page


def test_calls_are_found_by_what_they_are_called_or_do(client: FlaskClient) -> None:
    found = client.get("/api/docs?q=certificate").text
    nothing = client.get("/api/docs?q=<zzz>").text

    assert 0 < len(examples(found)) < 3
    assert "/certificate" in found
    assert "No call has “&lt;zzz&gt;”" in nothing
    assert examples(nothing) == []


def test_the_body_of_an_example_is_one_that_the_call_takes(client: FlaskClient) -> None:
    schemas = client.get("/api/openapi.json").json["components"]["schemas"]

    for name, body in curl.BODIES.items():
        assert body.keys() <= schemas[name]["properties"].keys()
        assert set(schemas[name].get("required", ())) <= body.keys()


def test_an_example_does_what_it_says(client: FlaskClient) -> None:
    page = client.get("/api/docs").text
    makes = ("/api/audiences", "/api/campaigns", "/api/schedules")

    for path in makes:
        [words] = [w for w in examples(page) if w[1] == f"http://localhost{path}" and "-d" in w]
        answer = client.post(path, json=json.loads(words[-1]))
        assert answer.status_code == 201, answer.text


def test_a_call_without_an_example_gets_one_of_its_required_fields() -> None:
    schema = {
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "more": {}},
        "required": ["name", "age"],
    }

    line = curl.curl("POST", "http://localhost/api/new", body="Unheard", schema=schema)

    assert json.loads(shlex.split(line.replace("\\\n", ""))[-1]) == {"name": "…", "age": 1}


def test_every_link_of_the_contents_leads_somewhere(client: FlaskClient) -> None:
    page = client.get("/api/docs").text
    ids = _ID.findall(page)

    wanted = set(re.findall(r'href="#([^"]+)"', page))

    assert wanted <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_token_gets_it_without_a_cookie(client: FlaskClient) -> None:
    answer = client.get("/api/docs")

    assert "Set-Cookie" not in answer.headers
    assert "<h1>API</h1>" in answer.text


def test_who_is_signed_in_has_the_navigation_around_it(house: Sendonce) -> None:
    page = signed_in(house).get("/api/docs").text

    assert 'aria-label="Main"' in page
    assert "<h1>API</h1>" in page
