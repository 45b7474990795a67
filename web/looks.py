"""How a browser wants the dashboard: cookies of its own, no business of the server's.

The server applies it as attributes of the page, so that no page flashes in another look first; the stylesheet and
static/js/app.js read them. What is as usual has no cookie, and a value that there is not is as usual.
"""

from datetime import timedelta

from flask import Response, current_app, request

THEME_COOKIE = "theme"
MOTION_COOKIE = "motion"
ROWS_COOKIE = "rows"
KEYS_COOKIE = "keys"
"""Set to KEYS_OFF where a single key is not to do anything (WCAG 2.1.4)."""
KEYS_OFF = "off"

THEMES = (("system", "As this device"), ("light", "Light"), ("dark", "Dark"))
MOTIONS = (("system", "As this device"), ("reduce", "Nothing moves"))
ROWS = (("comfortable", "Comfortable"), ("compact", "Compact"))

_CHOICES = {
    THEME_COOKIE: ("light", "dark"),
    MOTION_COOKIE: ("reduce",),
    ROWS_COOKIE: ("compact",),
}
_KEPT = timedelta(days=365)


def chosen(cookie: str) -> str | None:
    """Return what was chosen other than as usual: of the theme, the motion or the rows."""
    value = request.cookies.get(cookie)
    return value if value in _CHOICES[cookie] else None


def attributes() -> dict[str, str]:
    """Return what a page says of its look, for its first element."""
    values = {f"data-{cookie}": chosen(cookie) for cookie in _CHOICES}
    return {name: value for name, value in values.items() if value is not None}


def keys_are_on() -> bool:
    """Say whether single keys do something."""
    return request.cookies.get(KEYS_COOKIE) != KEYS_OFF


def remember(answer: Response, *, theme: str, motion: str, rows: str, keys: bool) -> Response:
    """Let the answer tell the browser what was chosen."""
    given = {THEME_COOKIE: theme, MOTION_COOKIE: motion, ROWS_COOKIE: rows}
    for cookie, value in given.items():
        keep(answer, cookie, value if value in _CHOICES[cookie] else None)
    return keep(answer, KEYS_COOKIE, None if keys else KEYS_OFF)


def keep(answer: Response, name: str, value: str | None) -> Response:
    """Let the answer set a cookie that scripts may read, for a year; None takes it away."""
    secure = current_app.session_interface.get_cookie_secure(current_app)
    if value is None:
        answer.delete_cookie(name, secure=secure, samesite="Lax")
    else:
        answer.set_cookie(name, value, max_age=_KEPT, secure=secure, samesite="Lax")
    return answer
