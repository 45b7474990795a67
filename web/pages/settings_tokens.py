"""/settings/tokens: who may call the API. A secret is shown once, in the answer to the form that made it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from flask import Response, request
from pydantic import Field

from foundation.errors import Conflict, FieldError, Invalid
from identity import tokens
from identity.model import Role, Token
from web import forms
from web.api import tokens as deeds
from web.api.tokens import NewToken
from web.audited import nothing_to_note
from web.current import the_house
from web.fields import Body, Whole, rfc3339
from web.forms import Filled
from web.page import Pages, go, show
from web.pages.settings import ROLES, SECTION, tabs
from web.paging import Page, next_cursor

pages = Pages("settings-tokens")

PAGE = 50
HERE = "/settings/tokens"

_LABELS = {"name": "Name", "role": "Role", "days": "Good for, in days", "expires_at": "Good for"}


class _Days(Body):
    """For how long a token is good: what the command line takes, too."""

    days: Whole | None = Field(None, ge=1, le=36_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """A token. state: good, expired or revoked."""

    token: Token
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensPage:
    """The list."""

    tabs: Sequence[dict[str, object]]
    rows: Sequence[TokenRow]
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTokenPage:
    """The form; once a token is made, that and its secret instead."""

    form: Filled
    roles: Sequence[tuple[str, str]]
    made: Token | None
    secret: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokePage:
    """What is about to be revoked."""

    token: Token


@pages.get("/settings/tokens", role=Role.ADMIN)
def list_tokens() -> Response:
    """List the tokens."""
    house = the_house()
    query = forms.checked(Page, request.args.to_dict())
    with house.database.read() as tx:
        found = tokens.list_(tx, after=query.key, limit=PAGE + 1)
    cursor = next_cursor(found, limit=PAGE, key=lambda token: token.id)
    page = TokensPage(
        tabs=tabs("Tokens"),
        rows=[TokenRow(token=token, state=_state(token)) for token in found[:PAGE]],
        first=HERE if query.cursor else None,
        next=f"{HERE}?cursor={cursor}" if cursor else None,
    )
    return show("settings_tokens.html", page=page, section=SECTION)


@pages.get("/settings/tokens/new", role=Role.ADMIN)
def new() -> Response:
    """Show the form for a new token."""
    return _show_new(Filled(values={"role": Role.VIEWER}))


@pages.post("/settings/tokens/new", role=Role.ADMIN)
def create() -> Response:
    """Make a token and show its secret, this once."""
    house = the_house()
    try:
        body = _checked()
        with house.database.write(durable=True) as tx:
            token, secret = tokens.create(
                tx, body.name, body.role, now=house.clock.now(), expires_at=body.expires_at
            )
            deeds.note_making(tx, token)
    except (Invalid, Conflict) as error:
        status = 422 if isinstance(error, Invalid) else 409
        return _show_new(forms.as_typed(error, _LABELS), status=status)
    return _show_new(Filled(values={}), made=token, secret=secret)


@pages.get("/settings/tokens/<id:token_id>/revoke", role=Role.ADMIN)
def ask_revoke(token_id: int) -> Response:
    """Say what revoking means."""
    with the_house().database.read() as tx:
        page = RevokePage(token=tokens.get(tx, token_id))
    return show("settings_token_revoke.html", page=page, section=SECTION)


@pages.post("/settings/tokens/<id:token_id>/revoke", role=Role.ADMIN)
def revoke(token_id: int) -> Response:
    """Make a token worthless from now on."""
    with the_house().database.write(durable=True) as tx:
        token = tokens.get(tx, token_id)
        if token.revoked_at is None:
            deeds.revoke(tx, token_id)
        else:
            nothing_to_note()
    return go(f"{HERE}#t{token_id}", say=f"The token {token.name} is revoked: it opens nothing.")


def _checked() -> NewToken:
    """Return the token that is wanted. Raises Invalid with all that is wrong."""
    wrong: list[FieldError] = []
    given: dict[str, object] = {"name": forms.text("name").strip(), "role": forms.text("role")}
    try:
        days = forms.checked(_Days, {"days": forms.whole("days")}).days
        if days is not None:
            given["expires_at"] = rfc3339(the_house().clock.unchecked() + timedelta(days=days))
    except Invalid as error:
        wrong += error.errors
    try:
        body = forms.checked(NewToken, given)
    except Invalid as error:
        raise Invalid([*error.errors, *wrong]) from None
    if wrong:
        raise Invalid(wrong)
    return body


def _state(token: Token) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "good" if tokens.is_good(token, the_house().clock.unchecked()) else "expired"


def _show_new(
    form: Filled, *, made: Token | None = None, secret: str | None = None, status: int = 200
) -> Response:
    page = NewTokenPage(form=form, roles=ROLES, made=made, secret=secret)
    return show("settings_token_new.html", status=status, page=page, section=SECTION)
