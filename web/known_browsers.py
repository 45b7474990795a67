"""Browsers that somebody has signed in with: a signed cookie that outlives the session and lets nobody in.

Who has one is kept waiting by their own mistakes alone (identity.tries), not by a stranger's who tries their address.
"""

import hmac
import secrets
from datetime import timedelta

from flask import Response, current_app, request

from identity.model import User
from web.current import the_house

_KEPT = timedelta(days=365)


def known_as(user: User) -> str | None:
    """Return the name of this browser if the user has signed in with it before."""
    return _known(user, by_code=False) or _known(user, by_code=True)


def known_by_code_as(user: User) -> str | None:
    """Return the name of this browser if the user has signed in with it by a code of the second factor too.

    Whoever knew the password before there was a second factor may have signed in as often as they liked: each time as
    another browser, and each would have tries of its own at the codes.
    """
    return _known(user, by_code=True)


def remember(answer: Response, user_id: int, *, by_code: bool = False) -> Response:
    """Let the answer tell the browser that this user has signed in with it."""
    browser = secrets.token_urlsafe(16)
    answer.set_cookie(
        _cookie(),
        f"{browser}.{_mark(user_id, browser, by_code=by_code)}",
        max_age=_KEPT,
        secure=current_app.session_interface.get_cookie_secure(current_app),
        httponly=True,
        samesite="Lax",
    )
    return answer


def _known(user: User, *, by_code: bool) -> str | None:
    browser, _, mark = request.cookies.get(_cookie(), "").partition(".")
    # Bytes: a cookie may hold anything, and texts that are not ASCII can't be compared.
    ours = _mark(user.id, browser, by_code=by_code)
    return browser if hmac.compare_digest(mark.encode(), ours.encode()) else None


def _cookie() -> str:
    return f"{current_app.config['SESSION_COOKIE_NAME']}_known"


def _mark(user_id: int, browser: str, *, by_code: bool) -> str:
    key = the_house().key.derive("known browsers by code" if by_code else "known browsers")
    return hmac.digest(key, f"{user_id} {browser}".encode(errors="replace"), "sha256").hex()
