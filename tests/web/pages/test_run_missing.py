"""The same mail for those whom a run did not reach, in the browser."""

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import materialised, put_as_failed, put_in_doubt

PEOPLE = ("ann@example.com", "bob@example.com", "cy@example.com")


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


@pytest.fixture
def run(house: Sendonce, client: FlaskClient) -> int:
    """Return a run that is over: it has failed for two, and one is in doubt."""
    run_id = materialised(house, client, recipients=PEOPLE)
    put_as_failed(house, run_id, "ann@example.com", "bob@example.com")
    put_in_doubt(house, run_id, "cy@example.com")
    return run_id


def test_the_button_says_how_many_and_the_confirmation_who_is_left_out(
    anna: BrowserClient, run: int
) -> None:
    page = anna.get(f"/runs/{run}").text
    asked = anna.get(f"/runs/{run}/send-missing").text

    assert "Send to the 2 who did not get it (0 of the 0 who did)…" in page
    assert "Send to the 2 who did not get it (0 of the 0 who did)</button>" in asked
    assert "1 person is in doubt and left out" in asked
    assert asked.index("data-close-dialog") < asked.index("(0 of the 0 who did)</button>")


def test_it_leads_to_the_new_run_which_says_whose_it_is(
    client: FlaskClient, anna: BrowserClient, run: int
) -> None:
    answer = anna.post_form(f"/runs/{run}/send-missing")

    new = client.get("/api/runs").json["items"][0]
    assert answer.headers["Location"] == f"/runs/{new['id']}"
    page = anna.get(f"/runs/{new['id']}").text
    assert f'those whom <a href="/runs/{run}">run {run}</a> did not reach' in page
    assert f"the run for those whom run {run} did not reach: 2 people" in page
    assert f'those whom <a href="/runs/{run}">run {run}</a> did not reach' in anna.get("/runs").text
    before = anna.get(f"/runs/{run}").text
    assert f'as <a href="/runs/{new["id"]}">run {new["id"]}</a>' in before
    assert "who did not get it…" not in before
    assert "Sent to those who had not got it" in before


def test_the_same_form_sent_twice_makes_one_run(
    client: FlaskClient, anna: BrowserClient, run: int
) -> None:
    key = {"idempotency_key": anna.key_in(f"/runs/{run}/send-missing")}

    answers = [anna.post_form(f"/runs/{run}/send-missing", key) for _ in range(2)]

    assert answers[0].headers["Location"] == answers[1].headers["Location"]
    assert len(client.get("/api/runs").json["items"]) == 2


def test_where_nobody_is_missing_there_is_no_button(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    on_its_way = materialised(house, client)
    doubted = materialised(house, client)
    put_in_doubt(house, doubted, "ann@example.com", "bob@example.com")

    assert "who did not get it…" not in anna.get(f"/runs/{doubted}").text
    assert "Nobody is left to send it to" in anna.get(f"/runs/{doubted}/send-missing").text
    assert "is not over" in anna.get(f"/runs/{on_its_way}/send-missing").text
    assert anna.post_form(f"/runs/{doubted}/send-missing").status_code == 409
    assert anna.post_form("/runs/999/send-missing").status_code == 404


def test_a_viewer_has_no_button(house: Sendonce, run: int) -> None:
    viewer = signed_in(house, role=Role.VIEWER)

    assert "who did not get it…" not in viewer.get(f"/runs/{run}").text
    assert viewer.post_form(f"/runs/{run}/send-missing").status_code == 403
