"""Settings, Security: the second factor, switched on and off, and the browsers that one is signed in with."""

import re

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import audit, users
from identity.model import Role
from ops import first_start
from tests.web.browser_client import PASSWORD, BrowserClient, a_stranger, signed_in
from tests.web.second_factors import (
    SECURITY,
    app_for,
    code_of,
    sealed_in,
    shown,
    switched_on,
)

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture
def ann(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def user_of(house: Sendonce, user_id: int = 1):
    with house.database.read() as tx:
        return users.get(tx, user_id)


def signs_in_elsewhere(house: Sendonce, **headers: str) -> BrowserClient:
    browser = a_stranger(house)
    form = {"email": "admin@example.com", "password": PASSWORD, "csrf_token": browser.token()}
    assert browser.post_raw("/login", form, **headers).status_code == 303
    return browser


def deeds(house: Sendonce) -> list[str]:
    with house.database.read() as tx:
        return [entry.deed.action for entry in audit.entries(tx, limit=50)]


def test_it_is_switched_on_with_a_code_and_shows_ten_recovery_codes_once(
    house: Sendonce, ann: BrowserClient
) -> None:
    secret, codes = switched_on(house, ann)

    assert len(codes) == 10
    page = ann.get(SECURITY).text
    assert "10 recovery codes left" in page
    assert not any(code in page for code in codes)
    assert user_of(house).second_factor
    kept = house.database.path.read_bytes()
    assert secret.encode() not in kept
    assert "switch on the second factor" in deeds(house)


def test_the_page_shows_the_secret_as_a_picture_without_style_and_as_text(
    house: Sendonce, ann: BrowserClient
) -> None:
    page = ann.get(f"{SECURITY}/second-factor").text

    [picture] = re.findall(r"<svg role=.*?</svg>", page)
    assert "style" not in picture
    assert "<path d=" in picture
    assert re.fullmatch(r"([A-Z2-7]{4} ){7}[A-Z2-7]{4}", shown(page))
    assert "unsafe" not in ann.get(SECURITY).headers["Content-Security-Policy"]


def test_without_the_password_or_with_a_wrong_code_it_stays_off_and_the_secret_the_same(
    house: Sendonce, ann: BrowserClient
) -> None:
    page = ann.get(f"{SECURITY}/second-factor").text
    secret, sealed = shown(page).replace(" ", ""), sealed_in(page)
    right = {"current": PASSWORD, "code": code_of(house, secret), "sealed": sealed}

    no_password = ann.post_form(f"{SECURITY}/second-factor", right | {"current": "a guess"})
    no_code = ann.post_form(f"{SECURITY}/second-factor", right | {"code": "12345"})

    assert (no_password.status_code, no_code.status_code) == (422, 422)
    assert 'id="current-error"' in no_password.text
    assert 'id="code-error"' in no_code.text
    assert shown(no_code.text) == shown(page)
    assert PASSWORD not in no_code.text
    assert not user_of(house).second_factor


def test_a_secret_that_is_somebody_elses_is_not_taken(house: Sendonce, ann: BrowserClient) -> None:
    other = sealed_in(signed_in(house, role=Role.EDITOR).get(f"{SECURITY}/second-factor").text)

    for sealed in ("", "x", other):
        fields = {"current": PASSWORD, "code": "000000", "sealed": sealed}
        assert ann.post_form(f"{SECURITY}/second-factor", fields).status_code == 409

    assert not user_of(house).second_factor


def test_switching_it_on_ends_every_other_session_and_this_one_goes_on(
    house: Sendonce, ann: BrowserClient
) -> None:
    elsewhere = signs_in_elsewhere(house)

    switched_on(house, ann)

    assert ann.get(SECURITY).status_code == 200
    assert elsewhere.get(SECURITY).status_code == 303


def test_switching_it_off_takes_password_and_code(house: Sendonce, ann: BrowserClient) -> None:
    _, codes = switched_on(house, ann)
    off, right = f"{SECURITY}/second-factor/off", {"current": PASSWORD, "code": codes[0]}

    assert ann.post_form(off, right | {"code": "000000"}).status_code == 422
    assert ann.post_form(off, right | {"current": "a guess"}).status_code == 422
    assert user_of(house).second_factor
    assert ann.post_form(off, right).status_code == 303

    assert not user_of(house).second_factor
    assert ann.get(SECURITY).status_code == 200
    assert ann.get(off).status_code == 409
    assert "switch off the second factor" in deeds(house)


def test_new_recovery_codes_end_the_old_ones(house: Sendonce, ann: BrowserClient) -> None:
    _, old = switched_on(house, ann)
    path = f"{SECURITY}/recovery-codes"

    answer = ann.post_form(path, {"current": PASSWORD, "code": old[0]})

    new = shown(answer.text).split()
    assert len(set(new) - set(old)) == 10
    assert ann.post_form(path, {"current": PASSWORD, "code": old[1]}).status_code == 422
    assert ann.post_form(path, {"current": PASSWORD, "code": new[0]}).status_code == 200


def test_codes_are_not_guessed_with_a_session_that_was_left_open(
    house: Sendonce, ann: BrowserClient
) -> None:
    _, codes = switched_on(house, ann)
    off, right = f"{SECURITY}/second-factor/off", {"current": PASSWORD, "code": codes[0]}
    for _ in range(5):
        ann.post_form(off, right | {"code": "000000"})

    answer = ann.post_form(off, right)

    assert answer.status_code == 429
    assert "Wait 30 s" in answer.text
    assert user_of(house).second_factor


def test_a_new_password_gives_who_guesses_codes_no_new_tries(
    house: Sendonce, ann: BrowserClient
) -> None:
    _, codes = switched_on(house, ann)
    off, new = f"{SECURITY}/second-factor/off", "another long password"
    for _ in range(4):
        ann.post_form(off, {"current": PASSWORD, "code": "000000"})

    fields = {"current": PASSWORD, "password": new}
    assert ann.post_form("/settings/profile/password", fields).status_code == 303

    assert ann.post_form(off, {"current": new, "code": codes[0]}).status_code == 429


def test_an_admin_takes_a_second_factor_away_but_not_the_own(
    house: Sendonce, ann: BrowserClient, client: FlaskClient
) -> None:
    with house.database.write(durable=False) as tx:
        for name in ("ben", "eve"):
            users.create(tx, f"{name}@example.com", PASSWORD, Role.EDITOR, house.clock.now())
    for user_id in (2, 3):
        app_for(house, user_id)
    switched_on(house, ann)

    page = ann.get("/settings/users/2").text
    by_page = ann.post_form("/settings/users/2/second-factor")
    by_api = client.delete("/api/users/3/second-factor")

    assert "Take the second factor away" in page
    assert (by_page.status_code, by_api.status_code) == (303, 204)
    assert not user_of(house, 2).second_factor
    assert not user_of(house, 3).second_factor
    assert ann.post_form("/settings/users/1/second-factor").status_code == 409
    assert user_of(house).second_factor
    assert client.delete("/api/users/3/second-factor").status_code == 409
    assert client.delete("/api/users/99/second-factor").status_code == 404
    assert deeds(house).count("take second factor away") == 2


def test_where_one_is_signed_in_is_listed_in_words(house: Sendonce, ann: BrowserClient) -> None:
    signs_in_elsewhere(house, **{"User-Agent": FIREFOX})

    page = ann.get(SECURITY).text

    assert "Firefox on Linux" in page
    assert page.count("127.0.0.1") == 2
    assert page.count("This one") == 1
    assert "Sign out everywhere else" in page


def test_one_browser_is_signed_out_by_another(house: Sendonce, ann: BrowserClient) -> None:
    elsewhere = signs_in_elsewhere(house)

    answer = ann.post_form(f"{SECURITY}/sessions/2/end")

    assert answer.status_code == 303
    assert elsewhere.get(SECURITY).status_code == 303
    assert ann.get(SECURITY).status_code == 200
    assert ann.post_form(f"{SECURITY}/sessions/2/end").status_code == 404
    assert ann.post_form(f"{SECURITY}/sessions/1/end").status_code == 409


def test_all_other_browsers_are_signed_out(house: Sendonce, ann: BrowserClient) -> None:
    others = [signs_in_elsewhere(house), signs_in_elsewhere(house)]

    ann.post_form(f"{SECURITY}/sessions/end-others")

    assert [other.get(SECURITY).status_code for other in others] == [303, 303]
    page = ann.get(SECURITY).text
    assert "Sign out everywhere else" not in page


def test_nobody_ends_the_session_of_somebody_else(house: Sendonce, ann: BrowserClient) -> None:
    eve = signed_in(house, role=Role.VIEWER)

    assert eve.post_form(f"{SECURITY}/sessions/1/end").status_code == 404
    eve.post_form(f"{SECURITY}/sessions/end-others")

    assert ann.get(SECURITY).status_code == 200


def test_who_is_no_user_has_neither(house: Sendonce, client: FlaskClient) -> None:
    first = a_stranger(house)
    first.get(first_start.link(house, "") or "")

    assert "Only a user has a second factor" in first.get(SECURITY).text
    assert first.get(f"{SECURITY}/second-factor").status_code == 409
    assert client.get(SECURITY, headers={"Accept": "text/html"}).status_code == 200
    assert client.post(f"{SECURITY}/sessions/end-others").status_code == 409
