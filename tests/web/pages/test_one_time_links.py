"""Links that work once: an admin makes them, the person who has them joins, or sets a new password."""

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import audit, one_time_links, tries, users
from identity.model import Role
from ops import first_start
from tests.house import a_house
from tests.web.browser_client import PASSWORD, BrowserClient, a_stranger, signed_in
from tests.web.second_factors import app_for, shown

HOST = "http://127.0.0.1:8025"
NEW = "quite another sentence"
BEN = "ben@example.com"


@pytest.fixture
def admin(house: Sendonce) -> BrowserClient:
    return signed_in(house)


@pytest.fixture
def ben(house: Sendonce, admin: BrowserClient) -> BrowserClient:
    """Sign in a second user, an editor."""
    with house.database.write(durable=False) as tx:
        users.create(tx, BEN, PASSWORD, Role.EDITOR, house.clock.now())
    browser = a_stranger(house)
    browser.post_form("/login", {"email": BEN, "password": PASSWORD})
    return browser


def invited(admin: BrowserClient, email: str = BEN, role: str = "editor") -> str:
    """Return where the link of a new invitation leads."""
    answer = admin.post_form("/settings/users/invite", {"email": email, "role": role})
    assert answer.status_code == 200, answer.text
    return shown(answer.text).removeprefix(HOST)


def reset_link(admin: BrowserClient, user_id: int = 2) -> str:
    answer = admin.post_form(f"/settings/users/{user_id}/reset-link")
    assert answer.status_code == 200, answer.text
    return shown(answer.text).removeprefix(HOST)


def can_sign_in(house: Sendonce, email: str, password: str) -> bool:
    answer = a_stranger(house).post_form("/login", {"email": email, "password": password})
    return answer.status_code == 303


def every_user(house: Sendonce) -> list[str]:
    with house.database.read() as tx:
        return [f"{user.email} {user.role}" for user in users.list_(tx)]


def test_who_is_invited_chooses_a_password_and_is_in(house: Sendonce, admin: BrowserClient) -> None:
    link = invited(admin)
    browser = a_stranger(house)

    asked = browser.get(link)
    answer = browser.post_form(link, {"password": NEW})

    assert "admin@example.com invites <strong>ben@example.com</strong> as editor" in asked.text
    assert (answer.status_code, answer.headers["Location"]) == (303, "/automation")
    assert "Role: editor" in browser.get("/automation").text
    assert can_sign_in(house, BEN, NEW)
    with house.database.read() as tx:
        joined = next(e.deed for e in audit.entries(tx, limit=9) if e.deed.action == "join")
    assert (joined.actor, joined.by, joined.object) == ("user:2", BEN, "user:2")


def test_looking_at_a_link_does_not_use_it_up(house: Sendonce, admin: BrowserClient) -> None:
    link = invited(admin)
    preview = a_stranger(house)

    for _ in range(30):
        assert preview.get(link).status_code == 200
    preview.client.head(link)

    assert a_stranger(house).post_form(link, {"password": NEW}).status_code == 303


def test_an_invitation_works_once(house: Sendonce, admin: BrowserClient) -> None:
    link = invited(admin)
    a_stranger(house).post_form(link, {"password": NEW})
    late = a_stranger(house)

    assert late.post_form(link, {"password": NEW}).status_code == 404
    assert "does not work any more" in late.get(link).text
    assert every_user(house) == ["admin@example.com admin", "ben@example.com editor"]


def test_a_password_that_is_refused_leaves_the_invitation(
    house: Sendonce, admin: BrowserClient
) -> None:
    link = invited(admin)
    browser = a_stranger(house)

    short = browser.post_form(link, {"password": "short"})
    easy = browser.post_form(link, {"password": "ben@example.com"})

    assert (short.status_code, easy.status_code) == (422, 422)
    assert "at least 12 characters" in short.text
    assert "somebody would guess" in easy.text
    assert browser.post_form(link, {"password": NEW}).status_code == 303


def test_an_invitation_is_over_after_seven_days(house: Sendonce, admin: BrowserClient) -> None:
    link = invited(admin)
    browser = a_stranger(house)
    house.clock.inner.advance(days=7)

    assert browser.get(link).status_code == 404
    assert browser.post_form(link, {"password": NEW}).status_code == 404
    assert len(every_user(house)) == 1


