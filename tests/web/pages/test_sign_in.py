"""The whole way in: the link of the first start, e-mail and password, sessions, and out again."""

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import first_link, sessions, tries, users
from identity.model import Role
from ops import first_start
from storage.aliveness import boot_id, process_lives
from tests.web.browser_client import PASSWORD, BrowserClient, a_stranger, signed_in

ANN = "ann@example.com"
RIGHT = {"email": ANN, "password": PASSWORD}
WRONG = {"email": ANN, "password": "not the password"}


@pytest.fixture
def ann(house: Sendonce) -> str:
    """Make a user who has not signed in yet."""
    with house.database.write(durable=False) as tx:
        users.create(tx, ANN, PASSWORD, Role.ADMIN, house.clock.now())
    return ANN


def a_link(house: Sendonce) -> str:
    link = first_start.link(house, "")
    assert link is not None
    return link


def cookie_of(browser: BrowserClient) -> str:
    """Return what the browser keeps as its session."""
    names = [c.key for c in browser.client._cookies.values() if not c.key.endswith("_known")]
    [name] = names
    return browser.client.get_cookie(name).value


def sessions_of(house: Sendonce) -> int:
    with house.database.read() as tx:
        return len(tx.exec_driver_sql("SELECT id FROM sessions").all())


def test_the_link_of_the_first_start_lets_one_browser_in_as_admin(house: Sendonce) -> None:
    link = a_link(house)
    browser = a_stranger(house)

    answer = browser.get(link)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/automation")
    assert "Role: admin" in browser.get("/automation").text
    assert a_stranger(house).get(link).status_code == 404


def test_what_only_looks_ahead_does_not_use_the_link_up(house: Sendonce) -> None:
    link = a_link(house)
    browser = a_stranger(house)

    browser.client.head(link)
    browser.client.get(link, headers={"Sec-Purpose": "prefetch"})
    browser.client.get(link, headers={"Purpose": "prefetch"})

    assert sessions_of(house) == 0
    assert browser.get(link).status_code == 303


def test_the_link_is_worth_nothing_once_there_is_a_user(house: Sendonce) -> None:
    link = a_link(house)
    signed_in(house)

    answer = a_stranger(house).get(link)

    assert answer.status_code == 404
    assert "does not work any more" in answer.text
    assert first_start.link(house, "") is None


def test_a_wrong_link_lets_nobody_in(house: Sendonce) -> None:
    a_link(house)

    for path in ("/setup", "/setup?token=", "/setup?token=guessed"):
        assert a_stranger(house).get(path).status_code == 404


def test_a_session_of_the_link_ends_with_the_first_user(house: Sendonce) -> None:
    browser = a_stranger(house)
    browser.get(a_link(house))

    signed_in(house)

    answer = browser.get("/automation")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Fautomation")


def test_who_has_the_password_gets_in_and_where_they_wanted_to(house: Sendonce, ann: str) -> None:
    browser = a_stranger(house)

    answer = browser.post_form("/login", RIGHT | {"next": "/runs?status=failed"})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/runs?status=failed")
    assert browser.get("/automation").status_code == 200


@pytest.mark.parametrize(
    "where",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\tevil",
        "javascript:alert(1)",
        "",
    ],
)
def test_nobody_is_led_to_another_site(house: Sendonce, ann: str, where: str) -> None:
    browser = a_stranger(house)

    asked = browser.get("/login", query_string={"next": where})
    answer = browser.post_form("/login", RIGHT | {"next": where})

    assert 'name="next" value="/automation"' in asked.text
    assert answer.headers["Location"] == "/automation"
    again = browser.get("/login", query_string={"next": where})
    assert (again.status_code, again.headers["Location"]) == (303, "/automation")


def test_a_mistake_does_not_say_which_half_was_wrong(house: Sendonce, ann: str) -> None:
    browser = a_stranger(house)

    wrong_password = browser.post_form("/login", WRONG)
    no_such_user = browser.post_form("/login", WRONG | {"email": "nobody@example.com"})

    assert (wrong_password.status_code, no_such_user.status_code) == (401, 401)
    assert "There is no user with this e-mail and password" in wrong_password.text
    assert "There is no user with this e-mail and password" in no_such_user.text
    assert f'value="{ANN}"' in wrong_password.text
    assert WRONG["password"] not in wrong_password.text


def test_what_was_typed_is_shown_as_text(house: Sendonce) -> None:
    answer = a_stranger(house).post_form(
        "/login", {"email": '"><script>alert(1)</script>', "password": "x"}
    )

    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


def test_the_session_is_a_cookie_that_scripts_and_other_sites_do_not_get(
    house: Sendonce, ann: str
) -> None:
    cookies = a_stranger(house).post_form("/login", RIGHT).headers.getlist("Set-Cookie")

    assert len(cookies) == 2
    for cookie in cookies:
        assert "; HttpOnly" in cookie
        assert "; SameSite=Lax" in cookie
        assert "; Path=/" in cookie
        assert "Domain=" not in cookie


def test_the_secret_of_a_session_is_a_new_one_after_signing_in(house: Sendonce, ann: str) -> None:
    browser = a_stranger(house)
    browser.get("/login")
    before = cookie_of(browser)

    browser.post_form("/login", RIGHT)
    first = cookie_of(browser)
    browser.post_form("/login", RIGHT)

    assert len({before, first, cookie_of(browser)}) == 3
    assert sessions_of(house) == 1


