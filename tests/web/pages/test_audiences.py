"""/audiences and /audiences/{id}: lists of people, in the browser."""

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, an_audience

ANN = {"email": "ann@example.com", "name": "Ann", "attributes": {"city": "Köln"}}


def people(client: FlaskClient, audience_id: int = 1) -> dict[str, str]:
    found = client.get(f"/api/audiences/{audience_id}/recipients?limit=500").json["items"]
    return {recipient["email"]: recipient["name"] for recipient in found}


def test_the_list_says_how_many_people_and_which_campaigns(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client, name="Weekly digest")
    an_audience(client, name="<Board>")

    page = signed_in(house).get("/audiences").text

    assert "Weekly digest" in page
    assert "no campaign" in page
    assert "&lt;Board&gt;" in page


def test_without_audiences_the_list_says_what_belongs_there(house: Sendonce) -> None:
    assert "Add people" in signed_in(house).get("/audiences").text
    viewer = signed_in(house, role=Role.VIEWER).get("/audiences").text
    assert "No audience yet" in viewer
    assert "Add people" not in viewer


def test_an_audience_is_made_with_people_in_one_go(house: Sendonce, client: FlaskClient) -> None:
    browser = signed_in(house)

    made = browser.post_form(
        "/audiences/new", {"name": " News ", "people": '"Doe, Ann" <ann@example.com>\nbob@x.org'}
    )

    assert (made.status_code, made.headers["Location"]) == (303, "/audiences/1")
    assert client.get("/api/audiences/1").json["name"] == "News"
    assert people(client) == {"ann@example.com": "Doe, Ann", "bob@x.org": ""}
    assert "2 people added" in browser.get("/audiences/1").text


def test_an_audience_with_somebody_who_can_t_be_taken_is_not_made(
    house: Sendonce, client: FlaskClient
) -> None:
    fields = {"name": "News", "people": "ann@example.com\n<b"}

    refused = signed_in(house).post_form("/audiences/new", fields)

    assert refused.status_code == 422
    assert "&lt;b: " in refused.text
    assert "ann@example.com" in refused.text
    assert client.get("/api/audiences").json["items"] == []


def test_a_name_is_needed(house: Sendonce) -> None:
    refused = signed_in(house).post_form("/audiences/new", {"name": "  "})

    assert refused.status_code == 422
    assert "must not be empty" in refused.text


def test_the_people_are_shown_with_their_attributes(house: Sendonce, client: FlaskClient) -> None:
    many = {f"a{n}": n for n in range(5)} | {"tags": ["x"]}
    an_audience(client, recipients=[ANN, {"email": "bob@example.com", "attributes": many}])
    client.post("/api/suppressions", json={"email": "bob@example.com"})

    page = signed_in(house).get("/audiences/1").text

    assert "Köln" in page
    assert "[&#34;x&#34;]" in page
    assert "1 of them suppressed" in page
    assert 'href="/recipients/ann@example.com"' in page


def test_the_people_come_in_pages_and_are_found_by_name(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client, recipients=[{"email": f"p{n}@example.com"} for n in range(51)] + [ANN])
    browser = signed_in(house)

    first = browser.get("/audiences/1").text
    found = browser.get("/audiences/1?q=ANN").text
    nobody = browser.get("/audiences/1?q=zz").text

    assert "p49@" in first
    assert "p50@" not in first
    second = first.rpartition('href="/audiences/1?cursor=')[2].partition('"')[0]
    assert "p50@" in browser.get(f"/audiences/1?cursor={second}").text
    assert "ann@example.com" in found
    assert "p1@" not in found
    assert "Show everybody" in nobody


def test_a_viewer_looks_and_is_offered_nothing_else(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[ANN])
    viewer = signed_in(house, role=Role.VIEWER)

    page = viewer.get("/audiences/1").text

    assert "ann@example.com" in page
    for path in ("add", "import", "rename", "delete"):
        assert f"/audiences/1/{path}" not in page
        assert viewer.get(f"/audiences/1/{path}").status_code == 403
    assert viewer.post_form("/audiences/1/delete").status_code == 403
    assert viewer.get("/api/audiences/1/recipients.csv").status_code == 200


