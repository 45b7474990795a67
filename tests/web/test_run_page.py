"""/runs/{id}: how a run stands in one sentence, and its deliveries, a page at a time."""

import re

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from delivery import ledger
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, materialised, put_as_failed, put_in_doubt

ANN, BOB = "ann@example.com", "bob@example.com"


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def headline_of(anna: BrowserClient, path: str = "/runs/1") -> str:
    found = re.search(
        r'<p class="lead"><span class="badge.*?<strong>(.*?)</strong>', anna.get(path).text
    )
    assert found is not None
    return found[1]


def listed(page: str) -> list[str]:
    return re.findall(r'<tr role="row" id="d(\d+)"', page)


def link_named(page: str, word: str) -> str:
    found = re.search(r'href="([^"]+)"[^>]*>(?:<svg.*?</svg>)?' + word, page)
    assert found is not None, word
    return found[1].replace("&amp;", "&")


def test_a_run_that_is_over_says_how_long_it_took_and_that_nobody_got_it_twice(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run_id = materialised(house, client)
    with house.database.write(durable=False) as tx:
        ledger.start(tx, run_id, house.clock.now())
    house.clock.inner.advance(seconds=192)
    put_in_doubt(house, run_id, ANN, BOB)

    before = headline_of(anna)
    client.post(f"/api/runs/{run_id}/in-doubt", json={"action": "resend", "emails": [ANN]})
    put_in_doubt(house, run_id, ANN)

    assert before == "Done in 3 min 12 s. Nobody was sent it twice."
    assert headline_of(anna).endswith("but for 1 person to whom somebody decided to send it again.")


def test_who_paused_or_cancelled_a_run_is_told_with_what_that_means(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    materialised(house, client)

    anna.post_form("/runs/1/pause")
    paused = headline_of(anna)
    anna.post_form("/runs/1/cancel")

    assert paused == (
        "Paused by admin@example.com. 2 people wait; nothing is sent until you go on."
    )
    assert headline_of(anna) == (
        "Cancelled by admin@example.com. 0 people have it, 2 will not get it."
    )


def test_a_run_to_an_empty_audience_says_that_nothing_was_sent(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    campaign = a_campaign(client, recipients=())
    schedule = a_schedule(client, campaign_id=campaign["id"])
    client.post(f"/api/schedules/{schedule['id']}/run-now")
    with house.database.write(durable=False) as tx:
        ledger.materialise(tx, 1, rows=10, now=house.clock.now())
        ledger.start(tx, 1, house.clock.now())
        ledger.finish(tx, 1, house.clock.now())

    assert headline_of(anna) == "No recipients: the audience was empty. Nothing was sent."


def test_deliveries_are_paged_forth_and_back_by_key(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    materialised(house, client, recipients=[f"p{n}@example.com" for n in range(120)])

    first = anna.get("/runs/1").text
    second = anna.get(link_named(first, "Next 50")).text
    third = anna.get(link_named(second, "Next 50")).text
    back = anna.get(link_named(third, "Back 50")).text
    start = anna.get(link_named(back, "Back 50")).text

    assert [len(listed(page)) for page in (first, second, third)] == [50, 50, 20]
    assert listed(back) == listed(second)
    assert listed(start) == listed(first)
    assert "Back 50" not in first
    assert "Back 50" not in start
    assert "Next 50" not in third
    assert "20 of 120" in third


def test_a_list_of_one_state_stays_as_it_was_read_and_the_whole_list_is_live(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    materialised(house, client)

    assert re.search(r'<div id="deliveries"[^>]* data-live>', anna.get("/runs/1").text)
    assert re.search(
        r'<div id="deliveries"[^>]* data-still="queued">', anna.get("/runs/1?status=queued").text
    )


def test_a_delivery_says_in_words_why_nothing_was_sent(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    client.post("/api/suppressions", json={"email": ANN})
    materialised(house, client)
    put_as_failed(house, 1, BOB)

    page = anna.get("/runs/1").text

    assert "Not written to: suppressed by hand" in page
    assert "550 5.1.1 nobody here" in page


@pytest.mark.parametrize("query", ["back=2", "cursor=x", "status=gone"])
def test_an_address_that_makes_no_sense_is_refused(
    house: Sendonce, client: FlaskClient, anna: BrowserClient, query: str
) -> None:
    materialised(house, client)

    assert anna.get(f"/runs/1?{query}").status_code == 422
