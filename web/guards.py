"""Who may come in: with an API token, or signed in with a browser.

Every route wants a role, unless it says in so many words that it is open to all. What lets somebody in ends by the wall
clock, believed or not: what has expired must not open again while a jump of the clock is doubted.
"""

import hashlib
import hmac
from collections.abc import Callable
from typing import TypeVar

from flask import Flask, current_app, g, request

from foundation.errors import NotSignedIn, SendonceError
from foundation.log import log_for
from identity import tokens
from identity.model import Principal, Role
from identity.roles import require
from web import sessions
from web.current import the_house

log = log_for(__name__)

BOOTSTRAP = Principal(name="bootstrap", role=Role.ADMIN, label="the bootstrap token")

_ROLE = "sendonce_role"
_OPEN_TO_ALL = "open to all"

_HOW = (
    "This call needs an API token: send the header Authorization: Bearer TOKEN."
    " `python app.py token create NAME` makes one. In a browser, sign in."
)

View = TypeVar("View", bound=Callable[..., object])


def open_to_all(view: View) -> View:
    """Mark a view that anybody may open."""
    setattr(view, _ROLE, _OPEN_TO_ALL)
    return view


def for_role(view: View, role: Role) -> View:
    """Mark a view with the role that it needs."""
    setattr(view, _ROLE, role)
    return view


def is_declared(view: object) -> bool:
    """Say whether the view was marked: with a role, or as open to all."""
    return hasattr(view, _ROLE)


def role_of(view: object) -> Role | None:
    """Return the role that a view needs, None where it is open to all. One that was not marked is for admins."""
    role = getattr(view, _ROLE, Role.ADMIN)
    return None if role is _OPEN_TO_ALL else Role(role)


def install(app: Flask) -> None:
    """Let nobody through who may not come in."""
    app.before_request(_guard)


def _guard() -> None:
    role = _role_needed()
    if role is None:
        if "Authorization" not in request.headers and (found := sessions.current()):
            g.principal = found.principal  # whoever it is, a page that is open to all knows
        return
    g.principal = _who_asks()
    require(g.principal, role)


def is_still_let_in() -> bool:
    """Say whether whoever began this request would be let in now: an answer that goes on for long asks again."""
    g.pop("session_found", None)
    try:
        require(_who_asks(), g.principal.role)
    except SendonceError:
        return False
    return True


def _role_needed() -> Role | None:
    if request.endpoint is None:  # no such route: whoever has no token is not told which there are
        under_api = request.path == "/api" or request.path.startswith("/api/")
        return Role.VIEWER if under_api else None
    return role_of(current_app.view_functions[request.endpoint])


def _who_asks() -> Principal:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if not scheme:
        return _who_is_signed_in()
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise NotSignedIn(_HOW)
    house = the_house()
    expected = house.settings.bootstrap_token
    if expected is not None and _same(secret, expected):
        return BOOTSTRAP
    now = house.clock.unchecked()
    with house.database.read() as tx:
        principal = tokens.authenticate(tx, secret, now)
        is_untouched = principal is not None and tokens.needs_touch(tx, principal, now)
    if principal is None:
        raise NotSignedIn("The API token is unknown, expired or revoked. Make a new one.")
    if is_untouched:
        _touch(principal)
    return principal


def _who_is_signed_in() -> Principal:
    found = sessions.current()
    if found is None:
        raise NotSignedIn(_HOW)
    sessions.refuse_forged()
    return found.principal


def _touch(principal: Principal) -> None:
    house = the_house()
    try:
        with house.database.write(durable=False) as tx:
            tokens.touch(tx, principal, house.clock.unchecked())
    except SendonceError as error:  # a note for people; the request does not depend on it
        log.warning("token use not noted", principal=principal.name, why=error.message)


def _same(given: str, expected: str) -> bool:
    # Hashes have one length, so the time of the comparison says nothing about the secret.
    one, other = (
        hashlib.sha256(text.encode(errors="replace")).digest() for text in (given, expected)
    )
    return hmac.compare_digest(one, other)
