"""Links that work once: an invitation, by which somebody becomes a user, and a link to a new password.

An admin hands them over; nothing is sent. Opening one changes nothing, since programs that preview links open them too.
Of a link's secret only a hash is kept.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, insert, select

from foundation.errors import Conflict, NotFound
from identity import users
from identity.model import Role, User
from identity.tables import one_time_links as links
from identity.tokens import sha256_of
from mail.address import normalise
from storage.database import Tx


class Purpose(StrEnum):
    """What a link is for, as it is kept."""

    INVITATION = "invitation"
    PASSWORD = "password"  # noqa: S105 - a word, not a secret


GOOD_FOR = {Purpose.INVITATION: timedelta(days=7), Purpose.PASSWORD: timedelta(hours=24)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link, without its secret. role: what an invitation gives; user_id: whose password a link is to set."""

    id: int
    purpose: Purpose
    email: str
    role: Role | None
    user_id: int | None
    made_by: str
    created_at: datetime
    expires_at: datetime


def invite(tx: Tx, email: str, role: Role, *, made_by: str, now: datetime) -> tuple[Link, str]:
    """Make an invitation; return it and its secret. One that was open for this address is worth nothing any more.

    Raises Invalid, and Conflict where the address is a user's.
    """
    address = normalise(email)
    users.refuse_as_first(tx, role)
    if users.find(tx, email) is not None:
        raise Conflict(f"There is a user {address.written} already.")
    for open_one in invitations(tx, now=now):
        if normalise(open_one.email).key == address.key:
            revoke(tx, open_one.id)
    return _make(
        tx,
        Purpose.INVITATION,
        email=address.written,
        role=role,
        user_id=None,
        made_by=made_by,
        now=now,
    )


def to_new_password(tx: Tx, user: User, *, made_by: str, now: datetime) -> tuple[Link, str]:
    """Make a link to a new password; return it and its secret. An earlier one of the user is worth nothing any more.

    Raises Conflict where the user may not sign in.
    """
    if user.disabled:
        raise Conflict(f"{user.email} is disabled. Let them sign in again first.")
    tx.execute(delete(links).where(links.c.user_id == user.id))
    return _make(
        tx,
        Purpose.PASSWORD,
        email=user.email,
        role=None,
        user_id=user.id,
        made_by=made_by,
        now=now,
    )


def invitations(
    tx: Tx, *, now: datetime, after: int | None = None, limit: int | None = None
) -> list[Link]:
    """Return the invitations that are open, by id."""
    query = select(links).where(
        links.c.purpose == Purpose.INVITATION, links.c.expires_at > now, links.c.id > (after or 0)
    )
    return [_link(row) for row in tx.execute(query.order_by(links.c.id).limit(limit))]


def revoke(tx: Tx, link_id: int) -> Link:
    """Make an invitation worthless, and return what it was. Raises NotFound."""
    which = and_(links.c.id == link_id, links.c.purpose == Purpose.INVITATION)
    row = tx.execute(delete(links).where(which).returning(links)).one_or_none()
    if row is None:
        raise NotFound("This invitation was used or revoked, or there never was one.")
    return _link(row)


def find(tx: Tx, purpose: Purpose, secret: str, *, now: datetime) -> Link | None:
    """Return the link with this secret; None where it is unknown, used, revoked or over. It stays as it is."""
    row = tx.execute(select(links).where(_is(purpose, secret, now))).one_or_none()
    return None if row is None else _link(row)


def use(tx: Tx, purpose: Purpose, secret: str, *, now: datetime) -> Link | None:
    """Use the link with this secret up, and return it; None where find() would."""
    row = tx.execute(delete(links).where(_is(purpose, secret, now)).returning(links)).one_or_none()
    return None if row is None else _link(row)


def _is(purpose: Purpose, secret: str, now: datetime) -> ColumnElement[bool]:
    return and_(
        links.c.secret_sha256 == sha256_of(secret),
        links.c.purpose == purpose,
        links.c.expires_at > now,
    )


def _make(tx: Tx, purpose: Purpose, *, now: datetime, **values: Any) -> tuple[Link, str]:
    tx.execute(delete(links).where(links.c.expires_at <= now))
    secret = secrets.token_urlsafe(32)
    row = tx.execute(
        insert(links)
        .values(
            secret_sha256=sha256_of(secret),
            purpose=purpose,
            created_at=now,
            expires_at=now + GOOD_FOR[purpose],
            **values,
        )
        .returning(links)
    ).one()
    return _link(row), secret


def _link(row: Row[Any]) -> Link:
    return Link(
        id=row.id,
        purpose=Purpose(row.purpose),
        email=row.email,
        role=Role(row.role) if row.role else None,
        user_id=row.user_id,
        made_by=row.made_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
