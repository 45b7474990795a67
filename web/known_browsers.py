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
    browser, _, mark = request.cookies.get(_cookie(), "").partition(".")
    # Bytes: a cookie may hold anything, and texts that are not ASCII can't be compared.
    is_ours = hmac.compare_digest(mark.encode(), _mark(user.id, browser).encode())
    return browser if is_ours else None


def remember(answer: Response, user_id: int) -> Response:
    """Let the answer tell the browser that this user has signed in with it."""
    browser = secrets.token_urlsafe(16)
    answer.set_cookie(
        _cookie(),
        f"{browser}.{_mark(user_id, browser)}",
        max_age=_KEPT,
        secure=current_app.session_interface.get_cookie_secure(current_app),
        httponly=True,
        samesite="Lax",
    )
    return answer


def _cookie() -> str:
    return f"{current_app.config['SESSION_COOKIE_NAME']}_known"


def _mark(user_id: int, browser: str) -> str:
    key = the_house().key.derive("known browsers")
    return hmac.digest(key, f"{user_id} {browser}".encode(errors="replace"), "sha256").hex()
