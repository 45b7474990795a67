"""Mistakes as application/problem+json (RFC 9457), or as a page for who asked with a browser.

The only place that turns an error into an answer.
"""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Flask, Response, g, redirect, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError

from foundation.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    NotSignedIn,
    SendonceError,
    Stale,
    TooLarge,
    TooMany,
    Unavailable,
)
from foundation.log import log_for
from storage.database import Refused
from web.fields import rfc3339

log = log_for(__name__)

_STATUS: dict[type[SendonceError], int] = {
    Invalid: 422,
    NotSignedIn: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Stale: 412,
    TooLarge: 413,
    TooMany: 429,
    Unavailable: 503,
}
_MOST_ERRORS_TOLD = 200

_SENTENCES = {
    404: "There is nothing at this address. /api/docs lists every call of the API, the navigation every page.",
    405: "This address does not know this method; the Allow header names those it knows.",
    413: "The body is larger than 16 MiB. Send it in parts.",
}


def problem(
    status: int,
    title: str,
    detail: str,
    *,
    kind: str | None = None,
    errors: Iterable[FieldError] = (),
    extra: dict[str, object] | None = None,
) -> Response:
    """Return the answer for a mistake. kind makes the problem's type; left out it is made from the title."""
    told = [{"field": e.field, "message": e.message} for e in errors][:_MOST_ERRORS_TOLD]
    if _wants_a_page():
        return _page(status, title, detail, errors=told, extra=extra or {})
    slug = (kind or title).lower().replace(" ", "-")
    # A member of our own never hides one that the RFC defines.
    members = (extra or {}) | {
        "type": f"urn:sendonce:problem:{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": told,
    }
    body = json.dumps(members, default=_as_json, ensure_ascii=False).encode(errors="replace")
    return Response(body, status=status, mimetype="application/problem+json")


def _wants_a_page() -> bool:
    return (
        (not request.path.startswith("/api/") or request.path == "/api/docs")
        and "text/html" in request.headers.get("Accept", "")
        and request.path not in ("/healthz", "/readyz", "/metrics")
    )


def _page(
    status: int,
    title: str,
    detail: str,
    *,
    errors: Sequence[Mapping[str, str]],
    extra: Mapping[str, object],
) -> Response:
    if status == 401 and request.method == "GET":
        where = request.full_path.removesuffix("?")
        return redirect("/login?" + urlencode({"next": where}), 303)  # type: ignore[return-value]  # ours
    page = render_template(
        "pages/problem.html",
        # Where a store can't be read, or the fault is ours, the less is asked for the better.
        with_shell="principal" in g and status < 500,
        status=status,
        title=title,
        detail=detail
        if status != 401
        else "Your session has ended. Nothing was done. Sign in, then repeat it.",
        errors=errors,
        reference=extra.get("reference"),
        run_id=extra.get("run_id"),
        back=request.path if request.method == "GET" and status >= 500 else _back(),
    )
    return Response(page, status=status, mimetype="text/html")


def _back() -> str:
    """Return the page that a form's address belongs to: /runs/7 for /runs/7/pause."""
    return request.path.rpartition("/")[0] or "/automation"


def _as_json(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def install(app: Flask) -> None:
    """Answer every error of this application with a problem."""
    app.register_error_handler(SendonceError, _known)
    app.register_error_handler(HTTPException, _of_http)
    app.register_error_handler(Refused, _refused)
    app.register_error_handler(Exception, _bug)


def _known(error: SendonceError) -> Response:
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    answer = problem(
        status,
        error.title,
        error.message,
        errors=error.errors if isinstance(error, Invalid) else (),
        extra=error.extra,
    )
    if answer.status_code == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        answer.headers["Retry-After"] = "5"
    return answer


def _of_http(error: HTTPException) -> Response:
    if isinstance(error, InternalServerError) and isinstance(error.original_exception, Exception):
        return _bug(error.original_exception)
    code = error.code or 500
    if error.response is not None:
        return error.response  # type: ignore[return-value]  # ours: made by this application's response class
    if code < 400:
        return error.get_response()  # type: ignore[return-value]  # the same
    title = HTTPStatus(code).phrase.capitalize()
    # Werkzeug's own sentences for 404 and the like speak of typing in a browser.
    ours = type(error).description != error.description
    detail = (error.description if ours else _SENTENCES.get(code)) or error.description or title
    answer = problem(code, title, detail)
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            answer.headers[name] = value
    return answer


def _refused(error: Refused) -> Response:
    # Rooms say their own sentence; this is for what came between their look and their write.
    log.warning("constraint refused a request", constraint=str(error.orig))
    return problem(
        409,
        Conflict.title,
        "It clashes with what somebody else has just changed. Read it again, then repeat the change.",
    )


def _bug(error: Exception) -> Response:
    reference = secrets.token_hex(4)
    log.error("request failed", reference=reference, exc_info=error)
    return problem(
        500,
        "Something went wrong here",
        f"This is a fault of Sendonce, not of the request. Its log has the trace under {reference}.",
        extra={"reference": reference},
    )
