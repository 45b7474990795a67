"""/recipients: finding a person, and what they got, in the browser."""

from flask.testing import FlaskClient

from assembly import Sendonce
from delivery import control
from identity.model import Role
from tests.web.browser_client import signed_in
from tests.web.given import an_audience, materialised, put_in_doubt


def test_a_whole_address_leads_to_the_person(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": "Ann+x@example.com"}])
    browser = signed_in(house)

    found = browser.get("/recipients?q=%20ann%2Bx@EXAMPLE.com")

    assert found.status_code == 303
    page = browser.get(found.headers["Location"]).text
    assert "<h1" in page
    assert "Ann+x@example.com" in page
    assert "May be mailed" in page


def test_a_part_of_an_address_lists_whom_it_may_mean(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": "ann@example.com", "name": "<i>Ann</i>"}])
    an_audience(client, recipients=[{"email": "ANN@example.com"}, {"email": "anna@example.com"}])
    client.post("/api/suppressions", json={"email": "joann@example.com"})

    page = signed_in(house).get("/recipients?q=ann").text

    assert "3 people with “ann”" in page
    assert page.index("anna@example.com") < page.index("joann@example.com")
    assert page.count("Suppressed") >= 1
    assert "<i>" not in page


def test_a_whole_address_of_nobody_lists_those_like_it(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client, recipients=[{"email": "ann@example.community"}])

    page = signed_in(house).get("/recipients?q=ann@example.com").text

    assert "ann@example.community" in page


def test_a_search_without_a_match_says_what_that_means(house: Sendonce) -> None:
    browser = signed_in(house)

    assert (
        "Nothing is known of ann@example.com" in browser.get("/recipients?q=ann@example.com").text
    )
    assert "Nobody in any audience has “&lt;b”" in browser.get("/recipients?q=%3Cb").text
    assert "Type an e-mail" in browser.get("/recipients").text
    assert browser.get("/recipients/ann@example.com").status_code == 200
    assert browser.get("/recipients/ann").status_code == 422


def test_at_most_fifty_are_listed(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": f"p{n}@example.com"} for n in range(60)])

    page = signed_in(house).get("/recipients?q=example").text

    assert "The first 50 people" in page
    assert page.count("data-open") == 50


def test_a_person_s_page_says_what_they_got_and_why_not_the_rest(
    house: Sendonce, client: FlaskClient
) -> None:
    first = materialised(house, client)
    with house.database.write(durable=False) as tx:
        control.cancel(tx, first, house.clock.now(), by="ann@sendonce.test")
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": "unsubscribed"})
    second = materialised(house, client)

    page = signed_in(house).get("/recipients/ann@example.com").text

    assert "2 deliveries = 2 skipped" in page
    assert "Not written to: unsubscribed" in page
    assert "The run was cancelled before its turn" in page
    assert page.index(f"/runs/{second}") < page.index(f"/runs/{first}")
    assert "Suppressed, is not mailed" in page
    assert "Mon 2 Mar 08:00 UTC" in page


def test_a_long_history_comes_in_pages(house: Sendonce, client: FlaskClient) -> None:
    for _ in range(51):
        materialised(house, client, recipients=["ann@example.com"])
    browser = signed_in(house)
    page = browser.get("/recipients/ann@example.com").text
    older = page.rpartition("/recipients/ann@example.com?cursor=")[2].partition('"')[0]

    assert "51 deliveries" in page
    assert 'href="/runs/1"' not in page
    assert 'href="/runs/1"' in browser.get(f"/recipients/ann@example.com?cursor={older}").text


def test_an_editor_may_suppress_and_a_viewer_only_looks(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client, recipients=[{"email": "ann@example.com"}])
    editor = signed_in(house, role=Role.EDITOR)

    asked = editor.get("/suppressions/new?email=ann@example.com&back=/recipients/ann@example.com")
    done = editor.post_form(
        "/suppressions/new",
        {
            "people": "ann@example.com",
            "reason": "manual",
            "back": "/recipients/ann@example.com",
        },
    )

    assert ">\nann@example.com</textarea>" in asked.text
    assert done.headers["Location"] == "/recipients/ann@example.com"
    assert "Let them get mail again" not in editor.get("/recipients/ann@example.com").text
    viewer = signed_in(house, role=Role.VIEWER).get("/recipients/ann@example.com").text
    assert "Suppressed, is not mailed" in viewer
    assert "Let them get mail again" not in viewer
    assert "Remove…" not in viewer


def test_what_was_decided_about_an_e_mail_stands_beside_it(
    house: Sendonce, client: FlaskClient
) -> None:
    run = materialised(house, client)
    put_in_doubt(house, run, "ann@example.com", "bob@example.com")
    browser = signed_in(house)
    before = browser.get("/recipients/ann@example.com").text
    client.post(
        f"/api/runs/{run}/in-doubt", json={"action": "mark-sent", "emails": ["ann@example.com"]}
    )

    page = browser.get("/recipients/ann@example.com").text

    assert f'href="/runs/{run}/in-doubt">Resolve' in before
    assert "<strong>Marked as sent</strong> by" in page
    assert "Marked as sent" not in browser.get("/recipients/bob@example.com").text


def test_an_e_mail_that_waits_says_what_it_waits_for(house: Sendonce, client: FlaskClient) -> None:
    run = materialised(house, client)
    client.post(f"/api/runs/{run}/pause")

    assert "Waits: the run is paused" in signed_in(house).get("/recipients/ann@example.com").text
