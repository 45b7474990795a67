"""/settings/users: the people who can sign in. An admin makes them, and says what each may do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Response, request

from foundation.errors import Conflict, Invalid, SendonceError, Stale
from identity import one_time_links, users
from identity import sessions as kept_sessions
from identity.model import Role, User
from identity.one_time_links import Link
from identity.passwords import SHORTEST
from web import forms, sessions
from web.api import users as deeds
from web.api.users import NewUser, UserChanges, end_second_factor
from web.current import the_caller, the_house
from web.first_user import FIRST_YOU, comes_first
from web.forms import Filled
from web.page import Pages, go, show
from web.pages.settings import ROLES, SECTION, tabs
from web.paging import Page, next_cursor
from web.typed_passwords import as_typed

pages = Pages("settings-users")

PAGE = 50
HERE = "/settings/users"

_LABELS = {"email": "E-mail", "role": "Role", "password": "Password", "disabled": "Sign-in"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A user. seen_at: None where the user is signed in nowhere."""

    user: User
    seen_at: datetime | None
    is_me: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UsersPage:
    """The list, and the invitations that are open."""

    tabs: Sequence[dict[str, object]]
    rows: Sequence[UserRow]
    invitations: Sequence[Link]
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUserPage:
    """The form for a new user."""

    form: Filled
    roles: Sequence[tuple[str, str]]
    shortest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPage:
    """One user and three forms; what is wrong stands in the one that was sent."""

    user: User
    is_me: bool
    roles: Sequence[tuple[str, str]]
    shortest: int
    role_form: Filled
    password_form: Filled
    access_form: Filled


@pages.get("/settings/users", role=Role.ADMIN)
def list_users() -> Response:
    """List the users."""
    house = the_house()
    query = forms.checked(Page, request.args.to_dict())
    with house.database.read() as tx:
        found = users.list_(tx, after=query.key, limit=PAGE + 1)
        now = house.clock.unchecked()
        seen = kept_sessions.last_seen(tx, [user.id for user in found], now)
        invitations = one_time_links.invitations(tx, now=now)
    cursor = next_cursor(found, limit=PAGE, key=lambda user: user.id)
    page = UsersPage(
        tabs=tabs("Users"),
        rows=[
            UserRow(user=user, seen_at=seen.get(user.id), is_me=_is_me(user.id))
            for user in found[:PAGE]
        ],
        invitations=invitations,
        first=HERE if query.cursor else None,
        next=f"{HERE}?cursor={cursor}" if cursor else None,
    )
    return show("settings_users.html", page=page, section=SECTION)


@pages.get("/settings/users/new", role=Role.ADMIN)
def new() -> Response:
    """Show the form for a new user; who came by the link of the first start becomes one first."""
    if comes_first():
        return go("/settings/profile", say=FIRST_YOU)
    return _show_new(Filled(values={"role": Role.EDITOR}))


@pages.post("/settings/users/new", role=Role.ADMIN)
def create() -> Response:
    """Make a user."""
    if comes_first():
        raise Conflict(FIRST_YOU)
    house = the_house()
    given = {name: forms.text(name) for name in ("email", "password", "role")}
    try:
        body = forms.checked(NewUser, given)
        with house.database.write(durable=True) as tx:
            user = users.create(tx, body.email, body.password, body.role, house.clock.now())
            deeds.note_making(tx, user)
    except (Invalid, Conflict) as error:
        status = 422 if isinstance(error, Invalid) else 409
        return _show_new(as_typed(error, _LABELS, "password"), status=status)
    return go(
        f"{HERE}#u{user.id}",
        say=f"{user.email} can sign in. Tell them the password; they can change it in their profile.",
    )


@pages.get("/settings/users/<id:user_id>", role=Role.ADMIN)
def user(user_id: int) -> Response:
    """Show a user."""
    return _show(user_id)


@pages.post("/settings/users/<id:user_id>/role", role=Role.ADMIN)
def change_role(user_id: int) -> Response:
    """Give a user another role; where it is another one, sessions that began before end."""
    try:
        changed = _change(user_id, {"role": forms.text("role")})
    except (Invalid, Conflict, Stale) as error:
        return _show(user_id, role_form=forms.as_typed(error, _LABELS), error=error)
    is_lost = _is_me(user_id) and changed.role is not Role.ADMIN
    say = f"{changed.email} is {changed.role} now."
    return go("/settings/profile" if is_lost else f"{HERE}#u{user_id}", say=say)


@pages.post("/settings/users/<id:user_id>/password", role=Role.ADMIN)
def reset_password(user_id: int) -> Response:
    """Give a user another password; sessions that began before end."""
    try:
        changed = _change(user_id, {"password": forms.text("password")})
    except (Invalid, Stale) as error:
        return _show(user_id, password_form=as_typed(error, _LABELS, "password"), error=error)
    return go(f"{HERE}#u{user_id}", say=f"{changed.email} has a new password. Tell it to them.")


@pages.post("/settings/users/<id:user_id>/access", role=Role.ADMIN)
def change_access(user_id: int) -> Response:
    """Let a user sign in no more, or again."""
    try:
        changed = _change(user_id, {"disabled": forms.text("disabled") == "yes"})
    except (Conflict, Stale) as error:
        return _show(user_id, access_form=forms.as_typed(error, _LABELS), error=error)
    can = "can't sign in any more" if changed.disabled else "can sign in again"
    is_lost = _is_me(user_id) and changed.disabled
    return go("/login" if is_lost else f"{HERE}#u{user_id}", say=f"{changed.email} {can}.")


@pages.post("/settings/users/<id:user_id>/second-factor", role=Role.ADMIN)
def take_second_factor_away(user_id: int) -> Response:
    """Take another user's second factor away, whose phone is lost: the password alone lets them in then."""
    with the_house().database.write(durable=True) as tx:
        user = end_second_factor(tx, user_id)
    return go(f"{HERE}/{user_id}", say=f"{user.email} signs in with the password alone now.")


def _change(user_id: int, given: Mapping[str, Any]) -> User:
    house = the_house()
    body = forms.checked(UserChanges, given)
    with house.database.write(durable=True) as tx:
        before = users.get(tx, user_id)
        changed = deeds.change(tx, user_id, body, expected_version=forms.version())
        if _is_me(user_id) and changed.version != before.version:
            # A change ends the sessions that began before it; who makes it is not to be thrown out by it.
            if changed.disabled:
                sessions.end(tx)
            else:
                sessions.begin(tx, changed, house.clock.unchecked())
    return changed


def _is_me(user_id: int) -> bool:
    return the_caller().name == f"user:{user_id}"


def _show_new(form: Filled, *, status: int = 200) -> Response:
    page = NewUserPage(form=form, roles=ROLES, shortest=SHORTEST)
    return show("settings_user_new.html", status=status, page=page, section=SECTION)


def _show(
    user_id: int,
    *,
    role_form: Filled | None = None,
    password_form: Filled | None = None,
    access_form: Filled | None = None,
    error: SendonceError | None = None,
) -> Response:
    with the_house().database.read() as tx:
        found = users.get(tx, user_id)
    page = UserPage(
        user=found,
        is_me=_is_me(user_id),
        roles=ROLES,
        shortest=SHORTEST,
        role_form=role_form or Filled(values={"role": found.role}),
        password_form=password_form or Filled(values={}),
        access_form=access_form or Filled(values={}),
    )
    status = 200 if error is None else 422 if isinstance(error, Invalid) else 409
    return show("settings_user.html", status=status, page=page, section=SECTION)
