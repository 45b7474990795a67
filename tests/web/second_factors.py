"""Somebody whose sign-in takes a code: what the app on their phone knows, and does."""

import re
from datetime import timedelta

import pyotp

from assembly import Sendonce
from identity import second_factor, users
from tests.web.browser_client import PASSWORD, BrowserClient

SECURITY = "/settings/security"

_SEALED = re.compile(r'name="sealed" value="([^"]+)"')
_SECRET = re.compile(r'id="secret"[^>]*>([^<]+)<')


def app_for(house: Sendonce, user_id: int) -> str:
    """Switch a user's second factor on, as of a minute ago; return the secret that the app knows."""
    before = house.clock.unchecked() - timedelta(minutes=1)
    with house.database.write(durable=False) as tx:
        user = users.get(tx, user_id)
        sealed = second_factor.new_secret(house.key, user.id)
        secret = second_factor.from_form(house.key, user.id, sealed)
        code = pyotp.TOTP(secret).at(before)
        second_factor.switch_on(tx, user, secret, code, key=house.key, now=before)
    return secret


def code_of(house: Sendonce, secret: str) -> str:
    """Return what the app shows now."""
    return pyotp.TOTP(secret).at(house.clock.unchecked())


def switched_on(house: Sendonce, browser: BrowserClient) -> tuple[str, list[str]]:
    """Switch it on with the pages; return the secret and the recovery codes that they showed."""
    page = browser.get(f"{SECURITY}/second-factor").text
    secret = shown(page).replace(" ", "")
    fields = {"current": PASSWORD, "code": code_of(house, secret), "sealed": sealed_in(page)}
    answer = browser.post_form(f"{SECURITY}/second-factor", fields)
    assert answer.status_code == 200, answer.text
    return secret, shown(answer.text).split()


def sealed_in(page: str) -> str:
    found = _SEALED.search(page)
    assert found is not None
    return found[1]


def shown(page: str) -> str:
    """Return what a page shows once."""
    found = _SECRET.search(page)
    assert found is not None, page
    return found[1]
