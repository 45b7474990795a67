"""Pages: how a screen is declared and answered. Without a script it is all plain HTML and forms.

Our scripts send X-Fragment with a form and get the same HTML; where a redirect would lead stands in X-Leads-To then,
since a script can't see that of a redirect.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from flask import Blueprint, Response, flash, render_template, request
from werkzeug.urls import iri_to_uri

from identity.model import Role
from web.guards import for_role, open_to_all
from web.replays import LEADS_TO, changes_nothing

P = ParamSpec("P")
Shown = TypeVar("Shown", bound=Response | str)

FRAGMENT = "X-Fragment"


class Pages:
    """The screens about one thing. A handler returns HTML, or a Response."""

    def __init__(self, name: str) -> None:
        self.blueprint = Blueprint(f"{name} pages", __name__)

    def get(
        self, rule: str, *, role: Role | None = Role.VIEWER
    ) -> Callable[[Callable[P, Shown]], Callable[P, Shown]]:
        """Declare a page that shows something. role None: anybody may open it."""
        return self._declare("GET", rule, role, shows_only=False)

    def post(
        self, rule: str, *, role: Role | None = Role.EDITOR, shows_only: bool = False
    ) -> Callable[[Callable[P, Shown]], Callable[P, Shown]]:
        """Declare what a form does. shows_only: it changes nothing, so a repeat is answered anew."""
        return self._declare("POST", rule, role, shows_only=shows_only)

    def _declare(
        self, method: str, rule: str, role: Role | None, *, shows_only: bool
    ) -> Callable[[Callable[P, Shown]], Callable[P, Shown]]:
        def decorate(handler: Callable[P, Shown]) -> Callable[P, Shown]:
            if role is None:
                open_to_all(handler)
            else:
                for_role(handler, role)
            if shows_only:
                changes_nothing(handler)
            self.blueprint.add_url_rule(
                rule, f"{method} {handler.__name__}", handler, methods=[method]
            )
            return handler

        return decorate


def show(template: str, *, status: int = 200, **page: object) -> Response:
    """Return a page made from templates/pages/."""
    return Response(
        render_template(f"pages/{template}", **page), status=status, mimetype="text/html"
    )


def go(where: str, *, say: str | None = None) -> Response:
    """Lead to another page of ours, which then says this sentence once."""
    if say is not None:
        flash(say)
    where = iri_to_uri(where)  # a header holds no other characters
    if FRAGMENT in request.headers:
        return Response(status=200, headers={LEADS_TO: where}, mimetype="text/html")
    return Response(status=303, headers={"Location": where}, mimetype="text/html")


def is_ours(where: str | None) -> bool:
    """Say whether this is a path on this server: what a browser takes for another host's address is none."""
    return (
        bool(where)
        and str(where).startswith("/")
        and not str(where).startswith("//")
        and "\\" not in str(where)
        and str(where).isprintable()
    )
