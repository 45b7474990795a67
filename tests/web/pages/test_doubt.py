"""What waits for a person: a directory that may be an older copy of itself, a clock that jumped, held slots."""

from datetime import timedelta

import pytest

from assembly import Sendonce
from identity import tokens
from identity.model import Role
from storage import installation
from tests.house import app_of, bearer, tick_of
from tests.web.browser_client import BrowserClient, signed_in


@pytest.fixture
def browser(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def doubted(house: Sendonce) -> None:
    with house.database.write(durable=True) as tx:
        installation.mark_backup(tx, house.clock.now())
    tick_of(house)


def jumped(house: Sendonce, **by: float) -> None:
    tick_of(house)
    house.clock.inner.set_wall_clock(house.clock.now() + timedelta(**by))
    tick_of(house)


def test_a_restored_directory_says_so_on_every_page_and_why_and_goes_on_by_a_button(
    house: Sendonce, browser: BrowserClient
) -> None:
    doubted(house)

    assert "restored from a backup" in browser.get("/campaigns").text
    assert "<strong data-word>Waiting</strong>" in browser.get("/campaigns").text
    page = browser.get("/doubt").text
    assert "This is the one, go on" in page
    assert "Who unsubscribed since is not known here" in page

    assert browser.post_form("/doubt").status_code == 303

    assert "restored from a backup" not in browser.get("/automation").text
    assert "is not in doubt" in browser.get("/doubt").text
    assert browser.post_form("/doubt").status_code == 409


def test_a_clock_that_jumped_says_so_on_every_page_and_is_accepted_by_a_button(
    house: Sendonce, browser: BrowserClient
) -> None:
    jumped(house, hours=3)

    assert "The clock jumped forward by 3 h" in browser.get("/campaigns").text
    assert "The time is right, go on" in browser.get("/clock").text
    assert "has jumped forward by 3 h" in browser.get("/status").text

    assert browser.post_form("/clock").status_code == 303
    tick_of(house)

    assert "The clock jumped" not in browser.get("/automation").text
    assert "The clock is believed" in browser.get("/clock").text
    assert browser.post_form("/clock").status_code == 409


def test_who_may_only_look_has_no_button(house: Sendonce) -> None:
    doubted(house)
    viewer = signed_in(house, role=Role.VIEWER)

    assert "go on</button>" not in viewer.get("/doubt").text
    assert viewer.post_form("/doubt").status_code == 403


def test_the_status_page_has_a_check_for_each(house: Sendonce, browser: BrowserClient) -> None:
    assert "Nothing says that this is an older copy" in browser.get("/status").text

    doubted(house)

    assert "Runs and slots are held" in browser.get("/status").text


def test_who_signs_in_while_the_clock_is_doubted_is_still_in_when_it_is_accepted(
    house: Sendonce,
) -> None:
    jumped(house, days=40)
    browser = signed_in(house)

    assert browser.post_form("/clock").status_code == 303
    tick_of(house)

    assert browser.get("/automation").status_code == 200


def test_a_token_that_has_expired_does_not_open_again_while_the_clock_is_doubted(
    house: Sendonce,
) -> None:
    now = house.clock.now()
    with house.database.write(durable=True) as tx:
        _, secret = tokens.create(
            tx, "short", Role.ADMIN, now=now, expires_at=now + timedelta(days=1)
        )

    jumped(house, days=2)

    answer = app_of(house).test_client().get("/api/status", headers=bearer(secret))
    assert answer.status_code == 401


def test_a_store_that_can_not_be_used_is_said_on_every_page(
    house: Sendonce, browser: BrowserClient
) -> None:
    tick_of(house)
    house.scheduler.agenda.trouble = "The database can't be written just now (disk full)."

    page = browser.get("/campaigns").text

    assert "Nothing is sent until this is over" in page
    assert "(disk full)" in page
