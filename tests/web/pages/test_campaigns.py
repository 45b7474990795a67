"""/campaigns: the list, copying and deleting."""

from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import signed_in
from tests.web.given import a_campaign, a_schedule
from web.pages.campaigns import PAGE


def test_without_a_campaign_the_first_one_is_offered(house: Sendonce) -> None:
    page = signed_in(house).get("/campaigns").text

    assert "Write your first campaign" in page
    assert 'href="/campaigns/new"' in page


def test_a_viewer_is_offered_nothing_that_changes(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)

    page = signed_in(house, role=Role.VIEWER).get("/campaigns").text

    assert "News" in page
    assert "/campaigns/new" not in page
    assert "Delete" not in page
    assert "Duplicate" not in page


def test_a_campaign_is_shown_with_whom_it_goes_to(house: Sendonce, client: FlaskClient) -> None:
    campaign = a_campaign(client, name="<b>Digest</b>")
    a_schedule(client, campaign_id=campaign["id"])

    page = signed_in(house).get("/campaigns").text

    assert "&lt;b&gt;Digest&lt;/b&gt;" in page
    assert "R (2)" in page
    assert "Sandbox" in page
    assert "1 schedule" in page


def test_the_search_looks_at_name_and_subject(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client, name="Weekly Digest", subject="One")
    a_campaign(client, name="Other", subject="The digest of Ärzte")
    a_campaign(client, name="Third", subject="Three")

    browser = signed_in(house)

    assert _names(browser.get("/campaigns?q=digest").text) == {"Weekly Digest", "Other"}
    assert _names(browser.get("/campaigns?q=Ärzte").text) == {"Other"}
    assert _names(browser.get("/campaigns?q=%25").text) == set()
    assert "Clear the search" in browser.get("/campaigns?q=%25").text


def test_a_long_list_goes_on_where_the_page_ended(house: Sendonce, client: FlaskClient) -> None:
    first = a_campaign(client, name="Oldest")
    for _ in range(PAGE):
        client.post(f"/api/campaigns/{first['id']}/duplicate")
    browser = signed_in(house)

    page = browser.get("/campaigns").text
    start = page.index('href="/campaigns?cursor=') + len('href="')
    older = browser.get(page[start : page.index('"', start)]).text

    assert 'id="c1"' not in page
    assert 'id="c1"' in older
    assert "Back to the start" in older


def test_a_copy_is_opened_and_made_once(house: Sendonce, client: FlaskClient) -> None:
    campaign = a_campaign(client)
    browser = signed_in(house)
    fields = {"idempotency_key": browser.key_in("/campaigns")}

    answers = [
        browser.post_form(f"/campaigns/{campaign['id']}/duplicate", fields) for _ in range(2)
    ]

    assert {answer.headers["Location"] for answer in answers} == {"/campaigns/2"}
    assert len(client.get("/api/campaigns").json["items"]) == 2


def test_deleting_says_first_what_stays(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    browser = signed_in(house)

    assert "stays in Runs" in browser.get("/campaigns/1/delete").text
    answer = browser.post_form("/campaigns/1/delete", {"version": "1"})

    assert answer.headers["Location"] == "/campaigns"
    assert "News is deleted." in browser.get("/campaigns").text
    assert client.get("/api/campaigns/1").status_code == 404


def test_a_campaign_that_is_still_to_be_sent_stays_and_says_why(
    house: Sendonce, client: FlaskClient
) -> None:
    a_schedule(client)
    browser = signed_in(house)

    for answer in (
        browser.get("/campaigns/1/delete"),
        browser.post_form("/campaigns/1/delete", {"version": "1"}),
    ):
        assert "Schedule 1 is still to send it." in answer.text
        assert 'href="/automation/1"' in answer.text
    assert answer.status_code == 409
    assert client.get("/api/campaigns/1").status_code == 200


def test_a_campaign_that_somebody_has_changed_is_not_deleted_unseen(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    client.patch("/api/campaigns/1", json={"name": "Changed"})

    answer = signed_in(house).post_form("/campaigns/1/delete", {"version": "1"})

    assert answer.status_code == 412
    assert "changed meanwhile" in answer.text
    assert 'name="version" value="2"' in answer.text


def test_a_viewer_may_not_delete_or_copy(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    browser = signed_in(house, role=Role.VIEWER)

    assert browser.get("/campaigns/1/delete").status_code == 403
    assert browser.post_form("/campaigns/1/delete", {"version": "1"}).status_code == 403
    assert browser.post_form("/campaigns/1/duplicate").status_code == 403


def _names(page: str) -> set[str]:
    return {name for name in ("Weekly Digest", "Other", "Third") if f">{name}</a>" in page}
