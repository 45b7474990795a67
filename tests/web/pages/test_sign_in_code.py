"""The second step of signing in: a code of the app, or a recovery code, within five minutes of the password."""

import pytest

from assembly import Sendonce
from identity import audit, recovery_codes, tries, users
from identity.model import Role
from tests.web.browser_client import PASSWORD, BrowserClient, a_stranger
from tests.web.second_factors import app_for, code_of

ANN = "ann@example.com"
RIGHT = {"email": ANN, "password": PASSWORD}


@pytest.fixture
def secret(house: Sendonce) -> str:
    """Make a user with a second factor; return what her app knows."""
    with house.database.write(durable=False) as tx:
        ann = users.create(tx, ANN, PASSWORD, Role.ADMIN, house.clock.now())
    return app_for(house, ann.id)


def half_way(house: Sendonce, where: str = "/runs") -> BrowserClient:
    """Return a browser in which the right password was entered."""
    browser = a_stranger(house)
    answer = browser.post_form("/login", RIGHT | {"next": where})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login/code")
    return browser


def enter(browser: BrowserClient, code: str):
    return browser.post_form("/login/code", {"code": code})


def a_wrong_code(house: Sendonce, secret: str) -> str:
    return f"{(int(code_of(house, secret)) + 500_000) % 1_000_000:06}"


def is_in(browser: BrowserClient) -> bool:
    return browser.get("/runs").status_code == 200


def test_password_and_code_lead_to_where_one_wanted(house: Sendonce, secret: str) -> None:
    browser = half_way(house, "/runs?status=failed")

    answer = enter(browser, code_of(house, secret))

    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs?status=failed")
    assert is_in(browser)
    with house.database.read() as tx:
        newest = audit.entries(tx, limit=1)[0].deed
    assert (newest.action, newest.actor, newest.by) == ("sign in", "user:1", ANN)


def test_after_the_password_alone_nobody_is_signed_in(house: Sendonce, secret: str) -> None:
    browser = half_way(house)

    assert browser.get("/login/code").status_code == 200
    assert not is_in(browser)
    assert browser.client.get("/api/runs").status_code == 401
    with house.database.read() as tx:
        assert tx.exec_driver_sql("SELECT id FROM sessions").all() == []


def test_the_password_ends_the_session_that_the_browser_had(house: Sendonce, secret: str) -> None:
    browser = half_way(house)
    enter(browser, code_of(house, secret))

    browser.post_form("/login", RIGHT)

    assert not is_in(browser)


def test_a_wrong_code_lets_nobody_in_and_is_not_sent_back(house: Sendonce, secret: str) -> None:
    browser = half_way(house)
    wrong = a_wrong_code(house, secret)

    for code in (wrong, "", "not a code", "٣٤٥٦٧٨"):
        answer = enter(browser, code)
        assert answer.status_code == 401
        assert 'id="code-error"' in answer.text

    assert wrong not in enter(browser, wrong).text
    assert not is_in(browser)


def test_a_code_lets_one_browser_in(house: Sendonce, secret: str) -> None:
    code = code_of(house, secret)
    first, second = half_way(house), half_way(house)

    assert enter(first, code).status_code == 303
    assert enter(second, code).status_code == 401


def test_a_recovery_code_lets_in_once_and_says_how_many_are_left(
    house: Sendonce, secret: str
) -> None:
    with house.database.write(durable=False) as tx:
        code = recovery_codes.renew(tx, 1)[0]
    first, second = half_way(house), half_way(house)

    assert enter(first, code.upper()).status_code == 303
    assert enter(second, code).status_code == 401
    assert "You have 9 recovery codes left." in first.get("/runs").text


def test_the_code_has_to_come_within_five_minutes(house: Sendonce, secret: str) -> None:
    browser, other = half_way(house), half_way(house)
    house.clock.inner.advance(minutes=4, seconds=59)
    assert browser.get("/login/code").status_code == 200

    house.clock.inner.advance(seconds=1)

    assert browser.get("/login/code").headers["Location"] == "/login"
    answer = enter(other, code_of(house, secret))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert not is_in(other)
    assert "within five minutes" in other.get("/login").text


