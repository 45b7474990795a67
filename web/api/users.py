"""/api/users: the people who can sign in."""

from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from foundation.errors import Invalid
from identity import users
from identity.model import Role
from identity.passwords import LONGEST, SHORTEST, check
from web.current import the_house
from web.fields import NOT_GIVEN, Answer, Body, ById, Email, Id, Instant, Text, Truth
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.replays import expected_version

resource = Resource("users", "People who can sign in")


def _fit(password: str) -> str:
    try:
        check(password)
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
    return UserAnswer.model_validate(user)


@resource.patch("/api/users/<id:id>", UserAnswer, role=Role.ADMIN)
def change_user(path: ById, body: UserChanges) -> UserAnswer:
    """Give a user another role or password, disable one, or let one sign in again."""
    with the_house().database.write(durable=True) as tx:
        changed = users.change(tx, path.id, body.changes(), expected_version=expected_version())
    return UserAnswer.model_validate(changed)
