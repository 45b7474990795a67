"""Runs in the browser, over HTTP alone."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from assembly import Sendonce
from delivery import ledger, recovery
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import materialised, put_in_doubt


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def test_nothing_has_run_yet(anna: BrowserClient) -> None:
    assert "Nothing has run yet." in anna.get("/runs").text


def test_a_run_says_how_it_stands_in_a_sum_that_adds_up(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)

    page = anna.get(f"/runs/{run}").text

    assert (
        "<strong>2</strong> recipients = 0 sent + 0 failed + 0 skipped + 0 in doubt + 2 queued"
        in page
    )
    assert "adds up" in page
    assert "ann@example.com" in page
    assert f'href="/runs/{run}"' in anna.get("/runs").text


def test_deliveries_are_searched_and_filtered(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)

    found = anna.get(f"/runs/{run}?q=ann").text
    none = anna.get(f"/runs/{run}?q=zzz").text
    sent = anna.get(f"/runs/{run}?status=sent").text

    assert "ann@example.com" in found
    assert "bob@example.com" not in found
    assert "No delivery matches “zzz”." in none
    assert "No delivery matches this filter." in sent
    assert anna.get(f"/runs/{run}?status=nonsense").status_code == 422


def test_deliveries_go_on_after_fifty(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client, recipients=[f"p{n}@example.com" for n in range(60)])

    first = anna.get(f"/runs/{run}").text

    assert first.count('data-label="Tries"') == 50
    [next_page] = [part.split('"')[0] for part in first.split('href="') if "cursor=" in part][:1]
    assert anna.get(next_page.replace("&amp;", "&")).text.count('data-label="Tries"') == 10


def test_it_is_paused_goes_on_and_is_cancelled(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)

    anna.post_form(f"/runs/{run}/pause")
    paused = anna.get(f"/runs/{run}").text
    anna.post_form(f"/runs/{run}/resume")
    goes_on = client.get(f"/api/runs/{run}").json["status"]
    asked = anna.get(f"/runs/{run}/cancel").text
    anna.post_form(f"/runs/{run}/cancel")
    page = anna.get(f"/runs/{run}").text

    assert "Paused by admin@example.com. 2 people wait; nothing is sent until you go on." in paused
    assert "Go on with 2 people" in paused
    assert goes_on in ("claimed", "running")
    assert "2 people will not get it" in asked
    assert "Cancelled by admin@example.com. 0 people have it, 2 will not get it." in page
    assert "Cancelled. 0 people have it; nobody else gets it." in page


def test_what_comes_too_late_is_a_sentence(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    anna.post_form(f"/runs/{run}/cancel")

    answer = anna.post_form(f"/runs/{run}/pause")

    assert answer.status_code == 409
    assert "only one that is on its way can be paused" in answer.text
    assert anna.post_form("/runs/999/pause").status_code == 404


def test_doubts_are_told_on_the_run_and_on_every_page(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    put_in_doubt(house, run, "ann@example.com")

    page = anna.get(f"/runs/{run}").text
    elsewhere = anna.get("/campaigns").text

    assert "1 delivery is in doubt: the connection broke" in page
    assert f"/runs/{run}/in-doubt" in elsewhere


def test_an_answer_of_a_mail_server_is_text_not_html(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    with house.database.write(durable=False) as tx:
        tx.execute(text("UPDATE deliveries SET smtp_code = 250, smtp_reply = '<img src=x>'"))

    assert "<img" not in anna.get(f"/runs/{run}").text


def test_a_run_of_an_empty_audience_says_so(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client, recipients=())
    with house.database.write(durable=False) as tx:
        ledger.start(tx, run, house.clock.now())
        ledger.finish(tx, run, house.clock.now())

    assert "the audience was empty. Nothing was sent." in anna.get(f"/runs/{run}").text


def test_what_was_decided_about_a_run_stands_at_its_end_with_who_and_when(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    assert "Decisions" not in anna.get(f"/runs/{run}").text

    anna.post_form(f"/runs/{run}/pause")
    anna.post_form(f"/runs/{run}/cancel")
    page = anna.get(f"/runs/{run}").text

    assert "<strong>Paused</strong> by admin@example.com" in page
    assert page.index("<strong>Cancelled</strong> by") < page.index("<strong>Paused</strong> by")


def test_a_held_run_says_what_that_means_and_goes_on_by_a_button(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    with house.database.write(durable=False) as tx:
        recovery.hold(tx, "this may be an older copy", spared=())

    page = anna.get(f"/runs/{run}").text
    anna.post_form(f"/runs/{run}/resume")

    assert "Held: this may be an older copy. Nothing is sent until you decide." in page
    assert "Go on with 2 people" in page
    assert "<strong>Resumed</strong> by admin@example.com" in anna.get(f"/runs/{run}").text
