"""/campaigns/preview: the mail as it stands in the form, and the checks."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import signed_in
from tests.web.given import an_account, an_audience
from tests.web.pages.test_campaign_editor import written

FINE = '<p>Hello {{ name or "there" }}</p><a href="{{ unsubscribe_url }}">Unsubscribe</a>'


def _people(client: FlaskClient) -> None:
    an_audience(
        client,
        recipients=[
            {"email": "ann@example.com", "name": "Ann", "attributes": {"city": "Köln"}},
            {"email": "bob@example.com", "attributes": {"plan": {"last name": "x"}}},
            {"email": "cia@example.com", "name": "Cia"},
        ],
    )


def _checks(house: Sendonce, **fields: Any) -> str:
    browser = signed_in(house, role=Role.VIEWER)
    typed = written(html=FINE) | fields | {"csrf_token": browser.token()}
    answer = browser.post_raw("/campaigns/preview", typed, **{"X-Fragment": "1"})
    assert answer.status_code == 200
    return answer.text


def test_a_viewer_sees_the_unsaved_mail_in_a_frame_of_its_own(
    house: Sendonce, client: FlaskClient
) -> None:
    _people(client)
    browser = signed_in(house, role=Role.VIEWER)

    answer = browser.post_form("/campaigns/preview", written(html="<h1>Hi {{ name }}</h1>"))

    assert answer.text == '<base target="_blank">' + "<h1>Hi Ann</h1>"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "https:" not in answer.headers["Content-Security-Policy"]
    assert client.get("/api/campaigns").json["items"] == []


def test_another_reader_another_part_and_remote_images_are_shown_on_demand(
    house: Sendonce, client: FlaskClient
) -> None:
    _people(client)
    browser = signed_in(house)
    fields = written(html="<h1>{{ email }}</h1>", **{"as": "bob@example.com"})

    text = browser.post_form("/campaigns/preview", fields | {"view": "text"})
    source = browser.post_form("/campaigns/preview", fields | {"view": "source"})
    images = browser.post_form("/campaigns/preview", fields | {"images": "1"})

    assert (text.mimetype, text.text.strip()) == ("text/plain", "bob@example.com")
    assert (source.mimetype, source.text) == ("text/plain", "<h1>bob@example.com</h1>")
    assert "https:" in images.headers["Content-Security-Policy"]


def test_a_preview_needs_the_pages_token(house: Sendonce) -> None:
    answer = signed_in(house).post_raw("/campaigns/preview", written())

    assert answer.status_code == 400


def test_the_same_preview_asked_twice_is_made_anew(house: Sendonce, client: FlaskClient) -> None:
    _people(client)
    browser = signed_in(house)

    for html in ("<p>one</p>", "<p>two</p>"):
        fields = written(html=html, idempotency_key="the-same")
        assert browser.post_form("/campaigns/preview", fields).text.endswith(html)


def test_a_template_that_fails_is_told_in_the_frame_and_escaped(
    house: Sendonce, client: FlaskClient
) -> None:
    _people(client)

    answer = signed_in(house).post_form("/campaigns/preview", written(html="{{ '<b>'|nope }}"))

    assert answer.status_code == 422
    assert "HTML, line 1: there is no filter called &#39;nope&#39;" in answer.text


def test_nothing_to_complain_about_is_said(house: Sendonce, client: FlaskClient) -> None:
    _people(client)

    said = _checks(house)

    assert "No problems found" in said
    assert 'data-reader="ann@example.com"' in said


def test_a_mistake_is_a_problem_with_its_line(house: Sendonce, client: FlaskClient) -> None:
    _people(client)

    said = _checks(house, html="\n{% if name %}", subject="{{ nmae }}")

    assert "2 problems" in said
    assert 'data-of="html"' in said
    assert "line 2: {% if %} is never closed. Add {% endif %}" in said
    assert "Did you mean name?" in said


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"html": FINE + "{{ recipient.attributes.city }}"}, "2 people have no city"),
        ({"html": FINE + "{{ name }}"}, "1 person has no name"),
        ({"html": "<p>Hi</p>"}, "There is no unsubscribe link in the body"),
        ({"subject": ""}, "The subject is empty"),
        ({"as": "zed@example.com"}, "zed@example.com is not in the chosen audiences"),
        ({"as": "nonsense"}, "nonsense is not in the chosen audiences"),
        ({"audience_ids": "99"}, "No audience is chosen"),
        ({"account_ids": "2"}, "Set SENDONCE_PUBLIC_URL"),
        ({"html": FINE + '<a href="example.com">x</a>'}, "does not say where it leads"),
    ],
)
def test_each_oddity_is_a_hint(
    house: Sendonce, client: FlaskClient, fields: dict[str, Any], hint: str
) -> None:
    _people(client)
    an_account(client)

    assert hint in _checks(house, **fields)


def test_who_is_suppressed_is_not_counted_and_comes_in_no_list(
    house: Sendonce, client: FlaskClient
) -> None:
    _people(client)
    client.post("/api/suppressions", json={"email": "bob@example.com", "reason": "manual"})

    said = _checks(house, html=FINE + "{{ recipient.attributes.city }}")

    assert "1 person has no city" in said
    assert "bob@example.com" not in said


def test_what_a_template_may_say_comes_from_the_audience(
    house: Sendonce, client: FlaskClient
) -> None:
    _people(client)

    said = _checks(house)

    assert "{{ recipient.attributes.city }}" in said
    assert "{{ recipient.attributes.plan[&#34;last name&#34;] }}" in said


def test_the_sender_is_the_campaigns_or_else_the_accounts(
    house: Sendonce, client: FlaskClient
) -> None:
    _people(client)
    an_account(client, from_name="The account")

    assert "The account &lt;news@example.com&gt;" in _checks(house, account_ids="2")
