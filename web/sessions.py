"""A browser's session: a signed cookie that holds the session's secret, what forms are protected with, and messages.

Whether the session is good is the database's to say (identity.sessions), in every process.
"""

from datetime import datetime
from urllib.parse import urlsplit

from flask import Flask, g, request, session
from flask.sessions import SecureCookieSessionInterface
from flask_wtf.csrf import generate_csrf, validate_csrf
from werkzeug.exceptions import BadRequest
from wtforms import ValidationError

from foundation.errors import SendonceError
from foundation.log import log_for
from identity import sessions
from identity.model import User
from identity.sessions import Place, Session
from storage.database import Tx
from web.current import the_house

log = log_for(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_SECRET = "sid"  # noqa: S105 - where in the cookie it is


def install(app: Flask) -> None:
    """Set the cookie up. Several installations on one host have a cookie each: ports don't part cookies."""
    house = app.extensions["sendonce"]
    app.secret_key = house.key.derive("session cookies")
    app.session_interface = _Cookies(house.public_url)
    app.config.update(
        SESSION_COOKIE_NAME="sendonce_" + house.key.derive("name of the cookie").hex()[:8],
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=sessions.IDLE,
        # A form is good as long as the session is.
        WTF_CSRF_TIME_LIMIT=None,
    )
    app.jinja_env.globals["csrf_token"] = generate_csrf


class _Cookies(SecureCookieSessionInterface):
    """Lets the cookie travel over https only, for who came by the public address and that is https.

    A proxy speaks http to us; whoever opens the server on its own machine has http too.
    """

    def __init__(self, public_url: str) -> None:
        public = urlsplit(public_url)
        self._secure_host = public.netloc if public.scheme == "https" else None

    def get_cookie_secure(self, app: Flask) -> bool:
        return self._secure_host is not None and request.host == self._secure_host


def current() -> Session | None:
    """Return the session of whoever asks; None where there is none that is good."""
    if "session_found" not in g:
        g.session_found = _look_up()
    found: Session | None = g.session_found
    return found


def begin(tx: Tx, user: User | None, now: datetime) -> None:
    """Let this browser in, with a new secret: whatever it brought along is worth nothing any more."""
    end(tx)
    session[_SECRET] = sessions.begin(tx, user, now, place=_place())
    session.permanent = True


def end(tx: Tx) -> None:
    """Sign this browser out."""
    secret = session.get(_SECRET)
    if isinstance(secret, str):
        sessions.end(tx, secret)
    session.clear()
    g.session_found = None


def refuse_forged() -> None:
    """Raise BadRequest unless the request brings what only our own pages know (its field or header csrf token)."""
    if request.method in SAFE_METHODS:
        return
    try:
        validate_csrf(request.headers.get("X-CSRF-Token") or request.form.get("csrf_token"))
    except ValidationError:
        raise BadRequest(
            "This form is from an earlier session, or not from this server. Nothing was done. Load the page again,"
            " then repeat it."
        ) from None


def _look_up() -> Session | None:
    secret = session.get(_SECRET)
    if not isinstance(secret, str):
        return None
    house = the_house()
    now = house.clock.unchecked()
    with house.database.read() as tx:
        found = sessions.authenticate(tx, secret, now)
    if found is not None and found.needs_touch:
        try:
            with house.database.write(durable=False) as tx:
                sessions.touch(tx, found, now, place=_place())
        except SendonceError as error:  # a note; the request does not depend on it
            log.warning("session use not noted", session=found.id, why=error.message)
    return found


def _place() -> Place:
    return Place(address=request.remote_addr, agent=request.user_agent.string or None)
