"""Accounts: the list, connecting and changing one, its test, and what a role may do."""

from datetime import timedelta

import pytest
from flask.testing import FlaskClient

from accounts import presets, store, usage
from accounts.model import Account
from assembly import Sendonce
from identity.model import Role
from mail.outbox import list_outbox
from tests.mail.scripted_server import ScriptedServer
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, an_account, materialised
from web.pages.account_test import PIECE_ENDS

NEW = {
    "name": "Main SMTP",
    "host": "mail.example.com",
    "port": "587",
    "security": "starttls",
    "username": "news",
    "password": "correct horse",
    "from_email": "news@example.com",
    "from_name": "News",
    "reply_to": "",
    "max_connections": "4",
    "pipelining": "on",
    "rate_per_second": "2,5",
    "limit_per_hour": "",
    "limit_per_day": "500",
}


@pytest.fixture
def admin(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def kept(house: Sendonce, account_id: int = 2) -> Account:
    with house.database.read() as tx:
        return store.get(tx, account_id, house.key)


def box(page: str) -> str:
    """Say whether the box of pipelining is ticked."""
    return "checked" if 'name="pipelining" checked' in page else "not checked"


def how_many(house: Sendonce) -> int:
    with house.database.read() as tx:
        return len(store.names(tx))


def test_the_sandbox_says_that_nothing_leaves_this_machine(admin: BrowserClient) -> None:
    page = admin.get("/accounts")

    assert page.status_code == 200
    assert "nothing leaves this machine" in page.text
    assert "No mail server is connected" in page.text
    assert 'href="/accounts/new"' in page.text


def test_an_account_is_connected_and_its_test_offered(
    house: Sendonce, admin: BrowserClient
) -> None:
    answer = admin.post_form("/accounts/new", NEW)

    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts/2#test")
    account = kept(house)
    assert (account.host, account.password, account.rate_per_second) == (
        "mail.example.com",
        "correct horse",
        2.5,
    )
    assert (account.limit_per_hour, account.limit_per_day, account.reply_to) == (None, 500, None)
    page = admin.get("/accounts/2").text
    assert "mail.example.com:587" in page
    assert "0 of 500" in page
    assert "correct horse" not in page


def test_a_form_that_is_sent_twice_connects_one_account(
    house: Sendonce, admin: BrowserClient
) -> None:
    form = NEW | {"idempotency_key": admin.key_in("/accounts/new"), "csrf_token": admin.token()}

    answers = [admin.post_raw("/accounts/new", form) for _ in range(2)]

    assert {a.headers["Location"] for a in answers} == {"/accounts/2#test"}
    assert how_many(house) == 2


def test_mistakes_stand_in_the_form_and_the_password_does_not(
    house: Sendonce, admin: BrowserClient
) -> None:
    wrong = NEW | {"port": "many", "from_email": "nobody", "max_connections": "0"}

    answer = admin.post_form("/accounts/new", wrong)

    assert answer.status_code == 422
    assert 'value="many"' in answer.text
    assert 'value="mail.example.com"' in answer.text
    for field in ("port", "from_email", "max_connections", "password"):
        assert f'id="{field}-error"' in answer.text
    assert "correct horse" not in answer.text
    assert "Enter it again" in answer.text
    assert how_many(house) == 1


@pytest.mark.parametrize("preset", presets.PRESETS, ids=lambda preset: preset.key)
def test_a_preset_fills_in_the_server_and_says_what_it_wants(
    admin: BrowserClient, preset: presets.Preset
) -> None:
    page = admin.get("/accounts/new", query_string={"preset": preset.key}).text

    assert f'value="{preset.host}"' in page
    assert f'value="{preset.port}"' in page
    assert f'value="{preset.security}" checked' in page
    assert f'role="status">{preset.says}' in page
    assert 'name="username" type="text" value=""' in page


def test_a_preset_that_there_is_not_is_an_empty_form(admin: BrowserClient) -> None:
    page = admin.get("/accounts/new?preset=%3Cscript%3E")

    assert page.status_code == 200
    assert "<script>" not in page.text


def test_a_password_that_is_left_empty_stays(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/accounts/new", NEW)

    form = admin.get("/accounts/2/edit").text
    answer = admin.post_form("/accounts/2/edit", NEW | {"password": "", "port": "465"})

    assert "correct horse" not in form
    assert "Empty keeps the one that is stored" in form
    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts/2")
    assert (kept(house).port, kept(house).password) == (465, "correct horse")


def test_a_password_is_changed_or_removed(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/accounts/new", NEW)

    admin.post_form("/accounts/2/edit", NEW | {"password": " with blanks "})
    changed = kept(house).password
    admin.post_form("/accounts/2/edit", NEW | {"password": "", "remove_password": "on"})

    assert changed == " with blanks "
    assert kept(house).password is None
    assert "there is no password for news" in admin.get("/accounts/2").text


def test_a_password_that_would_travel_in_clear_is_warned_of(admin: BrowserClient) -> None:
    admin.post_form("/accounts/new", NEW | {"security": "none"})
    admin.post_form("/accounts/new", NEW | {"security": "none", "host": "127.0.0.1"})

    assert "travels in clear" in admin.get("/accounts/2").text
    assert "travels in clear" not in admin.get("/accounts/3").text


def test_pipelining_is_on_unless_its_box_is_unticked(house: Sendonce, admin: BrowserClient) -> None:
    new = admin.get("/accounts/new").text
    admin.post_form("/accounts/new", NEW)
    before = admin.get("/accounts/2").text
    unticked = {name: value for name, value in NEW.items() if name != "pipelining"}
    wrong = admin.post_form("/accounts/2/edit", unticked | {"password": "", "port": "many"}).text
    admin.post_form("/accounts/2/edit", unticked | {"password": ""})
    form = admin.get("/accounts/2/edit").text

    assert (box(new), box(wrong), box(form)) == ("checked", "not checked", "not checked")
    assert "Switch it off for a server that gets it wrong." in new
    assert "where the server offers it" in before
    assert (kept(house).pipelining, kept(house).version) == (False, 2)
    assert "off: one command at a time" in admin.get("/accounts/2").text
    assert '<details class="more" open>' in form
    assert '<details class="more">' in new


def test_an_edit_on_an_old_version_changes_nothing(house: Sendonce, admin: BrowserClient) -> None:
    admin.post_form("/accounts/new", NEW)
    admin.post_form("/accounts/2/edit", NEW | {"password": "", "name": "Second"})

    answer = admin.post_form(
        "/accounts/2/edit", NEW | {"password": "", "name": "Third", "version": "1"}
    )

    assert answer.status_code == 409
    assert "was changed meanwhile" in answer.text
    assert kept(house).name == "Second"


def test_the_sandbox_is_given_limits_and_keeps_its_server(
    house: Sendonce, admin: BrowserClient
) -> None:
    fields = {"name": "Sandbox", "from_email": "me@example.com", "max_connections": "2"}

    form = admin.get("/accounts/1/edit").text
    answer = admin.post_form("/accounts/1/edit", fields | {"host": "evil.example", "port": "25"})

    assert 'name="host"' not in form
    assert answer.status_code == 303
    assert (kept(house, 1).host, kept(house, 1).max_connections) == ("127.0.0.1", 2)


def test_an_account_that_a_campaign_uses_is_not_deleted(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    an_account(client)
    a_campaign(client, account_ids=[2])

    answer = admin.post_form("/accounts/2/delete")

    assert answer.status_code == 409
    assert "A campaign uses the account" in answer.text
    assert how_many(house) == 2


def test_an_account_that_nothing_uses_is_deleted(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    an_account(client)

    asked = admin.get("/accounts/2/delete")
    answer = admin.post_form("/accounts/2/delete", {"version": "1"})

    assert "Delete the account Relay" in asked.text
    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts")
    assert how_many(house) == 1
    assert admin.get("/accounts/2").status_code == 404


def test_the_sandbox_is_not_deleted_nor_one_that_a_run_needs(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    materialised(house, client)

    answer = admin.post_form("/accounts/1/delete")

    assert answer.status_code == 409
    assert "/accounts/1/delete" not in admin.get("/accounts/1").text


def test_a_paused_account_says_why_in_the_server_s_words_and_is_resumed(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    an_account(client)
    with house.database.write(durable=False) as tx:
        store.pause(tx, 2, "auth: 535 <b>no</b>")

    for path in ("/accounts", "/accounts/2"):
        page = admin.get(path).text
        assert "Paused" in page
        assert "auth: 535 &lt;b&gt;no&lt;/b&gt;" in page
        assert 'action="/accounts/2/resume"' in page
    answer = admin.post_form("/accounts/2/resume", {"from": "list"})

    assert answer.headers["Location"] == "/accounts"
    assert 'action="/accounts/2/resume"' not in admin.get("/accounts/2").text
    assert "Relay is used again." in a_page_after(admin, "/accounts/2/resume")


def a_page_after(admin: BrowserClient, path: str) -> str:
    return admin.get(admin.post_form(path).headers["Location"]).text


def test_a_failing_account_says_when_it_is_tried_again(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    an_account(client)
    until = house.clock.now() + timedelta(minutes=5)
    with house.database.write(durable=False) as tx:
        store.rest(tx, 2, "connect: refused", until)

    page = admin.get("/accounts/2").text

    assert "Failing" in page
    assert "in 5 min" in page
    assert "connect: refused" in page
    house.clock.inner.advance(minutes=5)
    assert "tried again with the next e-mail" in admin.get("/accounts/2").text


def test_an_account_at_its_limit_says_when_it_goes_on(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    an_account(client, limit_per_hour=3)
    with house.database.write(durable=False) as tx:
        usage.count(tx, 2, 3, house.clock.now())

    assert "Limit reached" in admin.get("/accounts").text
    page = admin.get("/accounts/2").text
    assert "3 of 3" in page
    assert "Mon 2 Mar 09:01 UTC" in page


def test_a_test_of_the_sandbox_shows_every_step_and_sends_one_mail(
    house: Sendonce, admin: BrowserClient
) -> None:
    answer = admin.post_form("/accounts/1/test", {"to": "you@example.org"})

    assert answer.status_code == 200
    assert "The account works" in answer.text
    for name in ("Connect", "Greeting", "EHLO", "Sender", "Recipient", "Send"):
        assert f'probe-name">{name}<' in answer.text
    assert "The server took one e-mail for you@example.org" in answer.text
    assert len(list_outbox(house.outbox, q=None, before=None, limit=5)) == 1
    with house.database.read() as tx:
        assert usage.used(tx, 1, house.clock.now()).hour == 1


def test_a_test_that_is_sent_twice_sends_one_mail(house: Sendonce, admin: BrowserClient) -> None:
    form = {
        "to": "you@example.org",
        "idempotency_key": "one rendering",
        "csrf_token": admin.token(),
    }

    answers = [admin.post_raw("/accounts/1/test", form) for _ in range(2)]

    assert [a.status_code for a in answers] == [200, 200]
    assert len(list_outbox(house.outbox, q=None, before=None, limit=5)) == 1


def test_the_step_that_failed_has_the_server_s_words_and_what_to_do(
    admin: BrowserClient, client: FlaskClient
) -> None:
    script = {
        "EHLO": [b"250-scripted\r\n250 AUTH PLAIN\r\n"],
        "AUTH": [b"535 5.7.8 <wrong>\r\n"],
    }
    with ScriptedServer(script) as server:
        an_account(client, host="127.0.0.1", port=server.port, username="me", password="secret")

        answer = admin.post_form("/accounts/2/test", {"to": "you@example.org"})

    assert answer.status_code == 200
    assert "The test failed" in answer.text
    assert "535 5.7.8 &lt;wrong&gt;" in answer.text
    assert "Many providers need an app password" in answer.text
    assert answer.text.count("not tried") == 4
    assert "No e-mail was sent by this test" in answer.text
    assert "secret" not in answer.text


def test_a_test_that_goes_well_ends_a_pause(
    house: Sendonce, admin: BrowserClient, client: FlaskClient
) -> None:
    with ScriptedServer() as server:
        an_account(client, host="127.0.0.1", port=server.port)
        with house.database.write(durable=False) as tx:
            store.pause(tx, 2, "auth: 535")

        answer = admin.post_form("/accounts/2/test")

    assert "The account works" in answer.text
    assert kept(house).state == "ok"


def test_an_address_that_is_none_is_said_before_anything_is_tried(admin: BrowserClient) -> None:
    answer = admin.post_form("/accounts/1/test", {"to": "nobody"})

    assert answer.status_code == 422
    assert 'id="to-error"' in answer.text
    assert "probe" not in answer.text


def test_the_address_of_a_result_leads_to_the_account(admin: BrowserClient) -> None:
    answer = admin.get("/accounts/1/test")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/accounts/1#test")


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_is_no_admin_sees_accounts_and_changes_nothing(house: Sendonce, role: Role) -> None:
    browser = signed_in(house, role=role)

    pages = browser.get("/accounts").text + browser.get("/accounts/1").text

    assert "Sandbox" in pages
    for absent in ("/accounts/new", "/edit", "/delete", "/test", "/resume"):
        assert absent not in pages
    for path in ("/accounts/new", "/accounts/1/edit", "/accounts/1/delete"):
        assert browser.get(path).status_code == 403
    for path in ("new", "1/edit", "1/delete", "1/test", "1/resume"):
        assert browser.post_form(f"/accounts/{path}", NEW).status_code == 403
    assert how_many(house) == 1


def test_a_name_is_shown_as_text(admin: BrowserClient, client: FlaskClient) -> None:
    an_account(client, name="<script>alert(1)</script>")

    for path in ("/accounts", "/accounts/2", "/accounts/2/edit", "/accounts/2/delete"):
        page = admin.get(path).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_many_accounts_come_in_pages(admin: BrowserClient, client: FlaskClient) -> None:
    for number in range(50):
        an_account(client, name=f"Relay {number}")

    first = admin.get("/accounts").text
    [cursor] = {part.split('"')[0] for part in first.split("/accounts?cursor=")[1:]}
    second = admin.get("/accounts", query_string={"cursor": cursor}).text

    assert "Relay 48<" in first
    assert "Relay 49<" not in first
    assert "Relay 49<" in second


def test_an_account_that_is_not_there_is_not_found(admin: BrowserClient) -> None:
    for path in ("/accounts/99", "/accounts/99/edit", "/accounts/99/delete"):
        assert admin.get(path).status_code == 404
    assert admin.post_form("/accounts/99/test").status_code == 404


def test_an_account_is_called_healthy_only_once_it_has_worked(
    house: Sendonce, client: FlaskClient, admin: BrowserClient
) -> None:
    account = an_account(client)["id"]
    untried = admin.get(f"/accounts/{account}").text
    with house.database.write(durable=False) as tx:
        store.note_worked(tx, account, house.clock.now())
    proven = admin.get(f"/accounts/{account}").text
    client.patch(f"/api/accounts/{account}", json={"host": "other.example.com"})
    changed = admin.get("/accounts").text

    assert "Not tried yet" in untried
    assert "Not tried yet" not in proven
    assert "Healthy" in proven
    assert "Not tried yet" in changed


def test_the_steps_of_a_test_come_as_they_end_and_the_page_at_last(admin: BrowserClient) -> None:
    answer = admin.post_form("/accounts/1/test/steps", {"to": "me@example.com"})

    *pieces, page = answer.text.split(PIECE_ENDS)
    assert "in work…" in pieces[0]
    assert len(pieces) > 5
    assert all("data-result" in piece for piece in pieces)
    assert "The account works" in page
    assert "The server took one e-mail for me@example.com." in page


def test_a_test_that_can_not_begin_says_why(admin: BrowserClient) -> None:
    answer = admin.post_form("/accounts/1/test/steps", {"to": "nobody"})

    assert answer.status_code == 422
    assert 'id="to-error"' in answer.text
