"""API tokens. A secret is shown once, when it is made; only its hash is kept.

The secrets are 256 random bits, so a plain hash is enough: there is nothing to guess, and looking one up by its hash
tells nothing by the time it takes.
"""

import hashlib
import secrets
import unicodedata
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, update

from foundation.errors import Conflict, Invalid, NotFound
from identity.model import Principal, Role, Token
from identity.tables import tokens
from storage.database import Tx

PREFIX = "so_"

_LONGEST_NAME = 100
_TOUCH_EVERY = timedelta(minutes=1)
_PRINCIPAL = "token:"


def create(
    tx: Tx, name: str, role: Role, *, now: datetime, expires_at: datetime | None
) -> tuple[Token, str]:
    """Make a token; return it and its secret, which can't be had again.

    Raises Invalid, and Conflict when a token of that name is still good.
    """
    name = _checked_name(name)
    if expires_at is not None and expires_at <= now:
        raise Invalid.field("expires_at", "is past; a token must be good for some time")
    good = tx.execute(select(tokens.c.id).where(tokens.c.name == name, _is_good(now)).limit(1))
    if good.first() is not None:
        raise Conflict(
            f'There is a token "{name}" already. Revoke it first, or choose another name.'
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    row = tx.execute(
        insert(tokens)
        .values(
            name=name,
            secret_sha256=sha256_of(secret),
            role=role,
            created_at=now,
            expires_at=expires_at,
        )
        .returning(tokens)
    ).one()
    return _token(row), secret


def list_(tx: Tx, *, after: int | None = None, limit: int | None = None) -> list[Token]:
    """Return the tokens by id, the revoked and expired ones too."""
    rows = tx.execute(
        select(tokens).where(tokens.c.id > (after or 0)).order_by(tokens.c.id).limit(limit)
    )
    return [_token(row) for row in rows]


def get(tx: Tx, token_id: int) -> Token:
    """Return a token. Raises NotFound."""
    row = tx.execute(select(tokens).where(tokens.c.id == token_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no token {token_id}.")
    return _token(row)


def is_good(token: Token, now: datetime) -> bool:
    """Say whether whoever holds the token's secret is let in."""
    return token.revoked_at is None and (token.expires_at is None or token.expires_at > now)


def revoke(tx: Tx, name_or_id: str | int, *, now: datetime) -> list[Token]:
    """Make a token worthless from now on. A text is a name; where no token has that name it may be an id.

    Returns what was revoked: earlier ones of that name too. Raises NotFound when there is none that was not revoked
    before.
    """
    revoked: list[Token] = []
    if isinstance(name_or_id, str):
        revoked = _revoke_where(tx, tokens.c.name == name_or_id, now)
    if not revoked and _is_id(name_or_id):
        revoked = _revoke_where(tx, tokens.c.id == int(name_or_id), now)
    if revoked:
        return revoked
    which = f'"{name_or_id}"' if isinstance(name_or_id, str) else str(name_or_id)
    raise NotFound(f"There is no token {which}, or it was revoked already.")


def authenticate(tx: Tx, secret: str, now: datetime) -> Principal | None:
    """Return who holds this secret; None when it is unknown, expired or revoked."""
    row = tx.execute(
        select(tokens).where(tokens.c.secret_sha256 == sha256_of(secret), _is_good(now))
    ).one_or_none()
    if row is None:
        return None
    return Principal(
        name=f"{_PRINCIPAL}{row.id}", role=Role(row.role), label=f'the token "{row.name}"'
    )


def needs_touch(tx: Tx, principal: Principal, now: datetime) -> bool:
    """Say whether the last use that is noted of the caller's token is more than a minute old."""
    token_id = _token_id(principal)
    if token_id is None:
        return False
    return tx.execute(select(tokens.c.id).where(_is_untouched(token_id, now))).first() is not None


def touch(tx: Tx, principal: Principal, now: datetime) -> None:
    """Note that the caller's token was used, at most once a minute."""
    token_id = _token_id(principal)
    if token_id is not None:
        tx.execute(update(tokens).where(_is_untouched(token_id, now)).values(last_used_at=now))


def _checked_name(name: str) -> str:
    name = name.strip(" ")
    if not name:
        raise Invalid.field("name", "must not be empty; say what the token is for")
    if len(name) > _LONGEST_NAME:
        raise Invalid.field("name", f"has {len(name)} characters; at most {_LONGEST_NAME} fit")
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        raise Invalid.field("name", "must be one line without control characters")
    return name


def sha256_of(secret: str) -> str:
    """Return what is kept of a secret of ours."""
    # A secret of ours is ASCII; whatever else comes in must find nothing, not fail.
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _is_good(now: datetime) -> ColumnElement[bool]:
    return and_(
        tokens.c.revoked_at.is_(None), or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now)
    )


def _is_untouched(token_id: int, now: datetime) -> ColumnElement[bool]:
    last = tokens.c.last_used_at
    return and_(tokens.c.id == token_id, or_(last.is_(None), last <= now - _TOUCH_EVERY))


def _is_id(name_or_id: str | int) -> bool:
    text = str(name_or_id)
    return text.isdecimal() and len(text) <= 18  # what fits into the database's integers


def _revoke_where(tx: Tx, which: ColumnElement[bool], now: datetime) -> list[Token]:
    good = update(tokens).where(which, tokens.c.revoked_at.is_(None))
    return [_token(row) for row in tx.execute(good.values(revoked_at=now).returning(tokens))]


def _token_id(principal: Principal) -> int | None:
    kind, _, number = principal.name.partition(":")
    return int(number) if f"{kind}:" == _PRINCIPAL else None


def _token(row: Row[Any]) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        role=Role(row.role),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
