"""/api/tokens: who may call this API. A secret is shown once, when its token is made."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from identity import tokens
from identity.model import Role, Token
from storage.database import Tx
from web import audited
from web.current import the_house
from web.fields import Answer, Body, ById, Id, Instant, InstantIn, Line
from web.openapi import Resource
from web.paging import Page, next_cursor

resource = Resource("tokens", "API tokens")


class NewToken(Body):
    """A token to make."""

    name: Annotated[Line, Field(min_length=1, max_length=100)]
    role: Role = Role.ADMIN
    expires_at: InstantIn | None = None


class TokenAnswer(Answer):
    """A token, without its secret."""

    id: Id
    name: str
    role: Role
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_at: Instant | None


class NewTokenAnswer(TokenAnswer):
    """A token that was just made: the only time that its secret is shown."""

    token: str


class TokenList(Answer):
    """A page of tokens, the revoked and expired ones too."""

    items: list[TokenAnswer]
    next_cursor: str | None


@resource.get("/api/tokens", TokenList, role=Role.ADMIN)
def list_tokens(query: Page) -> TokenList:
    """List the tokens."""
    with the_house().database.read() as tx:
        found = tokens.list_(tx, after=query.key, limit=query.limit + 1)
    return TokenList(
        items=[TokenAnswer.model_validate(token) for token in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda token: token.id),
    )


@resource.post("/api/tokens", NewTokenAnswer, status=201, role=Role.ADMIN)
def create_token(body: NewToken) -> NewTokenAnswer:
    """Make a token and show its secret, this once."""
    house = the_house()
    expires_at: datetime | None = body.expires_at
    with house.database.write(durable=True) as tx:
        token, secret = tokens.create(
            tx, body.name, body.role, now=house.clock.now(), expires_at=expires_at
        )
        note_making(tx, token)
    return _with_secret(token, secret)


@resource.delete("/api/tokens/<id:id>", role=Role.ADMIN)
def revoke_token(path: ById) -> None:
    """Make a token worthless from now on."""
    with the_house().database.write(durable=True) as tx:
        revoke(tx, path.id)


def note_making(tx: Tx, token: Token) -> None:
    """Note that a token was made; its secret stands nowhere."""
    audited.note(tx, "create", f"token:{token.id}", label=token.name, after=_told(token))


def revoke(tx: Tx, token_id: int) -> None:
    """Make a token worthless from now on, and note it. Raises NotFound."""
    token = tokens.get(tx, token_id)
    tokens.revoke(tx, token_id, now=the_house().clock.now())
    audited.note(tx, "revoke", f"token:{token_id}", label=token.name, before=_told(token))


def _told(token: Token) -> dict[str, object]:
    expires_at = token.expires_at.isoformat() if token.expires_at else None
    return {"name": token.name, "role": str(token.role), "expires_at": expires_at}


def _with_secret(token: Token, secret: str) -> NewTokenAnswer:
    told = TokenAnswer.model_validate(token)
    return NewTokenAnswer(**dict(told), token=secret)
