"""Settings: the first user, one's own password and looks, tokens, users, and what is set from outside."""

import re

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import tokens, users
from identity.model import Role, Token, User
from ops import first_start
from tests.house import a_house, app_of
from tests.web.browser_client import PASSWORD, BrowserClient, a_stranger, signed_in

ANN = {"email": "ann@example.com", "password": "a long enough one"}
NEW_PASSWORD = "another long password"

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_SECRET = re.compile(r'id="secret"[^>]*>(so_[\w-]+)<')


@pytest.fixture
def admin(house: Sendonce) -> BrowserClient:
    return signed_in(house)


@pytest.fixture
def first(house: Sendonce) -> BrowserClient:
    """Open the link of the first start."""
    browser = a_stranger(house)
    link = first_start.link(house, "")
    assert link is not None
    browser.get(link)
    return browser


def every_user(house: Sendonce) -> list[User]:
    with house.database.read() as tx:
        return users.list_(tx)


def every_token(house: Sendonce) -> list[Token]:
    with house.database.read() as tx:
        return tokens.list_(tx)


def may_sign_in(house: Sendonce, email: str, password: str) -> bool:
    answer = a_stranger(house).post_form("/login", {"email": email, "password": password})
    return answer.status_code == 303


def secret_in(page: str) -> str:
    found = _SECRET.search(page)
    assert found is not None
    return found[1]


def test_settings_lead_to_the_profile(admin: BrowserClient) -> None:
    answer = admin.get("/settings")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/profile")


def test_whoever_came_by_the_link_becomes_the_first_user(
    house: Sendonce, first: BrowserClient
) -> None:
    assert "Make me the first user" in first.get("/settings/profile").text

    answer = first.post_form("/settings/profile", ANN)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/profile")
    [user] = every_user(house)
    assert (user.email, user.role) == ("ann@example.com", Role.ADMIN)
    page = first.get("/settings/profile").text
    assert "as ann@example.com" in page
    assert "Make me the first user" not in page
    assert may_sign_in(house, **ANN)


def test_the_first_user_ends_every_other_way_in_by_a_link(
    house: Sendonce, first: BrowserClient
) -> None:
    other = a_stranger(house)
    other.get(first_start.link(house, "") or "")
    unused = first_start.link(house, "")

    first.post_form("/settings/profile", ANN)

    assert other.get("/automation").status_code == 303
    assert a_stranger(house).get(unused or "").status_code == 404
    assert first.get("/automation").status_code == 200


def test_mistakes_of_the_first_user_make_nobody(house: Sendonce, first: BrowserClient) -> None:
    answer = first.post_form("/settings/profile", {"email": "ann", "password": "short"})
    short = first.post_form("/settings/profile", ANN | {"password": "short"})

    assert (answer.status_code, short.status_code) == (422, 422)
    assert 'id="email-error"' in answer.text
    assert "at least 12 characters" in short.text
    assert 'value="ann@example.com"' in short.text
    assert 'value="short"' not in answer.text + short.text
    assert every_user(house) == []
    assert first.get("/automation").status_code == 200


def test_two_who_came_by_links_do_not_both_become_the_first_user(
    house: Sendonce, first: BrowserClient
) -> None:
    other = a_stranger(house)
    other.get(first_start.link(house, "") or "")
    token = other.token()
    first.post_form("/settings/profile", ANN)

    answer = other.post_raw(
        "/settings/profile", ANN | {"email": "eve@example.com", "csrf_token": token}
    )

    assert answer.status_code == 401
    assert len(every_user(house)) == 1


def test_a_user_does_not_become_the_first_user(house: Sendonce) -> None:
    viewer = signed_in(house, role=Role.VIEWER)

    answer = viewer.post_form("/settings/profile", ANN)

    assert answer.status_code == 409
    assert [user.role for user in every_user(house)] == [Role.VIEWER]


