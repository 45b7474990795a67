"""SENDONCE_SECRET_KEY can be changed: what the old key sealed and signed goes on working beside the new one."""

from pathlib import Path

import pytest
from sqlalchemy import select, update

from accounts import store
from accounts.tables import accounts
from assembly import Sendonce
from audience.unsubscribe import make_token
from foundation.errors import Invalid
from identity import audit
from identity.tables import users
from ops.doctor import Finding, Verdict, diagnose
from storage.sealed import SecretKey
from tests.house import a_house, app_of, bearer, settings_for
from tests.web.browser_client import signed_in
from tests.web.given import an_account

OLD = "the key of before"
NEW = "the key of today, with a comma"
PASSWORD = "correct horse"
TOTP = "JBSWY3DPEHPK3PXP"


def live_under(folder: Path, *, key: str, old: str | None = None) -> None:
    """Start once, with these keys."""
    keys = {"secret_key": key} | ({"secret_key_old": old} if old else {})
    with a_house(folder, **keys):
        pass


def fill(house: Sendonce) -> str:
    """Make what is sealed and signed, and return an unsubscribe link's token."""
    client = app_of(house).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
    an_account(client, username="news", password=PASSWORD)
    client.post("/api/tokens", json={"name": "ci"}, headers={"Idempotency-Key": "once"})
    signed_in(house)
    with house.database.write(durable=False) as tx:
        tx.execute(update(users).values(totp_sealed=house.key.seal(TOTP)))
    return make_token(house.key, delivery_id=1, email="ann@example.com")


def sealed_in(house: Sendonce) -> tuple[bytes, bytes]:
    """Return a stored password and a second factor's secret, as they stand in the database."""
    with house.database.read() as tx:
        password = tx.execute(select(accounts.c.password_sealed).where(accounts.c.id == 2))
        totp = tx.execute(select(users.c.totp_sealed))
        return password.scalar_one(), totp.scalar_one()


def said_of_keys(folder: Path, **keys: str) -> list[Finding]:
    return [f for f in diagnose(settings_for(folder, **keys)) if f.what == "secret key"]


def test_a_start_with_both_keys_seals_everything_with_the_new_one(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        fill(house)

    live_under(tmp_path, key=NEW, old=OLD)

    with a_house(tmp_path, secret_key=NEW) as house:
        only_new = SecretKey(NEW.encode())
        assert [only_new.unseal(sealed) for sealed in sealed_in(house)] == [PASSWORD, TOTP]
        with house.database.read() as tx:
            account = store.get(tx, 2, house.key)
        assert (account.password, account.state_reason) == (PASSWORD, None)


def test_links_in_old_mails_work_as_long_as_the_old_key_is_there(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        token = fill(house)

    with a_house(tmp_path, secret_key=NEW, secret_key_old=OLD) as house:
        both = app_of(house).test_client().get(f"/u/{token}").status_code
        fresh = make_token(house.key, delivery_id=1, email="ann@example.com")
    with a_house(tmp_path, secret_key=NEW) as house:
        client = app_of(house).test_client()
        alone = [client.get(f"/u/{t}").status_code for t in (token, fresh)]

    assert (both, alone) == (200, [404, 200])


def test_a_repeat_of_before_the_change_is_answered_as_it_was(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        fill(house)

    with a_house(tmp_path, secret_key=NEW, secret_key_old=OLD) as house:
        client = app_of(house).test_client()
        once = {"Idempotency-Key": "once"} | bearer()
        again = client.post("/api/tokens", json={"name": "ci"}, headers=once)

    assert (again.status_code, again.json["name"]) == (201, "ci")


def test_a_session_of_the_old_key_has_ended(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        browser = signed_in(house)
        cookie = browser.client.get("/automation").request.headers["Cookie"]

    with a_house(tmp_path, secret_key=NEW, secret_key_old=OLD) as house:
        client = app_of(house).test_client(use_cookies=False)
        answer = client.get("/api/runs", headers={"Cookie": cookie})

    assert answer.status_code == 401


def test_doctor_says_when_the_old_key_can_go(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        fill(house)

    (forgotten,) = said_of_keys(tmp_path, secret_key=NEW)
    (before,) = said_of_keys(tmp_path, secret_key=NEW, secret_key_old=OLD)
    live_under(tmp_path, key=NEW, old=OLD)
    (after,) = said_of_keys(tmp_path, secret_key=NEW, secret_key_old=OLD)
    at_last = said_of_keys(tmp_path, secret_key=NEW)

    assert (forgotten.verdict, before.verdict) == (Verdict.WRONG, Verdict.WARNING)
    assert "still sealed with SENDONCE_SECRET_KEY_OLD" in before.says
    assert after.verdict is Verdict.OK
    assert "Nothing is sealed with SENDONCE_SECRET_KEY_OLD any more" in after.says
    assert at_last == []


def test_the_audit_log_is_whole_after_a_change_and_goes_on(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        fill(house)

    live_under(tmp_path, key=NEW, old=OLD)

    with a_house(tmp_path, secret_key=NEW) as house:
        headers = bearer()
        app_of(house).test_client().post("/api/audiences", json={"name": "News"}, headers=headers)
        with house.database.read() as tx:
            assert audit.first_fault(tx, house.key) is None
            assert audit.size(tx) > 2


def test_what_neither_key_opens_stays_as_it_is(tmp_path: Path) -> None:
    with a_house(tmp_path, secret_key=OLD) as house:
        fill(house)
        before = sealed_in(house)

    live_under(tmp_path, key=NEW, old="a third one, by mistake")

    with a_house(tmp_path, secret_key=OLD) as house:
        assert sealed_in(house) == before


def test_an_old_key_that_is_too_short_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="SENDONCE_SECRET_KEY_OLD: is too short"):
        settings_for(tmp_path, secret_key_old="short")


def test_settings_in_words_hold_no_secret(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, secret_key=NEW, secret_key_old=OLD)

    said = repr(settings)

    assert [secret in said for secret in (NEW, OLD, "test-bootstrap-token")] == [False] * 3