def test_a_code_without_the_password_lets_nobody_in(house: Sendonce, secret: str) -> None:
    browser = a_stranger(house)

    assert browser.get("/login/code").headers["Location"] == "/login"
    assert enter(browser, code_of(house, secret)).headers["Location"] == "/login"
    assert not is_in(browser)


@pytest.mark.parametrize("changes", [{"password": "another long one"}, {"disabled": True}])
def test_a_user_who_has_changed_meanwhile_begins_again(
    house: Sendonce, secret: str, changes: dict[str, object]
) -> None:
    browser = half_way(house)
    with house.database.write(durable=False) as tx:
        users.create(tx, "bob@example.com", PASSWORD, Role.ADMIN, house.clock.now())
        users.change(tx, 1, changes, expected_version=None)

    answer = enter(browser, code_of(house, secret))

    assert answer.headers["Location"] == "/login"
    assert not is_in(browser)


def test_codes_are_throttled_in_every_process(house: Sendonce, secret: str) -> None:
    one, other = half_way(house), half_way(house)
    wrong = a_wrong_code(house, secret)
    for browser in (one, other, one, other, one):
        assert enter(browser, wrong).status_code == 401

    answer = enter(half_way(house), code_of(house, secret))

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert "30 s</span>, then try again" in answer.text
    house.clock.inner.advance(seconds=30)
    assert enter(other, code_of(house, secret)).status_code == 303


def test_who_knows_the_password_alone_soon_has_an_hour_to_wait(
    house: Sendonce, secret: str
) -> None:
    for _ in range(tries.MOST_CODES_A_DAY):
        enter(half_way(house), "000000")
        house.clock.inner.advance(minutes=5)

    answer = enter(half_way(house), code_of(house, secret))

    assert answer.status_code == 429
    assert "55 min</span>, then try again" in answer.text


def test_a_browser_that_was_in_before_does_not_wait_for_others(
    house: Sendonce, secret: str
) -> None:
    own = half_way(house)
    enter(own, code_of(house, secret))
    own.post_form("/logout")
    thief = half_way(house)
    for _ in range(6):
        enter(thief, "000000")
    house.clock.inner.advance(seconds=29)

    own.post_form("/login", RIGHT)
    house.clock.inner.advance(seconds=1)

    assert enter(own, code_of(house, secret)).status_code == 303


def test_a_browser_is_known_only_after_the_code(house: Sendonce, secret: str) -> None:
    browser = half_way(house)

    assert [c.key for c in browser.client._cookies.values() if c.key.endswith("_known")] == []


def test_browsers_of_before_there_was_a_second_factor_have_no_tries_of_their_own(
    house: Sendonce,
) -> None:
    with house.database.write(durable=False) as tx:
        ann = users.create(tx, ANN, PASSWORD, Role.ADMIN, house.clock.now())
    old = [a_stranger(house) for _ in range(2)]
    for browser in old:
        browser.post_form("/login", RIGHT)
    secret = app_for(house, ann.id)
    for browser in old:
        browser.post_form("/login", RIGHT)
    for _ in range(tries.MOST):
        assert enter(old[0], a_wrong_code(house, secret)).status_code == 401

    assert enter(old[1], code_of(house, secret)).status_code == 429


def test_the_code_s_form_is_protected_too(house: Sendonce, secret: str) -> None:
    browser = half_way(house)

    answer = browser.post_raw("/login/code", {"code": code_of(house, secret)})

    assert answer.status_code == 400
    assert not is_in(browser)


def test_a_cookie_of_half_the_way_can_not_be_made(house: Sendonce, secret: str) -> None:
    browser = half_way(house)
    [kept] = browser.client._cookies.values()
    payload, _, signature = kept.value.partition(".")
    forged = a_stranger(house)

    forged.client.set_cookie(kept.key, f"{payload}x.{signature}")

    assert forged.get("/login/code").headers["Location"] == "/login"
