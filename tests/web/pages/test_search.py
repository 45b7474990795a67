"""The search on top of every page finds whatever there is by a part of its name."""

import re

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, an_account, an_audience, materialised


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def found(anna: BrowserClient, q: str, **more: str) -> dict[str, list[str]]:
    """Return the paths that were found, by kind."""
    page = anna.get("/search", query_string={"q": q} | more)
    assert page.status_code == 200
    return {
        title: re.findall(r'<a href="([^"]+)" data-open>', section)
        for title, section in re.findall(
            r'<section class="card flush" aria-labelledby="([a-z]+)-title">(.*?)</section>',
            page.text,
            re.DOTALL,
        )
    }


def test_everything_with_the_letters_in_its_name_is_found_by_kind(
    client: FlaskClient, anna: BrowserClient
) -> None:
    an_account(client, name="Digest relay")
    campaign = a_campaign(client, name="Weekly digest")["id"]
    audience = an_audience(
        client, name="Digest readers", recipients=[{"email": "x@y.example", "name": "Di Gestern"}]
    )["id"]
    schedule = a_schedule(client, campaign_id=campaign)["id"]
    run = client.post(f"/api/schedules/{schedule}/run-now").json["id"]

    assert found(anna, "DIGEST") == {
        "campaigns": [f"/campaigns/{campaign}"],
        "schedules": [f"/automation/{schedule}"],
        "runs": [f"/runs/{run}"],
        "audiences": [f"/audiences/{audience}"],
        "accounts": ["/accounts/2"],
    }


def test_a_person_is_found_by_part_of_the_address_or_of_the_name(
    client: FlaskClient, anna: BrowserClient
) -> None:
    person = {"email": "anna@example.org", "name": "Anna Müller"}
    an_audience(client, name="A", recipients=[person])
    an_audience(client, name="B", recipients=[person])
    client.post("/api/suppressions", json={"email": "gone@nowhere.example"})

    assert found(anna, "na@ex") == {"recipients": ["/recipients/anna@example.org"]}
    assert found(anna, "müll") == {"recipients": ["/recipients/anna@example.org"]}
    assert found(anna, "nowhere") == {"recipients": ["/recipients/gone@nowhere.example"]}


def test_a_whole_address_leads_straight_to_the_person(
    client: FlaskClient, anna: BrowserClient
) -> None:
    an_audience(client, recipients=[{"email": "anna@example.org"}])

    known = anna.get("/search?q=Anna@example.org")
    unknown = anna.get("/search?q=nobody@example.org")

    assert (known.status_code, known.headers["Location"]) == (303, "/recipients/anna@example.org")
    assert "Nobody with exactly this address is known here." in unknown.text


@pytest.mark.parametrize("typed", ["1", "#1", "run 1", "Run #1"])
def test_a_run_is_found_by_its_number(
    house: Sendonce, client: FlaskClient, anna: BrowserClient, typed: str
) -> None:
    materialised(house, client, recipients=["ann@example.com"])

    assert found(anna, typed)["runs"] == ["/runs/1"]


def test_ten_of_a_kind_are_shown_and_the_rest_on_a_page_of_their_own(
    client: FlaskClient, anna: BrowserClient
) -> None:
    people = [{"email": f"p{n}@example.com", "name": "Reader"} for n in range(12)]
    an_audience(client, recipients=people)

    page = anna.get("/search?q=reader").text

    assert len(found(anna, "reader")["recipients"]) == 10
    assert "/search?q=reader&amp;kind=recipients" in page
    assert len(found(anna, "reader", kind="recipients")["recipients"]) == 12


def test_nothing_typed_and_nothing_found_say_so(anna: BrowserClient) -> None:
    assert "Type part of an address" in anna.get("/search").text
    assert "Nothing has “&lt;zzz&gt;” in its name" in anna.get("/search?q=<zzz>").text


@pytest.mark.parametrize("q", ["%", "_", "\\", "'", "9" * 19, "a" * 320])
def test_no_letters_are_anything_but_letters(
    client: FlaskClient, anna: BrowserClient, q: str
) -> None:
    a_campaign(client)

    assert found(anna, q) == {}


def test_what_can_not_be_looked_for_is_refused(anna: BrowserClient) -> None:
    assert anna.get("/search?q=" + "a" * 321).status_code == 422
    assert anna.get("/search?q=a&kind=secrets").status_code == 422
