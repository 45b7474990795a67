import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import tokens
from identity.model import Role
from tests.house import app_of, bearer
from tests.web.browser_client import signed_in

OPEN_TO_ALL = {
    "/healthz",
    "/readyz",
    "/metrics",
    "/u/<token>",
    "/u/<token>/undo",
    "/",
    "/login",
    "/login/code",
    "/join/<token>",
    "/reset/<token>",
    "/logout",
    "/setup",
    "/static/<mark>/<path:name>",
}
SHOWS_TO_VIEWERS = {"/campaigns/preview"}
"""POSTs that change nothing."""
OWN_AFFAIRS = {
    "/settings/profile",
    "/settings/profile/password",
    "/settings/profile/looks",
    "/settings/security/second-factor",
    "/settings/security/second-factor/off",
    "/settings/security/recovery-codes",
    "/settings/security/sessions/<id:session_id>/end",
    "/settings/security/sessions/end-others",
}
"""What everybody may change about themselves."""

_PLACE = re.compile(r"<(?:(\w+):)?\w+>")


def routes_of(house: Sendonce) -> list[tuple[str, str, str]]:
    """Return each method and rule of the application, with a path that it answers."""
    return [
        (
            method,
            rule.rule,
            _PLACE.sub(lambda m: "1" if m[1] == "id" else "a@example.com", rule.rule),
        )
        for rule in app_of(house).url_map.iter_rules()
        for method in rule.methods or ()
        if method not in ("HEAD", "OPTIONS")
    ]


def a_token(house: Sendonce, role: Role, *, good_for: timedelta | None = None) -> str:
    now = house.clock.now()
    expires_at = None if good_for is None else now + good_for
    with house.database.write(durable=False) as tx:
        _, secret = tokens.create(tx, f"{role} test", role, now=now, expires_at=expires_at)
    return secret


def test_every_route_asks_for_a_token_or_is_in_the_short_list(
    house: Sendonce, stranger: FlaskClient
) -> None:
    routes = routes_of(house)

    closed = [(method, path) for method, rule, path in routes if rule not in OPEN_TO_ALL]
    answers = {where: stranger.open(where[1], method=where[0]) for where in closed}

    assert len(closed) > 80
    assert {a.status_code for a in answers.values()} == {401}
    assert {a.headers["WWW-Authenticate"] for a in answers.values()} == {"Bearer"}
    assert {rule for _, rule, _ in routes} >= OPEN_TO_ALL


def test_a_viewer_in_a_browser_changes_nothing_by_any_form(house: Sendonce) -> None:
    viewer = signed_in(house, role=Role.VIEWER)
    token = viewer.token()
    forms = [
        (rule, path)
        for method, rule, path in routes_of(house)
        if method == "POST" and not rule.startswith("/api/") and rule not in OPEN_TO_ALL
    ]

    answers = {rule: viewer.post_raw(path, {"csrf_token": token}) for rule, path in forms}

    assert len(forms) > 10
    assert {rule for rule, answer in answers.items() if answer.status_code != 403} <= (
        SHOWS_TO_VIEWERS | OWN_AFFAIRS
    )


def test_a_form_without_its_token_does_nothing(house: Sendonce) -> None:
    admin = signed_in(house)
    forms = [
        (rule, path)
        for method, rule, path in routes_of(house)
        if method == "POST" and not rule.startswith("/api/") and not rule.startswith("/u/")
    ]

    answers = {rule: admin.post_raw(path, {}) for rule, path in forms}

    assert {rule: a.status_code for rule, a in answers.items() if a.status_code != 400} == {}


def test_the_api_takes_a_session_only_with_the_token_of_its_pages(house: Sendonce) -> None:
    admin = signed_in(house)

    forged = admin.client.post("/api/audiences", json={"name": "R"})
    own = admin.client.post(
        "/api/audiences", json={"name": "R"}, headers={"X-CSRF-Token": admin.token()}
    )

    assert (forged.status_code, own.status_code) == (400, 201)
    assert admin.client.get("/api/audiences").status_code == 200


def test_a_stranger_does_not_learn_which_calls_there_are(stranger: FlaskClient) -> None:
    assert stranger.get("/api/no-such-thing").status_code == 401
    assert stranger.put("/api/accounts").status_code == 401
    assert stranger.get("/api").status_code == 401


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic dGVzdA==",
        "Token x",
        "Bearer \xff",
        "x" * 9000,
    ],
)
def test_what_is_no_good_token_is_refused(stranger: FlaskClient, authorization: str) -> None:
    answer = stranger.get("/api/runs", headers={"Authorization": authorization})

    assert answer.status_code == 401
    assert answer.mimetype == "application/problem+json"


def test_a_viewer_reads_and_changes_nothing(house: Sendonce, stranger: FlaskClient) -> None:
    viewer = bearer(a_token(house, Role.VIEWER))

    assert stranger.get("/api/audiences", headers=viewer).status_code == 200
    refused = stranger.post("/api/audiences", headers=viewer, json={"name": "Readers"})
    assert refused.status_code == 403
    assert "editor" in refused.json["detail"]


def test_an_editor_makes_audiences_but_no_accounts(house: Sendonce, stranger: FlaskClient) -> None:
    editor = bearer(a_token(house, Role.EDITOR))

    assert stranger.post("/api/audiences", headers=editor, json={"name": "R"}).status_code == 201
    assert stranger.post("/api/accounts", headers=editor, json={}).status_code == 403
    assert stranger.get("/api/tokens", headers=editor).status_code == 403
    assert stranger.get("/api/users", headers=editor).status_code == 403


def test_a_revoked_token_opens_nothing(house: Sendonce, client: FlaskClient) -> None:
    made = client.post("/api/tokens", json={"name": "ci"}).json
    assert client.get("/api/runs", headers=bearer(made["token"])).status_code == 200

    client.delete(f"/api/tokens/{made['id']}")

    assert client.get("/api/runs", headers=bearer(made["token"])).status_code == 401


def test_an_expired_token_opens_nothing(house: Sendonce, stranger: FlaskClient) -> None:
    token = bearer(a_token(house, Role.ADMIN, good_for=timedelta(hours=1)))
    assert stranger.get("/api/runs", headers=token).status_code == 200

    house.clock.inner.advance(hours=2)

    assert stranger.get("/api/runs", headers=token).status_code == 401


def test_a_tokens_last_use_is_noted(house: Sendonce, client: FlaskClient) -> None:
    token = bearer(a_token(house, Role.VIEWER))

    client.get("/api/runs", headers=token)

    (known,) = client.get("/api/tokens").json["items"]
    assert known["last_used_at"] == "2026-03-02T08:00:00Z"


def test_the_secret_of_a_token_is_shown_once(client: FlaskClient) -> None:
    made = client.post("/api/tokens", json={"name": "ci", "role": "viewer"})

    assert made.status_code == 201
    assert made.json["token"].startswith("so_")
    assert made.json["token"] not in client.get("/api/tokens").text
