"""Whatever is typed into a form, and whatever is sent as one, is answered by a page that is no fault of ours."""

import re
from collections.abc import Iterator

import pytest

from assembly import Sendonce
from tests.contract.test_bad_inputs import make_the_world
from tests.doors.test_routes import Route, routes_of
from tests.house import a_house, app_of, bearer
from tests.web.browser_client import BrowserClient

_FIELD = re.compile(r'<(?:input|select|textarea|button)\b[^>]*\bname="([^"]+)"')

JUNK = {
    "nothing": "",
    "a line end": "News\r\nBcc: everybody@example.com",
    "a NUL": "a\0b",
    "a huge number": "9" * 400,
    "no number": "NaN",
    "a long text": "x" * 20_000,
    "markup": "<script>alert(1)</script>{{ 7 * 7 }}{% for",
    "a date that is none": "2026-02-31T25:61",
    "a formula": "=cmd|' /c calc'!A1",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sendonce]:
    with a_house(tmp_path_factory.mktemp("forms")) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        make_the_world(client)
        yield house


@pytest.fixture(scope="module")
def person(house: Sendonce) -> BrowserClient:
    client = app_of(house).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
    return BrowserClient(client)


@pytest.fixture(scope="module")
def forms(house: Sendonce) -> list[Route]:
    routes = [r for r in routes_of(app_of(house)) if r.method == "POST" and "/api/" not in r.rule]
    # Their own tests; these would change who asks, or wait for a server.
    return [r for r in routes if not r.rule.startswith(("/login", "/logout", "/u/"))]


@pytest.fixture(scope="module")
def names(house: Sendonce, person: BrowserClient) -> set[str]:
    """Every name that a field of ours has."""
    pages = [
        r.path for r in routes_of(app_of(house)) if r.method == "GET" and "/api/" not in r.rule
    ]
    return {name for path in pages for name in _FIELD.findall(person.get(path).text)}


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_no_form_breaks_on(
    person: BrowserClient, forms: list[Route], names: set[str], junk: str
) -> None:
    answers = {
        str(form): person.post_raw(form.path, dict.fromkeys(names - {"idempotency_key"}, junk))
        for form in forms
    }

    assert len(forms) > 40
    assert len(names) > 30
    assert {name: a.status for name, a in answers.items() if a.status_code >= 500} == {}
    assert [name for name, a in answers.items() if "<script>alert(1)" in a.text] == []


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Disposition: form-data; name="),
        ("multipart/form-data; boundary=x", b"--x\r\n" * 5_000),
        ("multipart/form-data", b"no boundary"),
        ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(5_000))),
        ("application/x-www-form-urlencoded", b"%ff%00=%zz"),
        ("application/json", b"[" * 100_000),
        ("text/plain; charset=nothing", b"x"),
    ],
)
def test_no_form_breaks_on_a_body_of_another_kind(
    person: BrowserClient, forms: list[Route], content_type: str, body: bytes
) -> None:
    answers = {
        str(form): person.client.post(form.path, data=body, content_type=content_type)
        for form in forms
    }

    assert {name: a.status for name, a in answers.items() if a.status_code >= 500} == {}