def test_a_new_password_ends_every_other_session_and_this_one_goes_on(house: Sendonce) -> None:
    here = signed_in(house, role=Role.EDITOR)
    elsewhere = a_stranger(house)
    elsewhere.post_form("/login", {"email": "editor@example.com", "password": PASSWORD})

    answer = here.post_form(
        "/settings/profile/password", {"current": PASSWORD, "password": NEW_PASSWORD}
    )

    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/profile")
    assert here.get("/automation").status_code == 200
    assert elsewhere.get("/automation").status_code == 303
    assert may_sign_in(house, "editor@example.com", NEW_PASSWORD)
    assert not may_sign_in(house, "editor@example.com", PASSWORD)


def test_a_password_is_changed_only_by_who_knows_it(house: Sendonce) -> None:
    browser = signed_in(house, role=Role.VIEWER)

    wrong = browser.post_form(
        "/settings/profile/password", {"current": "a guess of mine", "password": NEW_PASSWORD}
    )
    short = browser.post_form(
        "/settings/profile/password", {"current": PASSWORD, "password": "short"}
    )

    assert (wrong.status_code, short.status_code) == (422, 422)
    assert 'id="current-error"' in wrong.text
    assert "at least 12 characters" in short.text
    for typed in ("a guess of mine", NEW_PASSWORD, PASSWORD):
        assert typed not in wrong.text + short.text
    assert may_sign_in(house, "viewer@example.com", PASSWORD)


def test_guesses_at_the_own_password_have_to_wait_too(house: Sendonce) -> None:
    browser = signed_in(house)
    wrong = {"current": "a guess of mine", "password": NEW_PASSWORD}
    for _ in range(5):
        browser.post_form("/settings/profile/password", wrong)

    answer = browser.post_form("/settings/profile/password", wrong | {"current": PASSWORD})

    assert answer.status_code == 429
    assert "Wait 30 s" in answer.text
    house.clock.inner.advance(seconds=30)
    right = wrong | {"current": PASSWORD}
    assert browser.post_form("/settings/profile/password", right).status_code == 303


def test_the_theme_is_applied_by_the_server(house: Sendonce, admin: BrowserClient) -> None:
    assert '<html lang="en">' in admin.get("/settings/profile").text

    answer = admin.post_form("/settings/profile/looks", {"theme": "dark", "keys": "on"})

    assert answer.headers["Location"] == "/settings/profile#looks"
    for path in ("/settings/profile", "/automation", "/no-such-page"):
        assert '<html lang="en" data-theme="dark">' in admin.get(path).text
    admin.post_form("/logout")
    assert '<html lang="en" data-theme="dark">' in admin.get("/login").text


def test_rows_motion_and_zone_are_this_browsers_choice(admin: BrowserClient) -> None:
    form = {"rows": "compact", "motion": "reduce", "zone": "Asia/Tokyo", "keys": "on"}
    admin.post_form("/settings/profile/looks", form)

    page = admin.get("/settings/profile").text
    assert '<html lang="en" data-motion="reduce" data-rows="compact">' in page
    assert "Asia/Tokyo, as you chose" in page


def test_a_zone_that_there_is_not_is_refused_and_kept_in_the_form(admin: BrowserClient) -> None:
    answer = admin.post_form("/settings/profile/looks", {"zone": "Mars/Base", "theme": "dark"})

    assert answer.status_code == 422
    assert "“Mars/Base” is no zone that is known" in answer.text
    assert 'value="Mars/Base"' in answer.text
    assert admin.client.get_cookie("theme") is None


def test_a_theme_that_there_is_not_is_none(admin: BrowserClient) -> None:
    admin.post_form("/settings/profile/looks", {"theme": '"><script>', "keys": "on"})
    assert '<html lang="en">' in admin.get("/settings/profile").text

    admin.client.set_cookie("theme", "x onload=alert")

    assert '<html lang="en">' in admin.get("/settings/profile").text


