"""The Flask application over one house: routes, guards, problems, headers."""

from pathlib import Path

from flask import Flask, Response, redirect
from jinja2 import StrictUndefined
from werkzeug.routing import IntegerConverter, Map
from werkzeug.routing import ValidationError as NoMatch

from assembly import Sendonce
from web import (
    assets,
    audited,
    guards,
    openapi,
    probes,
    problems,
    replays,
    sessions,
    shell,
    shown,
    unsubscribe,
)
from web.api import (
    accounts,
    attachments,
    audiences,
    audit,
    calendar,
    campaigns,
    docs,
    events,
    imports,
    invitations,
    outbox,
    recipients,
    runs,
    schedules,
    status,
    suppressions,
    tokens,
    users,
)
from web.fields import GREATEST_ID
from web.forms import fresh_key
from web.guards import open_to_all
from web.pages import PAGES

RESOURCES = (
    accounts.resource,
    audiences.resource,
    imports.resource,
    suppressions.resource,
    recipients.resource,
    campaigns.resource,
    attachments.resource,
    schedules.resource,
    calendar.resource,
    runs.resource,
    outbox.resource,
    tokens.resource,
    users.resource,
    invitations.resource,
    audit.resource,
    status.resource,
    events.resource,
)

_ROOT = Path(__file__).parent.parent
_FOR_DATA = "default-src 'none'; frame-ancestors 'none'"
_FOR_PAGES = "default-src 'self'; object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"


class IdConverter(IntegerConverter):
    """An id in a path: a whole number as we write it, of at most 64 bits. Anything else is a 404."""

    regex = r"[1-9][0-9]{0,18}"

    def to_python(self, value: str) -> int:
        number = int(value)
        if number > GREATEST_ID:
            raise NoMatch
        return number


def build_flask(sendonce: Sendonce) -> Flask:
    """Return the WSGI application that answers from this house."""
    app = openapi.App(
        "sendonce",
        root_path=str(_ROOT),
        template_folder="templates",
        static_folder=None,
    )
    app.extensions["sendonce"] = sendonce
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals["fresh_key"] = fresh_key
    _set_up_routing(app.url_map)
    assets.install(app)
    shown.install(app)
    shell.install(app)
    problems.install(app)
    sessions.install(app)
    audited.install(app)
    guards.install(app)
    openapi.install(app)
    replays.install(app)
    events.install(app)
    app.after_request(_add_headers)
    for resource in RESOURCES:
        app.register_api(resource.blueprint)
    app.register_blueprint(docs.blueprint)
    app.register_blueprint(probes.blueprint)
    app.register_blueprint(unsubscribe.blueprint)
    for page in PAGES:
        app.register_blueprint(page.blueprint)
    app.add_url_rule("/", view_func=_home)
    return app


def _set_up_routing(url_map: Map) -> None:
    url_map.converters["id"] = IdConverter
    # A path means one thing or nothing: no redirects that drop a body or lead elsewhere.
    url_map.strict_slashes = True
    url_map.redirect_defaults = False
    url_map.merge_slashes = False


@open_to_all
def _home() -> Response:
    return redirect("/automation", 303)  # type: ignore[return-value]  # of our own class


def _add_headers(answer: Response) -> Response:
    is_page = answer.mimetype == "text/html"
    headers = answer.headers
    headers.setdefault("Content-Security-Policy", _FOR_PAGES if is_page else _FOR_DATA)
    headers["X-Content-Type-Options"] = "nosniff"
    headers.setdefault("X-Frame-Options", "DENY")
    # The address of an unsubscribe page holds a token: no other site is to learn it.
    headers["Referrer-Policy"] = "no-referrer"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-store")
    return answer
