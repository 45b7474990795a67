"""What stands around every page: banners in their order, how much is sent, the heartbeat."""

import re

import pytest
from flask.testing import FlaskClient

from accounts import store as accounts
from assembly import Sendonce
from delivery import ledger
from tests.house import tick_of
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, an_account, materialised, put_in_doubt


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def kinds(page: str) -> list[str]:
    return re.findall(r'class="banner" data-kind="(\w+)"', page)


def test_that_nothing_leaves_the_machine_is_said_once_there_is_something_to_send(
    client: FlaskClient, anna: BrowserClient
) -> None:
    nothing = anna.get("/runs").text
    a_campaign(client)
    sandbox_alone = anna.get("/runs").text
    an_account(client)

    assert "The Sandbox is the only account" not in nothing
    assert "The Sandbox is the only account" in sandbox_alone
    assert "The Sandbox is the only account" not in anna.get("/runs").text


def test_two_banners_are_shown_and_the_others_are_behind_their_number(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client, recipients=["ann@example.com"])
    put_in_doubt(house, run, "ann@example.com")
    account = an_account(client)["id"]
    with house.database.write(durable=False) as tx:
        accounts.pause(tx, account, "535 no")

    page = anna.get("/runs").text

    assert kinds(page) == ["bad", "doubt", "warn"]
    assert "<summary>1 more</summary>" in page


def test_what_was_mended_in_the_schedule_file_is_told_for_a_day(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    client.post(
        "/api/schedules",
        json={
            "campaign_id": a_campaign(client)["id"],
            "schedule_time": "2026-03-03T09:00:00",
            "schedule_type": "daily",
        },
    )
    tick_of(house)
    (house.settings.data_dir / "scheduled_campaigns.json").write_bytes(b"[]")
    tick_of(house)
    today = anna.get("/campaigns").text
    house.clock.inner.advance(hours=25)

    assert "was taken out of scheduled_campaigns.json" in today
    assert 'href="/status#found"' in today
    assert "was taken out of scheduled_campaigns.json" not in anna.get("/campaigns").text


def test_the_title_begins_with_how_much_is_settled_while_something_is_sent(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client, recipients=["ann@example.com", "bob@example.com"])
    before = anna.get("/campaigns").text
    with house.database.write(durable=False) as tx:
        ledger.start(tx, run, house.clock.now())

    assert "<title>Campaigns · Sendonce</title>" in before
    assert "<title>0 % · Campaigns · Sendonce</title>" in anna.get("/campaigns").text