def test_going_back_to_the_device_s_theme_forgets_the_choice(admin: BrowserClient) -> None:
    admin.post_form("/settings/profile/looks", {"theme": "light"})
    off = admin.client.get_cookie("keys")

    admin.post_form("/settings/profile/looks", {"theme": "system", "keys": "on"})

    assert off is not None
    assert off.value == "off"
    assert admin.client.get_cookie("theme") is None
    assert admin.client.get_cookie("keys") is None


def test_the_zone_is_the_browser_s(admin: BrowserClient) -> None:
    assert "UTC: this browser has not said which" in admin.get("/settings/profile").text

    admin.client.set_cookie("zone", "Europe/Berlin")

    assert "Europe/Berlin, as this browser says" in admin.get("/settings/profile").text


def test_a_token_is_shown_once_and_works(house: Sendonce, admin: BrowserClient) -> None:
    answer = admin.post_form(
        "/settings/tokens/new", {"name": "deploy", "role": "editor", "days": "30"}
    )

    secret = secret_in(answer.text)
    assert answer.headers["Cache-Control"] == "no-store"
    [token] = every_token(house)
    assert (token.name, token.role) == ("deploy", Role.EDITOR)
    assert (token.expires_at - token.created_at).days == 30
    stranger = app_of(house).test_client()
    headers = {"Authorization": f"Bearer {secret}"}
    assert stranger.get("/api/campaigns", headers=headers).status_code == 200
    for path in ("/settings/tokens", "/settings/tokens/new"):
        assert secret not in admin.get(path).text


def test_a_token_s_form_that_is_sent_again_makes_no_second_one(
    house: Sendonce, admin: BrowserClient
) -> None:
    form = {
        "name": "deploy",
        "role": "viewer",
        "days": "",
        "idempotency_key": admin.key_in("/settings/tokens/new"),
        "csrf_token": admin.token(),
    }

    first, again = (admin.post_raw("/settings/tokens/new", form) for _ in range(2))

    assert secret_in(first.text) == secret_in(again.text)
    assert len(every_token(house)) == 1


def test_a_token_s_mistakes_stand_in_its_form(house: Sendonce, admin: BrowserClient) -> None:
    wrong = {"name": "", "role": "king", "days": "soon"}
    answer = admin.post_form("/settings/tokens/new", wrong)

    assert answer.status_code == 422
    for field in ("name", "role", "days"):
        assert f'id="{field}-error"' in answer.text
    assert 'value="soon"' in answer.text
    good = {"name": "deploy", "role": "viewer", "days": ""}
    admin.post_form("/settings/tokens/new", good)
    assert admin.post_form("/settings/tokens/new", good).status_code == 409
    assert len(every_token(house)) == 1


def test_a_token_that_is_revoked_opens_nothing_and_stays_in_the_list(
    house: Sendonce, admin: BrowserClient
) -> None:
    made = admin.post_form("/settings/tokens/new", {"name": "deploy", "role": "admin", "days": ""})
    headers = {"Authorization": f"Bearer {secret_in(made.text)}"}

    asked = admin.get("/settings/tokens/1/revoke")
    answers = [admin.post_form("/settings/tokens/1/revoke") for _ in range(2)]

    assert "Revoke the token deploy" in asked.text
    assert {a.headers["Location"] for a in answers} == {"/settings/tokens#t1"}
    assert app_of(house).test_client().get("/api/runs", headers=headers).status_code == 401
    assert "Revoked" in admin.get("/settings/tokens").text


