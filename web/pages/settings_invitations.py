"""/settings/users/invite: links that work once, by which people join, or set a new password.

We send nothing: an admin sees the link once, and hands it over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Response

from foundation.errors import Conflict, Invalid
from identity.model import Role
from identity.one_time_links import Link, Purpose
from web import forms
from web.api import invitations, users
from web.api.invitations import NewInvitation
from web.current import the_house
from web.first_user import FIRST_YOU, comes_first
from web.forms import Filled
from web.one_time_urls import address
from web.page import Pages, go, show
from web.pages.settings import ROLES, SECTION, THIS_MACHINE

pages = Pages("settings-invitations")

USERS = "/settings/users"

_LABELS = {"email": "E-mail", "role": "Role"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InvitePage:
    """The form."""

    form: Filled
    roles: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeLinkPage:
    """A link, shown this once. leads_here_only: nobody on another machine can open it."""

    link: Link
    address: str
    leads_here_only: bool


@pages.get("/settings/users/invite", role=Role.ADMIN)
def ask() -> Response:
    """Show the form; who came by the link of the first start becomes a user first."""
    if comes_first():
        return go("/settings/profile", say=FIRST_YOU)
    return _ask(Filled(values={"role": Role.EDITOR}))


@pages.post("/settings/users/invite", role=Role.ADMIN)
def invite() -> Response:
    """Make an invitation and show its link."""
    if comes_first():
        raise Conflict(FIRST_YOU)
    try:
        body = forms.checked(NewInvitation, {n: forms.text(n) for n in ("email", "role")})
        with the_house().database.write(durable=True) as tx:
            link, secret = invitations.make(tx, body)
    except (Invalid, Conflict) as error:
        return _ask(forms.as_typed(error, _LABELS), 422 if isinstance(error, Invalid) else 409)
    return _show_link(link, secret)


@pages.post("/settings/users/invitations/<id:link_id>/revoke", role=Role.ADMIN)
def revoke(link_id: int) -> Response:
    """Make an invitation worthless."""
    with the_house().database.write(durable=True) as tx:
        link = invitations.revoke(tx, link_id)
    return go(USERS, say=f"The invitation for {link.email} is revoked: its link opens nothing.")


@pages.post("/settings/users/<id:user_id>/reset-link", role=Role.ADMIN)
def make_reset_link(user_id: int) -> Response:
    """Make a link by which a user sets a new password, and show it."""
    with the_house().database.write(durable=True) as tx:
        link, secret = users.make_link(tx, user_id)
    return _show_link(link, secret)


def _ask(form: Filled, status: int = 200) -> Response:
    page = InvitePage(form=form, roles=ROLES)
    return show("settings_invite.html", status=status, page=page, section=SECTION)


def _show_link(link: Link, secret: str) -> Response:
    page = MadeLinkPage(
        link=link,
        address=address(link.purpose, secret),
        leads_here_only=urlsplit(the_house().public_url).hostname in THIS_MACHINE,
    )
    template = "invited" if link.purpose is Purpose.INVITATION else "reset_link"
    return show(f"settings_{template}.html", page=page, section=SECTION)
