"""/api/users: the people who can sign in."""

from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema

from foundation.errors import Conflict, Invalid
from identity import one_time_links, second_factor, users
from identity.model import Role, User
from identity.one_time_links import Link, Purpose
from identity.passwords import LONGEST, SHORTEST, check
from storage.database import Tx
from web import audited
from web.current import caller_in_words, the_caller, the_house
from web.fields import NOT_GIVEN, Answer, Body, ById, Email, Id, Instant, Text, Truth, rfc3339
from web.one_time_urls import address
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.replays import expected_version

resource = Resource("users", "People who can sign in")


def _fit(password: str) -> str:
    try:
        check(password, email=None)  # the room looks once more, with the address
    except Invalid as error:
        raise ValueError(error.errors[0].message) from None
    return password


_Password = Annotated[
    Text,
    AfterValidator(_fit),
    WithJsonSchema({"type": "string", "minLength": SHORTEST, "maxLength": LONGEST}),
]


class NewUser(Body):
    """A person who is to sign in."""

    email: Email
    password: _Password
    role: Role = Role.VIEWER


class UserChanges(Body):
    """The fields to change; each change ends the sessions that began before."""

    role: Role = NOT_GIVEN
    disabled: Truth = NOT_GIVEN
    password: _Password = NOT_GIVEN


class UserAnswer(Answer):
    """A person who can sign in."""

    id: Id
    version: int
    email: str
    role: Role
    disabled: bool
    created_at: Instant
    second_factor: bool


class ResetLinkAnswer(Answer):
    """A link by which a user sets a new password: the only time that it is shown."""

    link: str
    expires_at: Instant


class UserList(Answer):
    """A page of users."""

    items: list[UserAnswer]
    next_cursor: str | None


@resource.get("/api/users", UserList, role=Role.ADMIN)
def list_users(query: Page) -> UserList:
    """List the users."""
    with the_house().database.read() as tx:
        found = users.list_(tx, after=query.key, limit=query.limit + 1)
    return UserList(
        items=[UserAnswer.model_validate(user) for user in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda user: user.id),
    )


@resource.post("/api/users", UserAnswer, status=201, role=Role.ADMIN)
def create_user(body: NewUser) -> UserAnswer:
    """Make a user."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        user = users.create(tx, body.email, body.password, body.role, house.clock.now())
        note_making(tx, user)
    return UserAnswer.model_validate(user)


@resource.patch("/api/users/<id:id>", UserAnswer, role=Role.ADMIN)
def change_user(path: ById, body: UserChanges) -> UserAnswer:
    """Give a user another role or password, disable one, or let one sign in again."""
    with the_house().database.write(durable=True) as tx:
        changed = change(tx, path.id, body, expected_version=expected_version())
    return UserAnswer.model_validate(changed)


def note_making(tx: Tx, user: User) -> None:
    """Note that a user was made."""
    audited.note(tx, "create", f"user:{user.id}", label=user.email, after=_told(user))


def change(tx: Tx, user_id: int, body: UserChanges, *, expected_version: int | None) -> User:
    """Change a user, and note what; raises what users.change does."""
    old = users.get(tx, user_id)
    new = users.change(tx, user_id, body.changes(), expected_version=expected_version)
    after = _told(new)
    if "password" in body.model_fields_set:
        after["password"] = "changed"  # noqa: S105 - says that it was, not what it is
    audited.note_change(tx, f"user:{user_id}", label=new.email, before=_told(old), after=after)
    return new


def _told(user: User) -> dict[str, Any]:
    return audited.told(UserAnswer.model_validate(user))


@resource.post("/api/users/<id:id>/reset-link", ResetLinkAnswer, status=201, role=Role.ADMIN)
def make_reset_link(path: ById) -> ResetLinkAnswer:
    """Make a link by which a user sets a new password: once, within 24 hours. An earlier one of the user ends."""
    with the_house().database.write(durable=True) as tx:
        link, secret = make_link(tx, path.id)
    return ResetLinkAnswer(link=address(Purpose.PASSWORD, secret), expires_at=link.expires_at)


@resource.delete("/api/users/<id:id>/second-factor", role=Role.ADMIN)
def take_second_factor_away(path: ById) -> None:
    """Let another user in with the password alone, whose phone is lost."""
    with the_house().database.write(durable=True) as tx:
        end_second_factor(tx, path.id)


def make_link(tx: Tx, user_id: int) -> tuple[Link, str]:
    """Make a link to a new password and note it; return it and its secret. Raises NotFound, Conflict."""
    user = users.get(tx, user_id)
    link, secret = one_time_links.to_new_password(
        tx, user, made_by=caller_in_words(), now=the_house().clock.unchecked()
    )
    after = {"expires_at": rfc3339(link.expires_at)}
    audited.note(tx, "make reset link", f"user:{user.id}", label=user.email, after=after)
    return link, secret


def end_second_factor(tx: Tx, user_id: int) -> User:
    """Take a second factor away, and note it. Raises NotFound, and Conflict where there is none or it is the caller's.

    Their own takes the password and a code: a session that somebody found open must not be enough.
    """
    if the_caller().name == f"user:{user_id}":
        raise Conflict("Switch your own second factor off under Settings, Security.")
    user = users.get(tx, user_id)
    second_factor.switch_off(tx, user.id)
    audited.note(tx, "take second factor away", f"user:{user.id}", label=user.email)
    return user
