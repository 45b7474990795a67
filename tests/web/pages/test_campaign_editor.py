"""/campaigns/new and /campaigns/{id}: writing a campaign, saving it, and trying it out."""

from typing import Any

from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import signed_in
from tests.web.given import a_campaign, a_schedule, an_account, an_audience

Fields = dict[str, Any]


def written(**fields: Any) -> Fields:
    """Return the editor's form as a browser sends it."""
    return {
        "name": "Digest",
        "subject": "Hello",
        "html": "<p>Hello</p>\r\n",
        "text_from": "html",
        "text": "",
        "audience_ids": "1",
        "account_ids": "1",
        "from_name": "",
        "reply_to": "",
        "in_doubt": "hold",
        "view": "desktop",
        "as": "",
    } | fields


def test_what_a_newcomer_finds_in_the_form_can_be_saved_as_it_is(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    browser = signed_in(house)

    page = browser.get("/campaigns/new").text

    assert page.count("checked") >= 2
    assert "{{ name or &#34;there&#34; }}" in page
    assert "{{ unsubscribe_url }}" in page
    assert "No audience is chosen" not in page


def test_without_an_audience_the_form_leads_to_making_one(house: Sendonce) -> None:
    browser = signed_in(house)

    assert "There is no audience yet" in browser.get("/campaigns/new").text
    answer = browser.post_form("/campaigns/new", {**written(), "audience_ids": []})

    assert answer.status_code == 422
    assert "choose at least one: it says whom this goes to." in answer.text


def test_a_new_campaign_is_saved_once_and_stays_open(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    browser = signed_in(house)
    fields = written(idempotency_key=browser.key_in("/campaigns/new"))

    answers = [browser.post_form("/campaigns/new", fields) for _ in range(2)]

    assert {answer.headers["Location"] for answer in answers} == {"/campaigns/1"}
    [saved] = client.get("/api/campaigns").json["items"]
    assert saved["html"] == "<p>Hello</p>\n"
    assert saved["text"] is None


def test_mistakes_stand_at_their_fields_and_nothing_typed_is_lost(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)
    fields = written(name="", reply_to="nobody", text_from="own", text="<mine>")

    answer = signed_in(house).post_form("/campaigns/new", fields)

    assert answer.status_code == 422
    assert 'id="name-error"' in answer.text
    assert 'id="reply_to-error"' in answer.text
    assert "&lt;mine&gt;" in answer.text


def test_a_template_with_a_mistake_is_kept_in_the_form(
    house: Sendonce, client: FlaskClient
) -> None:
    an_audience(client)

    answer = signed_in(house).post_form("/campaigns/new", written(html="a\r\n{{ nmae }}"))

    assert answer.status_code == 422
    assert "{{ nmae }}</textarea>" in answer.text
    assert "line 2: there is no &#39;nmae&#39;" in answer.text


def test_sandbox_and_real_accounts_are_not_mixed(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    an_account(client)

    answer = signed_in(house).post_form("/campaigns/new", written(account_ids=["1", "2"]))

    assert answer.status_code == 422
    assert "mixes the Sandbox" in answer.text
    assert client.get("/api/campaigns").json["items"] == []


def test_an_edit_is_saved_and_says_when(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    browser = signed_in(house)

    answer = browser.post_form("/campaigns/1", written(version="1", in_doubt="resend"))

    assert answer.headers["Location"] == "/campaigns/1"
    assert "Saved <time" in browser.get("/campaigns/1").text
    saved = client.get("/api/campaigns/1").json
    assert (saved["name"], saved["in_doubt"], saved["version"]) == ("Digest", "resend", 2)


def test_a_script_gets_the_saved_form_at_once(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    browser = signed_in(house)
    fields = written(version="1") | {"csrf_token": browser.token()}

    answer = browser.post_raw("/campaigns/1", fields, **{"X-Fragment": "1"})

    assert answer.status_code == 200
    assert 'name="version" value="2"' in answer.text


def test_a_save_over_somebody_elses_is_refused_and_keeps_what_was_typed(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    client.patch("/api/campaigns/1", json={"subject": "Theirs"})
    browser = signed_in(house)

    answer = browser.post_form("/campaigns/1", written(version="1", html="<p>mine</p>"))

    assert answer.status_code == 412
    assert "Somebody saved this campaign while you were writing" in answer.text
    assert "It is different in: Name, Subject, HTML." in answer.text
    assert "&lt;p&gt;mine&lt;/p&gt;" in answer.text
    assert 'name="version" value="1"' in answer.text
    assert client.get("/api/campaigns/1").json["subject"] == "Theirs"

    answer = browser.post_form("/campaigns/1", written(version="1", over="2", subject="Mine"))
    assert answer.status_code == 303
    assert client.get("/api/campaigns/1").json["subject"] == "Mine"


def test_a_save_that_arrived_and_is_sent_again_is_no_conflict(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    browser = signed_in(house)

    answers = [browser.post_form("/campaigns/1", written(version="1")) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert client.get("/api/campaigns/1").json["version"] == 2


def test_a_campaign_in_use_says_what_an_edit_leaves_alone(
    house: Sendonce, client: FlaskClient
) -> None:
    schedule = a_schedule(client)
    client.post(f"/api/schedules/{schedule['id']}/run-now")

    page = signed_in(house).get("/campaigns/1").text

    assert "1 schedule</a> to send it, sent 1 time." in page
    assert "An edit does not change runs already claimed." in page


def test_only_what_no_schedule_sends_is_saved_by_itself(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    browser = signed_in(house)

    before = browser.get("/campaigns/1").text
    schedule = a_schedule(client, campaign_id=1)
    while_sent = browser.get("/campaigns/1").text
    client.delete(f"/api/schedules/{schedule['id']}")

    assert "data-autosave" in before
    assert "data-autosave" not in while_sent
    assert "data-autosave" in browser.get("/campaigns/1").text


def test_what_is_chosen_keeps_its_order(house: Sendonce, client: FlaskClient) -> None:
    first = an_audience(client, name="First")["id"]
    second = an_audience(client, name="Second")["id"]
    a_campaign(client, audience_ids=[second, first])

    page = signed_in(house).get("/campaigns/1").text

    assert page.index("Second (") < page.index("First (") < page.index("R (")


def test_a_viewer_reads_all_of_it_and_saves_nothing(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client, html="<p>all of it</p>")
    browser = signed_in(house, role=Role.VIEWER)

    page = browser.get("/campaigns/1").text

    assert "&lt;p&gt;all of it&lt;/p&gt;</pre>" in page
    assert "<textarea" not in page
    assert "Save campaign" not in page
    assert "Schedule Campaign" not in page
    assert browser.get("/campaigns/new").status_code == 403
    assert browser.post_form("/campaigns/1", written(version="1")).status_code == 403
    assert browser.get("/campaigns/1/test").status_code == 403


def test_a_campaign_that_is_not_there_is_not_found(house: Sendonce) -> None:
    browser = signed_in(house)

    assert browser.get("/campaigns/7").status_code == 404
    assert browser.post_form("/campaigns/7", written()).status_code in (404, 422)


def test_a_test_mail_is_answered_for_each_address(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    house.sandbox.start()
    browser = signed_in(house)
    fields = {
        "to": "me@example.org, you@example.org",
        "idempotency_key": browser.key_in("/campaigns/1/test"),
    }

    answers = [browser.post_form("/campaigns/1/test", fields) for _ in range(2)]

    assert answers[0].text.count("250 2.0.0") == 2
    assert answers[1].text == answers[0].text
    assert len(client.get("/api/outbox").json["items"]) == 2


def test_an_address_that_is_none_stays_in_the_form(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    browser = signed_in(house)

    answer = browser.post_form("/campaigns/1/test", {"to": "nope"})
    assert answer.status_code == 422
    assert 'value="nope"' in answer.text

    too_many = " ".join(f"a{n}@example.org" for n in range(6))
    answer = browser.post_form("/campaigns/1/test", {"to": too_many})
    assert answer.status_code == 422
    assert "at most 5" in answer.text