def test_a_cookie_taken_along_from_before_signing_in_lets_nobody_in(
    house: Sendonce, ann: str
) -> None:
    victim = a_stranger(house)
    victim.get("/login")
    planted = cookie_of(victim)

    victim.post_form("/login", RIGHT)

    thief = a_stranger(house)
    [name] = [c.key for c in victim.client._cookies.values() if not c.key.endswith("_known")]
    thief.client.set_cookie(name, planted)
    assert thief.get("/automation").status_code == 303


def test_signing_out_ends_the_session_in_the_database(house: Sendonce) -> None:
    browser = signed_in(house)
    kept = cookie_of(browser)
    [name] = [c.key for c in browser.client._cookies.values() if not c.key.endswith("_known")]

    answer = browser.post_form("/logout")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert sessions_of(house) == 0
    browser.client.set_cookie(name, kept)
    assert browser.get("/automation").status_code == 303


def test_a_session_that_nobody_uses_ends(house: Sendonce) -> None:
    browser = signed_in(house)

    house.clock.inner.advance(seconds=sessions.IDLE.total_seconds())

    assert browser.get("/automation").status_code == 303


def test_signing_in_without_the_token_of_the_page_does_nothing(house: Sendonce, ann: str) -> None:
    browser = a_stranger(house)

    answer = browser.post_raw("/login", RIGHT)

    assert answer.status_code == 400
    assert "Nothing was done" in answer.text
    assert sessions_of(house) == 0


def test_signing_out_without_the_token_of_the_page_does_nothing(house: Sendonce) -> None:
    browser = signed_in(house)

    assert browser.post_raw("/logout", {}).status_code == 400
    assert browser.get("/automation").status_code == 200


def test_a_user_who_is_disabled_neither_stays_nor_gets_in(house: Sendonce) -> None:
    browser = signed_in(house, role=Role.EDITOR)

    with house.database.write(durable=False) as tx:
        users.disable(tx, "editor@example.com")

    assert browser.get("/automation").status_code == 303
    fields = {"email": "editor@example.com", "password": PASSWORD}
    assert a_stranger(house).post_form("/login", fields).status_code == 401


def test_after_five_mistakes_even_the_right_password_has_to_wait(house: Sendonce, ann: str) -> None:
    browser = a_stranger(house)
    for _ in range(5):
        assert browser.post_form("/login", WRONG).status_code == 401

    answer = browser.post_form("/login", RIGHT)

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "30")
    assert "30 s</span>, then try again" in answer.text
    assert f'value="{ANN}"' in answer.text
    house.clock.inner.advance(seconds=30)
    assert browser.post_form("/login", RIGHT).status_code == 303


def test_the_wait_says_the_same_for_an_address_that_nobody_has(house: Sendonce, ann: str) -> None:
    browser = a_stranger(house)
    nobody = WRONG | {"email": "nobody@example.com"}
    for _ in range(5):
        browser.post_form("/login", nobody)

    assert browser.post_form("/login", nobody).status_code == 429
    assert browser.post_form("/login", RIGHT).status_code == 303


def test_every_process_counts_the_same_tries(house: Sendonce, ann: str) -> None:
    one, other = a_stranger(house), a_stranger(house)
    for browser in (one, other, one, other, one):
        browser.post_form("/login", WRONG)

    assert other.post_form("/login", RIGHT).status_code == 429


def test_a_stranger_does_not_keep_out_who_was_in_with_this_browser(
    house: Sendonce, ann: str
) -> None:
    browser, stranger = a_stranger(house), a_stranger(house)
    browser.post_form("/login", RIGHT)
    browser.post_form("/logout")

    for number in range(tries.MOST_OF_STRANGERS):
        stranger.post_form("/login", WRONG | {"email": ANN if number < 5 else f"{number}@x.test"})

    assert stranger.post_form("/login", RIGHT).status_code == 429
    assert browser.post_form("/login", RIGHT).status_code == 303


def test_a_forged_mark_of_a_known_browser_is_worth_nothing(house: Sendonce, ann: str) -> None:
    stranger = a_stranger(house)
    stranger.get("/login")
    [name] = [c.key for c in stranger.client._cookies.values()]
    for number in range(5):
        stranger.client.set_cookie(f"{name}_known", f"browser{number}.ünd")
        assert stranger.post_form("/login", WRONG).status_code == 401

    assert stranger.post_form("/login", RIGHT).status_code == 429


def test_the_page_says_how_to_get_in_where_there_is_no_user_yet(house: Sendonce) -> None:
    assert "/setup?token=" in a_stranger(house).get("/login").text
    signed_in(house)
    assert "/setup?token=" not in a_stranger(house).get("/login").text


def test_the_link_goes_with_the_process_that_printed_it(house: Sendonce) -> None:
    with house.database.write(durable=False) as tx:
        secret = first_link.make(
            tx,
            boot_id=boot_id(),
            pid=2**22 + 1,
            alive=process_lives,
            now=house.clock.now(),
        )

    assert a_stranger(house).get(f"/setup?token={secret}").status_code == 404


def test_an_api_token_works_beside_the_sessions(house: Sendonce, client: FlaskClient) -> None:
    signed_in(house)

    assert client.post("/api/audiences", json={"name": "R"}).status_code == 201