def test_an_audience_is_renamed(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)

    renamed = browser.post_form("/audiences/1/rename", {"name": "Readers", "version": "1"})
    stale = browser.post_form("/audiences/1/rename", {"name": "Late", "version": "1"})

    assert renamed.status_code == 303
    assert stale.status_code == 412
    assert 'value="Late"' in stale.text
    assert client.get("/api/audiences/1").json["name"] == "Readers"


def test_deleting_says_what_goes_and_then_does_it(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[ANN])
    browser = signed_in(house)

    asked = browser.get("/audiences/1/delete").text
    deleted = browser.post_form("/audiences/1/delete", {"version": "1"})

    assert "1 person" in asked
    assert (deleted.status_code, deleted.headers["Location"]) == (303, "/audiences")
    assert client.get("/api/audiences/1").status_code == 404


def test_an_audience_that_a_campaign_uses_stays(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client, name="Weekly digest")
    browser = signed_in(house)

    asked = browser.get("/audiences/1/delete").text
    refused = browser.post_form("/audiences/1/delete", {"version": "1"})

    assert "Weekly digest" in asked
    assert "Delete it" not in asked
    assert refused.status_code == 409
    assert "Nothing was deleted" in refused.text
    assert client.get("/api/audiences/1").status_code == 200


def test_one_person_is_taken_out(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[ANN, {"email": "bob@example.com"}])
    browser = signed_in(house)
    back = "/audiences/1?q=ann"

    asked = browser.get("/audiences/1/remove?email=ann@example.com&back=/audiences/1?q=ann").text
    removed = browser.post_form("/audiences/1/remove", {"email": "ANN@example.com", "back": back})
    again = browser.post_form("/audiences/1/remove", {"email": "ann@example.com", "back": back})

    assert "Remove 1 person" in asked
    assert removed.headers["Location"] == back
    assert again.status_code == 404
    assert people(client) == {"bob@example.com": ""}


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/settings", ""])
def test_the_way_back_leads_nowhere_else(house: Sendonce, client: FlaskClient, back: str) -> None:
    an_audience(client, recipients=[ANN])

    removed = signed_in(house).post_form(
        "/audiences/1/remove", {"email": "ann@example.com", "back": back}
    )

    assert removed.headers["Location"] == "/audiences/1"


def pasted(browser: BrowserClient, text: str, **fields: str) -> tuple[int, str]:
    answer = browser.post_form("/audiences/1/add", {"people": text} | fields)
    return answer.status_code, answer.text


def test_pasted_people_are_added_and_brought_up_to_date(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client, recipients=[ANN])
    browser = signed_in(house)

    status, _ = pasted(browser, "Ann Doe <ann@example.com>; bob@example.com\tBob")
    assert status == 422

    status, _ = pasted(browser, "Ann Doe <ann@example.com>; cy@example.com\nbob@example.com\tBob")
    assert status == 303
    assert people(client) == {
        "ann@example.com": "Ann Doe",
        "cy@example.com": "",
        "bob@example.com": "Bob",
    }
    assert "2 people added, 1 brought up to date" in browser.get("/audiences/1").text


def test_what_was_not_taken_stays_in_the_box_with_its_reason(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    text = "ann@example.com\nbob.example.com\ncy@example\n<script"

    status, page = pasted(signed_in(house), text)

    assert status == 200
    assert "1 person added. 3 lines were not taken" in page
    assert ">\nbob.example.com\ncy@example\n&lt;script</textarea>" in page
    assert "Line 1" in page
    assert list(people(client)) == ["ann@example.com"]


def test_nothing_and_too_much_are_refused_in_words(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)

    nothing = pasted(browser, " \n")
    many = pasted(browser, "\n".join(f"p{n}@example.com" for n in range(10_001)))
    huge = pasted(browser, "x" * 17 * 1024 * 1024)

    assert (nothing[0], many[0], huge[0]) == (422, 422, 413)
    assert "at least one address" in nothing[1]
    assert "10,001" in many[1]
    assert "larger than 16 MB" in huge[1]
    assert people(client) == {}


def test_a_paste_that_is_sent_twice_acts_once(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)
    key = browser.key_in("/audiences/1/add")

    first = pasted(browser, "ann@example.com\nnobody", idempotency_key=key)
    client.delete("/api/audiences/1/recipients/ann@example.com")
    again = pasted(browser, "ann@example.com\nnobody", idempotency_key=key)

    assert again == first
    assert people(client) == {}
