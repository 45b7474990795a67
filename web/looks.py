"""How a browser wants the dashboard: cookies of its own, no business of the server's.

The theme is applied by the server, so that no page flashes in the other one first; static/js/app.js reads the other.
"""

from datetime import timedelta

from flask import Response, current_app, request

THEME_COOKIE = "theme"
KEYS_COOKIE = "keys"
"""Set to KEYS_OFF where a single key is not to do anything (WCAG 2.1.4)."""
KEYS_OFF = "off"
THEMES = (("system", "As this device"), ("light", "Light"), ("dark", "Dark"))

_KEPT = timedelta(days=365)


def theme() -> str | None:
    """Return light or dark; None where the device decides. Anything else in the cookie is nothing."""
    chosen = request.cookies.get(THEME_COOKIE)
    return chosen if chosen in ("light", "dark") else None


def keys_are_on() -> bool:
    """Say whether single keys do something."""
    return request.cookies.get(KEYS_COOKIE) != KEYS_OFF


def remember(answer: Response, *, theme: str, keys: bool) -> Response:
    """Let the answer tell the browser what was chosen; what is as usual needs no cookie."""
    _set(answer, THEME_COOKIE, theme if theme in ("light", "dark") else None)
    _set(answer, KEYS_COOKIE, None if keys else KEYS_OFF)
    return answer


def _set(answer: Response, name: str, value: str | None) -> None:
    secure = current_app.session_interface.get_cookie_secure(current_app)
    if value is None:
        answer.delete_cookie(name, secure=secure, samesite="Lax")
    else:
        answer.set_cookie(name, value, max_age=_KEPT, secure=secure, samesite="Lax")