def test_a_token_that_has_run_out_says_so(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/settings/tokens/new", {"name": "deploy", "role": "viewer", "days": "1"})

    house.clock.inner.advance(days=1)

    assert "Expired" in admin.get("/settings/tokens").text


def test_whoever_came_by_the_link_becomes_a_user_before_others_do(
    house: Sendonce, first: BrowserClient
) -> None:
    asked = first.get("/settings/users/new")
    answer = first.post_form("/settings/users/new", ANN | {"role": "viewer"})

    assert asked.headers["Location"] == "/settings/profile"
    assert answer.status_code == 409
    assert 'href="/settings/users/new"' not in first.get("/settings/users").text
    assert every_user(house) == []
    assert first.get("/automation").status_code == 200


def test_a_user_is_added_and_can_sign_in(house: Sendonce, admin: BrowserClient) -> None:
    answer = admin.post_form("/settings/users/new", ANN | {"role": "viewer"})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/users#u2")
    assert may_sign_in(house, **ANN)
    page = admin.get("/settings/users").text
    assert "ann@example.com" in page
    assert "(you)" in page


def test_a_user_s_mistakes_stand_in_the_form_without_the_password(
    house: Sendonce, admin: BrowserClient
) -> None:
    wrong = admin.post_form(
        "/settings/users/new", {"email": "ann", "password": "short", "role": "king"}
    )
    taken = admin.post_form("/settings/users/new", ANN | {"email": "admin@example.com"})
    twice = admin.post_form(
        "/settings/users/new", ANN | {"email": "ADMIN@example.com", "role": "viewer"}
    )

    assert (wrong.status_code, taken.status_code, twice.status_code) == (422, 422, 409)
    for field in ("email", "password", "role"):
        assert f'id="{field}-error"' in wrong.text
    assert "at least 12 characters" in wrong.text
    assert "There is a user" in twice.text
    assert ANN["password"] not in taken.text + twice.text
    assert len(every_user(house)) == 1


def test_the_api_says_of_a_short_password_what_the_page_says(client: FlaskClient) -> None:
    answer = client.post("/api/users", json=ANN | {"password": "short"})

    assert answer.status_code == 422
    assert [e["message"] for e in answer.json["errors"]] == [
        "is too short; use at least 12 characters"
    ]


def test_a_role_a_password_and_the_sign_in_of_a_user_are_changed(
    house: Sendonce, admin: BrowserClient
) -> None:
    admin.post_form("/settings/users/new", ANN | {"role": "viewer"})
    path = "/settings/users/2"

    assert admin.post_form(f"{path}/role", {"role": "editor"}).status_code == 303
    assert every_user(house)[1].role == Role.EDITOR
    assert admin.post_form(f"{path}/password", {"password": NEW_PASSWORD}).status_code == 303
    assert may_sign_in(house, "ann@example.com", NEW_PASSWORD)
    assert admin.post_form(f"{path}/access", {"disabled": "yes"}).status_code == 303
    assert not may_sign_in(house, "ann@example.com", NEW_PASSWORD)
    assert "Let them sign in again" in admin.get(path).text
    assert admin.post_form(f"{path}/access", {"disabled": "no"}).status_code == 303
    assert may_sign_in(house, "ann@example.com", NEW_PASSWORD)


def test_a_change_made_on_an_old_version_is_refused(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/settings/users/new", ANN | {"role": "viewer"})
    admin.post_form("/settings/users/2/role", {"role": "editor", "version": "1"})

    answer = admin.post_form("/settings/users/2/role", {"role": "admin", "version": "1"})

    assert answer.status_code == 409
    assert "was changed meanwhile" in answer.text
    assert every_user(house)[1].role == Role.EDITOR


@pytest.mark.parametrize(
    ("form", "fields"), [("role", {"role": "viewer"}), ("access", {"disabled": "yes"})]
)
def test_the_last_admin_stays(
    house: Sendonce, admin: BrowserClient, form: str, fields: dict[str, str]
) -> None:
    answer = admin.post_form(f"/settings/users/1/{form}", fields)

    assert answer.status_code == 409
    assert "is the last admin who can sign in" in answer.text
    assert (every_user(house)[0].role, every_user(house)[0].disabled) == (Role.ADMIN, False)
    assert admin.get("/settings/users").status_code == 200


def test_who_gives_up_the_role_of_admin_stays_signed_in_without_it(
    house: Sendonce, admin: BrowserClient
) -> None:
    admin.post_form("/settings/users/new", ANN | {"role": "admin"})

    answer = admin.post_form("/settings/users/1/role", {"role": "viewer"})

    assert answer.headers["Location"] == "/settings/profile"
    assert "viewer" in admin.get("/settings/profile").text
    assert admin.get("/settings/users").status_code == 403


def test_who_disables_oneself_is_signed_out(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/settings/users/new", ANN | {"role": "admin"})

    answer = admin.post_form("/settings/users/1/access", {"disabled": "yes"})

    assert answer.headers["Location"] == "/login"
    assert admin.get("/automation").status_code == 303


def test_a_user_says_when_seen_last(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/settings/users/new", ANN | {"role": "viewer"})
    assert "not signed in" in admin.get("/settings/users").text

    may_sign_in(house, **ANN)

    assert "not signed in" not in admin.get("/settings/users").text


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_is_no_admin_has_a_profile_and_neither_tokens_nor_users(
    house: Sendonce, role: Role
) -> None:
    browser = signed_in(house, role=role)

    page = browser.get("/settings/profile").text

    assert 'href="/settings/general"' in page
    for path in (
        "/settings/tokens",
        "/settings/tokens/new",
        "/settings/users",
        "/settings/users/new",
    ):
        assert f'href="{path}"' not in page
        assert browser.get(path).status_code == 403
    for path in ("tokens/new", "tokens/1/revoke", "users/new", "users/1/role"):
        assert browser.post_form(f"/settings/{path}", ANN).status_code == 403
    assert len(every_user(house)) == 1


def test_the_settings_are_told_without_their_secrets(house: Sendonce, admin: BrowserClient) -> None:
    page = admin.get("/settings/general").text

    assert "SENDONCE_EXECUTION_BUFFER" in page
    assert "30 s" in page
    assert str(house.settings.data_dir) in page
    assert "a secret key for tests" not in page
    assert "test-bootstrap-token" not in page
    assert "leads to this machine only" in page


def test_where_things_are_is_told_to_admins_only(house: Sendonce) -> None:
    page = signed_in(house, role=Role.VIEWER).get("/settings/general").text

    assert "SENDONCE_EXECUTION_BUFFER" in page
    assert str(house.settings.data_dir) not in page
    assert "SENDONCE_BOOTSTRAP_TOKEN" not in page


@pytest.mark.parametrize(
    ("url", "says"),
    [("http://mail.example.com", "is not https"), ("https://mail.example.com", None)],
)
def test_a_public_address_without_https_is_warned_of(tmp_path, url: str, says: str | None) -> None:
    with a_house(tmp_path, public_url=url) as house:
        page = signed_in(house).get("/settings/general").text

    assert url in page
    assert (says in page) if says else ('data-kind="warn"' not in page)


@pytest.mark.parametrize(
    ("came_by", "is_secure"), [("http://localhost", False), ("https://mail.example.com", True)]
)
def test_cookies_go_over_https_only_for_who_came_by_it(
    tmp_path, came_by: str, is_secure: bool
) -> None:
    with a_house(tmp_path, public_url="https://mail.example.com") as house:
        signed_in(house)
        client = app_of(house).test_client()
        token = _TOKEN.search(client.get("/login", base_url=came_by).text)[1]
        form = {"email": "admin@example.com", "password": PASSWORD, "csrf_token": token}

        answer = client.post("/login", data=form, base_url=came_by)

    cookies = answer.headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    assert ["; Secure" in cookie for cookie in cookies] == [is_secure, is_secure]


def test_an_address_is_shown_as_text(admin: BrowserClient, client: FlaskClient) -> None:
    admin.post_form("/settings/tokens/new", {"name": "<b>bold</b>", "role": "viewer", "days": ""})

    for path in ("/settings/tokens", "/settings/tokens/1/revoke"):
        assert "<b>bold" not in admin.get(path).text
        assert "&lt;b&gt;bold" in admin.get(path).text