def test_open_invitations_are_listed_without_their_links_and_revoked(
    house: Sendonce, admin: BrowserClient
) -> None:
    link = invited(admin)
    page = admin.get("/settings/users").text

    answer = admin.post_form("/settings/users/invitations/1/revoke")

    assert "Open invitations" in page
    assert BEN in page
    assert link not in page
    assert answer.status_code == 303
    assert a_stranger(house).get(link).status_code == 404
    assert "Open invitations" not in admin.get("/settings/users").text
    assert admin.post_form("/settings/users/invitations/1/revoke").status_code == 404


def test_an_invitation_that_makes_no_sense_stands_in_its_form(admin: BrowserClient) -> None:
    wrong = admin.post_form("/settings/users/invite", {"email": "ben", "role": "king"})
    taken = admin.post_form(
        "/settings/users/invite", {"email": "ADMIN@example.com", "role": "admin"}
    )

    assert (wrong.status_code, taken.status_code) == (422, 409)
    assert 'id="email-error"' in wrong.text
    assert 'id="role-error"' in wrong.text
    assert "already" in taken.text


def test_who_was_made_a_user_otherwise_does_not_join_a_second_time(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    link = invited(admin)
    client.post("/api/users", json={"email": BEN, "password": PASSWORD, "role": "viewer"})

    answer = a_stranger(house).post_form(link, {"password": NEW})

    assert answer.status_code == 409
    assert can_sign_in(house, BEN, PASSWORD)
    assert not can_sign_in(house, BEN, NEW)


def test_a_reset_link_sets_a_new_password_and_ends_the_sessions(
    house: Sendonce, admin: BrowserClient, ben: BrowserClient
) -> None:
    link = reset_link(admin)
    browser = a_stranger(house)

    answer = browser.post_form(link, {"password": NEW})

    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")
    assert ben.get("/automation").status_code == 303
    assert browser.get("/automation").status_code == 303
    assert (can_sign_in(house, BEN, NEW), can_sign_in(house, BEN, PASSWORD)) == (True, False)
    with house.database.read() as tx:
        actions = [entry.deed.action for entry in audit.entries(tx, limit=20)]
    assert {"reset password", "make reset link"} <= set(actions)


def test_a_reset_link_works_once_and_for_a_day(
    house: Sendonce, admin: BrowserClient, ben: BrowserClient
) -> None:
    used, late = reset_link(admin), reset_link(admin, 1)
    browser = a_stranger(house)
    assert browser.get(used).status_code == 200
    browser.post_form(used, {"password": NEW})

    again = browser.post_form(used, {"password": "and one more sentence"})
    house.clock.inner.advance(hours=24)

    assert again.status_code == 404
    assert browser.post_form(late, {"password": NEW}).status_code == 404
    assert can_sign_in(house, BEN, NEW)


def test_a_reset_link_does_not_go_around_the_second_factor(
    house: Sendonce, admin: BrowserClient, ben: BrowserClient
) -> None:
    app_for(house, 2)
    browser = a_stranger(house)

    browser.post_form(reset_link(admin), {"password": NEW})
    answer = browser.post_form("/login", {"email": BEN, "password": NEW})

    assert answer.headers["Location"] == "/login/code"
    assert browser.get("/automation").status_code == 303


def test_a_link_is_for_nothing_else(house: Sendonce, admin: BrowserClient, ben: object) -> None:
    join, reset = invited(admin, "eve@example.com"), reset_link(admin)
    browser = a_stranger(house)

    for path in (join.replace("/join/", "/reset/"), reset.replace("/reset/", "/join/")):
        assert browser.post_form(path, {"password": NEW}).status_code == 404


def test_without_the_token_of_the_page_nothing_is_done(
    house: Sendonce, admin: BrowserClient
) -> None:
    link = invited(admin)

    assert a_stranger(house).post_raw(link, {"password": NEW}).status_code == 400

    assert len(every_user(house)) == 1


def test_links_are_not_guessed_without_waiting(house: Sendonce, admin: BrowserClient) -> None:
    link = invited(admin)
    browser = a_stranger(house)
    token = browser.token()
    for number in range(tries.MOST_OF_STRANGERS):
        if number % 2:
            assert browser.get(f"/join/guess{number}").status_code == 404
        else:
            fields = {"password": NEW, "csrf_token": token}
            assert browser.post_raw(f"/reset/guess{number}", fields).status_code == 404

    assert browser.get("/join/guess").status_code == 429
    assert browser.post_raw("/reset/guess", {"csrf_token": token}).status_code == 429
    # Others may come from the same address: who has a right link does not wait for those who guess.
    assert browser.get(link).status_code == 200
    assert browser.post_raw(link, {"password": NEW, "csrf_token": token}).status_code == 303


def test_who_came_by_the_link_of_the_first_start_becomes_a_user_first(house: Sendonce) -> None:
    first = a_stranger(house)
    first.get(first_start.link(house, "") or "")

    asked = first.get("/settings/users/invite")
    answer = first.post_form("/settings/users/invite", {"email": BEN, "role": "admin"})

    assert asked.headers["Location"] == "/settings/profile"
    assert answer.status_code == 409


def test_links_begin_with_the_public_address_whatever_host_a_request_names(tmp_path) -> None:
    with a_house(tmp_path, public_url="https://mail.example.com") as house:
        answer = signed_in(house).client.post(
            "/api/invitations",
            json={"email": BEN, "role": "viewer"},
            headers={"Host": "evil.example", "Authorization": "Bearer test-bootstrap-token"},
        )

    assert answer.json["link"].startswith("https://mail.example.com/join/")


def test_the_api_makes_lists_and_revokes_invitations(
    house: Sendonce, client: FlaskClient, admin: BrowserClient
) -> None:
    made = client.post("/api/invitations", json={"email": BEN}).json
    reset = client.post("/api/users/1/reset-link")

    assert (made["role"], made["made_by"]) == ("viewer", "the bootstrap token")
    assert made["link"].startswith(f"{HOST}/join/")
    assert reset.status_code == 201
    assert reset.json["link"].startswith(f"{HOST}/reset/")
    [listed] = client.get("/api/invitations").json["items"]
    assert listed == {name: made[name] for name in listed}
    assert "link" not in listed
    assert client.delete(f"/api/invitations/{made['id']}").status_code == 204
    assert client.delete(f"/api/invitations/{made['id']}").status_code == 404
    assert client.get("/api/invitations").json["items"] == []


def test_the_api_invites_nobody_to_be_the_first_user_who_is_no_admin(client: FlaskClient) -> None:
    refused = client.post("/api/invitations", json={"email": BEN, "role": "viewer"})
    taken = client.post("/api/invitations", json={"email": BEN, "role": "admin"})

    assert (refused.status_code, taken.status_code) == (422, 201)
    assert [e["field"] for e in refused.json["errors"]] == ["role"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_only_admins_hand_out_links(house: Sendonce, role: Role) -> None:
    browser = signed_in(house, role=role)

    for path in ("/settings/users/invite", "/settings/users/1/reset-link"):
        assert browser.post_form(path, {"email": BEN, "role": "admin"}).status_code == 403
    assert browser.get("/settings/users/invite").status_code == 403
    with house.database.read() as tx:
        assert one_time_links.invitations(tx, now=house.clock.now()) == []


def test_a_link_is_made_once_however_often_its_form_is_sent(
    house: Sendonce, admin: BrowserClient
) -> None:
    form = {
        "email": BEN,
        "role": "viewer",
        "idempotency_key": admin.key_in("/settings/users/invite"),
        "csrf_token": admin.token(),
    }

    first, again = (admin.post_raw("/settings/users/invite", form) for _ in range(2))

    assert shown(first.text) == shown(again.text)
    with house.database.read() as tx:
        assert len(one_time_links.invitations(tx, now=house.clock.now())) == 1


def test_a_script_finds_the_link_where_the_form_was(
    house: Sendonce, admin: BrowserClient, ben: object
) -> None:
    asked = (admin.get("/settings/users/invite").text, admin.get("/settings/users/2").text)

    invitation = admin.post_form("/settings/users/invite", {"email": "e@x.io", "role": "viewer"})
    reset = admin.post_form("/settings/users/2/reset-link")

    for form, page in (("invite-form", asked[0]), ("reset-link-form", asked[1])):
        assert f'id="{form}"' in page
    assert 'id="invite-form"' in invitation.text
    assert 'id="reset-link-form"' in reset.text
