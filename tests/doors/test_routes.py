"""Every route of the application, knocked at by whoever must not come in."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from assembly import Sendonce
from identity import tokens, users
from identity.model import Role
from tests.house import a_house, app_of, bearer
from tests.web.browser_client import PASSWORD, BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, an_account
from web import guards

PLANTED = "planted-where-strangers-look"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
ORDER = (Role.VIEWER, Role.EDITOR, Role.ADMIN)

ONLY_ADMINS_CHANGE = ("/api/accounts", "/api/tokens", "/api/users", "/accounts", "/settings/tokens")
"""What begins like this and changes something wants an admin."""

_PLACE = re.compile(r"<(?:(\w+):)?\w+>")


@dataclass(frozen=True)
class Route:
    """One method of one rule; role is None where it is open to all."""

    method: str
    rule: str
    path: str
    role: Role | None

    def __str__(self) -> str:
        return f"{self.method} {self.rule}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sendonce]:
    """A house in which there is one of each thing, with a word in its name that no stranger may read."""
    with a_house(tmp_path_factory.mktemp("routes")) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        an_account(client, name=PLANTED)
        campaign = a_campaign(client, name=PLANTED, recipients=[f"{PLANTED}@example.com"])
        schedule = a_schedule(client, campaign_id=campaign["id"])
        assert client.post(f"/api/schedules/{schedule['id']}/run-now").status_code == 202
        body = {"email": f"{PLANTED}@example.com"}
        assert client.post("/api/suppressions", json=body).status_code == 201
        assert client.post("/api/tokens", json={"name": PLANTED}).status_code == 201
        yield house


def routes_of(app: Flask) -> list[Route]:
    return [
        Route(
            method=method,
            rule=rule.rule,
            path=_PLACE.sub(lambda m: "1" if m[1] == "id" else f"{PLANTED}@example.com", rule.rule),
            role=guards.role_of(app.view_functions[rule.endpoint]),
        )
        for rule in app.url_map.iter_rules()
        for method in sorted(rule.methods or ())
        if method not in ("HEAD", "OPTIONS")
    ]


def knock(client: FlaskClient, route: Route, **headers: str) -> TestResponse:
    return client.open(route.path, method=route.method, headers=headers)


def test_every_route_declares_who_may_open_it(world: Sendonce) -> None:
    app = app_of(world)

    silent = [
        rule.rule
        for rule in app.url_map.iter_rules()
        if not guards.is_declared(app.view_functions[rule.endpoint])
    ]

    assert silent == []
    assert len(routes_of(app)) > 130


def test_whatever_changes_something_wants_an_editor_or_an_admin(world: Sendonce) -> None:
    unsafe = [route for route in routes_of(app_of(world)) if route.method in UNSAFE]

    for_viewers = {str(route) for route in unsafe if route.role is Role.VIEWER}
    too_low = {
        str(route)
        for route in unsafe
        if route.rule.startswith(ONLY_ADMINS_CHANGE) and route.role is not Role.ADMIN
    }

    assert too_low == set()
    assert {name for name in for_viewers if not name.startswith(MAY_VIEWERS)} == set()


MAY_VIEWERS = (
    # Their own affairs, and what changes nothing.
    "POST /settings/profile",
    "POST /settings/security",
    "POST /settings/sessions",
    "POST /campaigns/preview",
    "POST /api/schedules/preview",
    "POST /api/campaigns/<id:id>/preview",
)


def no_credential(house: Sendonce) -> dict[str, str]:
    return {}


def a_wrong_token(house: Sendonce) -> dict[str, str]:
    return bearer("so_" + "x" * 43)


def an_empty_token(house: Sendonce) -> dict[str, str]:
    return bearer("")


def a_password_for_a_token(house: Sendonce) -> dict[str, str]:
    return {"Authorization": "Basic YWRtaW46YWRtaW4="}


def an_expired_token(house: Sendonce) -> dict[str, str]:
    now = house.clock.now()
    with house.database.write(durable=False) as tx:
        ends = now + timedelta(minutes=1)
        _, secret = tokens.create(tx, "brief", Role.ADMIN, now=now, expires_at=ends)
    house.clock.inner.advance(minutes=2)
    return bearer(secret)


def a_revoked_token(house: Sendonce) -> dict[str, str]:
    now = house.clock.now()
    with house.database.write(durable=False) as tx:
        token, secret = tokens.create(tx, "gone", Role.ADMIN, now=now, expires_at=None)
        tokens.revoke(tx, token.id, now=now)
    return bearer(secret)


def a_token_in_another_scheme(house: Sendonce) -> dict[str, str]:
    return {"Authorization": bearer()["Authorization"].replace("Bearer", "Token")}


def the_cookie_of(browser: BrowserClient) -> dict[str, str]:
    return {"Cookie": browser.client.get("/login").request.headers["Cookie"]}


def a_session_that_was_ended(house: Sendonce) -> dict[str, str]:
    browser = signed_in(house)
    cookie = the_cookie_of(browser)
    browser.post_form("/logout")
    forget_users(house)
    return cookie


def a_session_that_is_too_old(house: Sendonce) -> dict[str, str]:
    cookie = the_cookie_of(signed_in(house))
    house.clock.inner.advance(days=60)
    forget_users(house)
    return cookie


def a_session_whose_user_is_disabled(house: Sendonce) -> dict[str, str]:
    cookie = the_cookie_of(signed_in(house))
    with house.database.write(durable=False) as tx:
        users.create(tx, "other@example.com", PASSWORD, Role.ADMIN, house.clock.now())
        users.disable(tx, "admin@example.com")
    forget_users(house)
    return cookie


def a_cookie_of_ones_own_making(house: Sendonce) -> dict[str, str]:
    name = app_of(house).config["SESSION_COOKIE_NAME"]
    return {"Cookie": f"{name}=eyJzaWQiOiJ4In0.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb"}


def forget_users(house: Sendonce) -> None:
    with house.database.write(durable=False) as tx:
        tx.exec_driver_sql("DELETE FROM users")


ON_EVERY_ROUTE = (
    no_credential,
    a_wrong_token,
    an_expired_token,
    a_revoked_token,
    a_session_that_was_ended,
)
ON_A_FEW = (
    an_empty_token,
    a_password_for_a_token,
    a_token_in_another_scheme,
    a_cookie_of_ones_own_making,
    a_session_that_is_too_old,
    a_session_whose_user_is_disabled,
)
"""What is told apart from the others in one place for all routes."""


@pytest.mark.parametrize("credential", [*ON_EVERY_ROUTE, *ON_A_FEW])
def test_nobody_comes_in_with(
    world: Sendonce, credential: Callable[[Sendonce], dict[str, str]]
) -> None:
    headers = credential(world)
    client = app_of(world).test_client(use_cookies=False)
    closed = [route for route in routes_of(app_of(world)) if route.role is not None]

    tried = closed if credential in ON_EVERY_ROUTE else closed[::9]
    answers = {str(route): knock(client, route, **headers) for route in tried}

    assert len(tried) > 14
    assert {name: a.status for name, a in answers.items() if a.status_code != 401} == {}
    assert {a.mimetype for a in answers.values()} == {"application/problem+json"}
    assert [name for name, a in answers.items() if PLANTED in a.text] == []


def test_a_browser_that_nobody_has_signed_in_with_is_led_to_do_so(world: Sendonce) -> None:
    client = app_of(world).test_client(use_cookies=False)
    pages = [
        route
        for route in routes_of(app_of(world))
        if route.role is not None and route.method == "GET" and "/api/" not in route.rule
    ]

    answers = [knock(client, route, Accept="text/html") for route in pages]

    assert len(pages) > 30
    assert {a.status_code for a in answers} == {303}
    assert {a.headers["Location"].partition("?")[0] for a in answers} == {"/login"}
    assert [a.text for a in answers if PLANTED in a.text.replace(a.headers["Location"], "")] == []


def test_a_route_that_is_open_to_all_gives_nothing_away(world: Sendonce) -> None:
    client = app_of(world).test_client(use_cookies=False)
    unlocked = [
        replace(route, path=route.path.replace(PLANTED, "x"))
        for route in routes_of(app_of(world))
        if route.role is None
    ]

    answers = [
        (str(route), knock(client, route, **headers))
        for route in unlocked
        for headers in ({}, a_wrong_token(world), {"Accept": "text/html"})
    ]

    # Without a leader a house is not ready, and says so.
    assert {name for name, a in answers if a.status_code >= 500} == {"GET /readyz"}
    assert [name for name, a in answers if PLANTED in a.text] == []


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_a_token_of_a_lower_role_is_forbidden(world: Sendonce, role: Role) -> None:
    now = world.clock.now()
    with world.database.write(durable=False) as tx:
        _, secret = tokens.create(tx, f"low {role}", role, now=now, expires_at=None)
    client = app_of(world).test_client(use_cookies=False)
    above = [
        route
        for route in routes_of(app_of(world))
        if route.role is not None and ORDER.index(route.role) > ORDER.index(role)
    ]

    answers = {str(route): knock(client, route, **bearer(secret)) for route in above}

    assert len(above) > 20
    assert {name: a.status for name, a in answers.items() if a.status_code != 403} == {}


def test_a_session_without_its_forms_token_changes_nothing(world: Sendonce) -> None:
    browser = signed_in(world)
    unsafe = [
        route
        for route in routes_of(app_of(world))
        if route.method in UNSAFE and route.role is not None
    ]

    token = browser.token()
    forgeries = {
        "none": {},
        "a wrong header": {"headers": {"X-CSRF-Token": "x" * 91}},
        "a wrong field": {"data": {"csrf_token": "IjEi.x.y"}},
        "another content type": {"data": b"{}", "content_type": "text/plain"},
        "in the address": {"query_string": {"csrf_token": token}},
    }

    answers = {
        (str(route), name): browser.client.open(route.path, method=route.method, **forgery)
        for route in unsafe
        for name, forgery in forgeries.items()
        if name == "none" or route in unsafe[::20]
    }
    forget_users(world)

    assert len(unsafe) > 70
    assert {key: a.status for key, a in answers.items() if a.status_code != 400} == {}


def test_the_cookie_stays_at_home(world: Sendonce, tmp_path: Path) -> None:
    here = signed_in(world).client.get("/login").request.headers["Cookie"]
    forget_users(world)
    with a_house(tmp_path, public_url="https://mail.example.com") as house:
        client = app_of(house).test_client()
        public = client.get("/login", base_url="https://mail.example.com").headers["Set-Cookie"]
        local = client.get("/login", base_url="http://127.0.0.1:8025").headers["Set-Cookie"]

    assert "admin@example.com" not in here
    for cookie in (public, local):
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "Path=/" in cookie
        assert "Domain" not in cookie
    assert "; Secure" in public
    assert "; Secure" not in local


def test_a_session_gets_a_new_secret_when_somebody_signs_in(world: Sendonce) -> None:
    browser = BrowserClient(app_of(world).test_client())
    browser.get("/login")
    with browser.client.session_transaction() as planted:
        planted["sid"] = "known to somebody else"
    with world.database.write(durable=False) as tx:
        users.create(tx, "ann@example.com", PASSWORD, Role.ADMIN, world.clock.now())

    answer = browser.post_form("/login", {"email": "ann@example.com", "password": PASSWORD})

    with browser.client.session_transaction() as kept:
        secret = kept["sid"]
    forget_users(world)
    assert answer.status_code == 303
    assert secret != "known to somebody else"


def test_nobody_is_led_elsewhere_by_next(world: Sendonce) -> None:
    client = app_of(world).test_client()
    for where in (
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example",
        "/\t/evil.example",
        " //evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=1",
    ):
        page = client.get("/login", query_string={"next": where}, headers={"Accept": "text/html"})
        kept = re.search(r'name="next" value="([^"]*)"', page.text)

        assert kept is not None
        assert kept[1] in ("/automation", "/%09/evil.example"), where
