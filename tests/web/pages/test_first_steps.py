"""The first steps tick themselves off by what there is, and the demo of the first one is sent for real."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce, sample
from identity.model import Role
from tests.house import tick_of
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, an_account, an_audience
from web.pages.first_steps import READERS


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def done(anna: BrowserClient) -> list[str]:
    """Return the titles of the steps that are done, as the page has them."""
    return re.findall(r"<strong>([^<]+)</strong><span[^>]*> \(done\)", anna.get("/automation").text)


def test_a_new_installation_offers_every_step_and_the_demo_first(anna: BrowserClient) -> None:
    page = anna.get("/automation").text

    assert "First steps" in page
    assert "0 of 5 done" in page
    assert re.search(r'class="button small primary" href="/first-steps/demo"', page)
    assert 'href="/accounts/new"' in page
    assert 'href="/audiences/new"' in page


def test_each_step_is_done_by_what_there_is(client: FlaskClient, anna: BrowserClient) -> None:
    an_account(client)
    accounts = done(anna)
    an_audience(client, name="Empty")
    empty = done(anna)
    campaign = a_campaign(client)["id"]
    written = done(anna)
    a_schedule(client, campaign_id=campaign)
    scheduled = done(anna)

    assert accounts == empty == ["Connect your mail account"]
    assert written == ["Connect your mail account", "Import people", "Write a campaign"]
    assert scheduled == [*written, "Schedule it"]


def test_the_demo_makes_what_it_says_through_the_sandbox(
    client: FlaskClient, anna: BrowserClient
) -> None:
    asks = anna.get("/first-steps/demo").text
    answer = anna.post_form("/first-steps/demo")

    assert f"{READERS} people, all invented" in asks
    assert (answer.status_code, answer.headers["Location"]) == (303, "/automation#s1")
    [campaign] = client.get("/api/campaigns").json["items"]
    assert (campaign["name"], campaign["account_ids"]) == (sample.CAMPAIGN, [1])
    [audience] = client.get("/api/audiences").json["items"]
    assert audience["recipients"] == READERS
    [schedule] = client.get("/api/schedules").json["items"]
    assert (schedule["campaign_id"], schedule["schedule_type"]) == (campaign["id"], "once")


def test_the_demo_sent_twice_by_one_form_is_made_once(
    client: FlaskClient, anna: BrowserClient
) -> None:
    form = {"idempotency_key": anna.key_in("/first-steps/demo"), "csrf_token": anna.token()}

    for _ in range(2):
        anna.post_raw("/first-steps/demo", form)

    assert len(client.get("/api/schedules").json["items"]) == 1


def test_what_the_demo_made_does_not_count_as_ones_own(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    anna.post_form("/first-steps/demo")
    on_its_way = anna.get("/automation").text
    house.clock.inner.advance(
        seconds=(house.settings.execution_buffer + timedelta(seconds=3)).total_seconds()
    )
    tick_of(house)

    assert "It is on its way" in on_its_way
    assert 'href="/first-steps/demo"' not in on_its_way
    assert len(client.get("/api/runs").json["items"]) == 1
    assert done(anna) == []


def test_the_demo_is_in_the_audit_log(house: Sendonce, anna: BrowserClient) -> None:
    anna.post_form("/first-steps/demo")

    with house.database.read() as tx:
        noted = [row.object for row in tx.exec_driver_sql("SELECT object FROM audit_entries")]
    assert {"audience:1", "campaign:1", "schedule:1"} <= set(noted)


def test_the_list_can_be_hidden_and_found_again_in_the_settings(anna: BrowserClient) -> None:
    anna.post_form("/first-steps/hide")
    hidden = anna.get("/automation").text
    settings = anna.get("/settings/general").text
    anna.post_form("/first-steps/show")

    assert "First steps" not in hidden
    assert "Show them on the home page" in settings
    assert "First steps" in anna.get("/automation").text


def test_it_is_for_those_who_can_take_the_steps(house: Sendonce) -> None:
    signed_in(house)
    viewer = signed_in(house, role=Role.VIEWER)
    editor = signed_in(house, role=Role.EDITOR)

    assert "First steps" not in viewer.get("/automation").text
    assert "First steps" not in viewer.get("/settings/general").text
    assert viewer.get("/first-steps/demo").status_code == 403
    assert viewer.post_form("/first-steps/demo").status_code == 403
    assert 'href="/accounts/new"' not in editor.get("/automation").text
