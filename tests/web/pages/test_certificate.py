"""The certificate of a run, in the browser."""

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import materialised, put_in_doubt


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def test_a_run_that_is_over_says_in_words_that_it_holds(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    put_in_doubt(house, run, "ann@example.com", "bob@example.com")
    anna.post_form(
        f"/runs/{run}/in-doubt",
        {
            "action": "mark-sent",
            "emails": "bob@example.com",
            "before": house.clock.now().isoformat(),
        },
    )

    page = anna.get(f"/runs/{run}/certificate").text
    told = client.get(f"/api/runs/{run}/certificate").json

    assert "This certificate holds." in page
    assert "Of 2 people on the list, it was sent to 1 person. Everybody is accounted for." in page
    assert "Nobody was sent it twice. Of 1 person nobody can know whether it arrived" in page
    assert "<strong>2</strong> recipients = 1 sent + 0 failed + 0 skipped + 1 in doubt" in page
    assert "<strong>0</strong> duplicates · <strong>0</strong> missing" in page
    assert page.count("Holds</span>") == len(told["checks"])
    assert "&lt;1@example.com&gt;" in page
    assert "<strong>Marked as sent</strong> (bob@example.com) by admin@example.com" in page
    assert told["ledger_sha256"] in page
    assert told["content_sha256"] in page
    assert f"python app.py proof {run}" in page
    assert f'href="/api/runs/{run}/certificate" download=' in page
    assert f'href="/runs/{run}/certificate">' in anna.get(f"/runs/{run}").text


def test_a_run_that_is_not_over_says_so(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)

    page = anna.get(f"/runs/{run}/certificate").text

    assert "This run is not over." in page
    assert "So far all is right." in page
    assert "This certificate holds." not in page
    assert "Certificate, as it stands now" in anna.get(f"/runs/{run}").text


def test_one_that_does_not_hold_is_loud_and_says_which_check_failed(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    put_in_doubt(house, run, "ann@example.com", "bob@example.com")
    with house.database.write(durable=False) as tx:
        tx.execute(text("DELETE FROM deliveries WHERE id = 1"))

    page = anna.get(f"/runs/{run}/certificate").text

    assert "This certificate does not hold." in page
    assert "2 of 8 checks have failed." in page
    assert "This certificate holds." not in page
    assert page.count("Failed</span>") == 2
    assert "1 of the frozen audience have no row" in page


def test_long_lists_are_begun_and_counted(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    people = [f"p{n}@example.com" for n in range(103)]
    run = materialised(house, client, recipients=people)
    put_in_doubt(house, run, *people)

    page = anna.get(f"/runs/{run}/certificate").text

    assert "p99@example.com" in page
    assert "p100@example.com" not in page
    assert "and 3 more, all of them in the JSON" in page


def test_who_was_sent_it_again_is_said_to_have_been_by_a_decision(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    put_in_doubt(house, run, "ann@example.com", "bob@example.com")
    client.post(f"/api/runs/{run}/in-doubt", json={"action": "resend", "emails": "all"})

    page = anna.get(f"/runs/{run}/certificate").text

    assert "but for 2 people to whom it was sent again because somebody decided so" in page


def test_a_viewer_may_see_it_and_no_run_is_not_found(house: Sendonce, client: FlaskClient) -> None:
    run = materialised(house, client)
    viewer = signed_in(house, role=Role.VIEWER)

    assert viewer.get(f"/runs/{run}/certificate").status_code == 200
    assert viewer.get("/runs/999/certificate").status_code == 404
