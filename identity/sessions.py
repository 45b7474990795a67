"""Sessions: what a browser has once somebody signed in. Only a hash of a session's secret is kept.

A session ends by signing out, after two weeks in which nobody used it, when its user changes (password, role,
disabled), and, where the one-time link of the first start began it, with the first user.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, insert, select, update

from identity.model import Principal, Role, User
from identity.tables import sessions, users
from identity.tokens import sha256_of
from storage.database import Tx

IDLE = timedelta(days=14)

_TOUCH_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that is good. user_id is None while there is no user: it was begun by the one-time link."""

    id: int
    principal: Principal
    user_id: int | None
    needs_touch: bool


def begin(tx: Tx, user: User | None, now: datetime) -> str:
    """Begin a session and return its secret, which can't be had again. Forgets those that have ended by idling."""
    tx.execute(delete(sessions).where(sessions.c.last_seen_at <= now - IDLE))
    secret = secrets.token_urlsafe(32)
    tx.execute(
        insert(sessions).values(
            secret_sha256=sha256_of(secret),
            user_id=user.id if user else None,
            user_version=user.version if user else 0,
            created_at=now,
            last_seen_at=now,
        )
    )
    return secret


def authenticate(tx: Tx, secret: str, now: datetime) -> Session | None:
    """Return the session with this secret; None when it is unknown or over."""
    query = (
        select(sessions, users.c.version, users.c.email, users.c.role, users.c.disabled)
        .join(users, users.c.id == sessions.c.user_id, isouter=True)
        .where(sessions.c.secret_sha256 == sha256_of(secret), sessions.c.last_seen_at > now - IDLE)
    )
    row = tx.execute(query).one_or_none()
    if row is None:
        return None
    if row.user_id is None:
        if tx.execute(select(exists(select(users.c.id)))).scalar_one():
            return None
        principal = Principal(name="first start", role=Role.ADMIN)
    elif row.disabled or row.version != row.user_version:
        return None
    else:
        principal = Principal(name=f"user:{row.user_id}", role=Role(row.role), label=row.email)
    return Session(
        id=row.id,
        principal=principal,
        user_id=row.user_id,
        needs_touch=row.last_seen_at <= now - _TOUCH_EVERY,
    )


def touch(tx: Tx, session: Session, now: datetime) -> None:
    """Note that the session was used."""
    tx.execute(update(sessions).where(sessions.c.id == session.id).values(last_seen_at=now))


def last_seen(tx: Tx, user_ids: Iterable[int], now: datetime) -> dict[int, datetime]:
    """Return when these users were last seen, those of them who are signed in with a browser."""
    query = (
        select(sessions.c.user_id, func.max(sessions.c.last_seen_at).label("at"))
        .join(users, users.c.id == sessions.c.user_id)
        .where(
            sessions.c.user_id.in_(list(user_ids)),
            sessions.c.user_version == users.c.version,
            users.c.disabled.is_(False),
            sessions.c.last_seen_at > now - IDLE,
        )
        .group_by(sessions.c.user_id)
    )
    return {row.user_id: row.at for row in tx.execute(query)}


def end(tx: Tx, secret: str) -> None:
    """End a session: its secret is worth nothing from now on."""
    tx.execute(delete(sessions).where(sessions.c.secret_sha256 == sha256_of(secret)))
