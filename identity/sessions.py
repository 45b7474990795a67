"""Sessions: what a browser has once somebody signed in. Only a hash of a session's secret is kept.

A session ends by signing out, when its user ends it from another one, after two weeks in which nobody used it, when its
user changes (password, role, disabled, second factor), and, where the one-time link of the first start began it, with
the first user.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, insert, select, update

from identity.model import Principal, Role, User
from identity.tables import sessions, users
from identity.tokens import sha256_of
from storage.database import Tx

IDLE = timedelta(days=14)

_TOUCH_EVERY = timedelta(minutes=1)
_LONGEST_ADDRESS = 64
_LONGEST_AGENT = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session that is good. user_id is None while there is no user: it was begun by the one-time link."""

    id: int
    principal: Principal
    user_id: int | None
    needs_touch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a session is used: the network address, and what the browser calls itself (User-Agent)."""

    address: str | None
    agent: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSession:
    """A session that is good, as its user sees it."""

    id: int
    place: Place
    begun_at: datetime
    last_seen_at: datetime


def begin(tx: Tx, user: User | None, now: datetime, *, place: Place) -> str:
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
            **_kept(place),
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


def touch(tx: Tx, session: Session, now: datetime, *, place: Place) -> None:
    """Note that the session was used, and where."""
    touched = update(sessions).where(sessions.c.id == session.id)
    tx.execute(touched.values(last_seen_at=now, **_kept(place)))


def of_user(tx: Tx, user_id: int, now: datetime) -> list[OwnSession]:
    """Return the sessions of a user that are good, the one used last first."""
    query = select(sessions).where(*_are_good(now), sessions.c.user_id == user_id)
    query = query.join(users, users.c.id == sessions.c.user_id)
    rows = tx.execute(query.order_by(sessions.c.last_seen_at.desc(), sessions.c.id.desc()))
    return [
        OwnSession(
            id=row.id,
            place=Place(address=row.address, agent=row.agent),
            begun_at=row.created_at,
            last_seen_at=row.last_seen_at,
        )
        for row in rows
    ]


def last_seen(tx: Tx, user_ids: Iterable[int], now: datetime) -> dict[int, datetime]:
    """Return when these users were last seen, those of them who are signed in with a browser."""
    query = (
        select(sessions.c.user_id, func.max(sessions.c.last_seen_at).label("at"))
        .join(users, users.c.id == sessions.c.user_id)
        .where(*_are_good(now), sessions.c.user_id.in_(list(user_ids)))
        .group_by(sessions.c.user_id)
    )
    return {row.user_id: row.at for row in tx.execute(query)}


def end(tx: Tx, secret: str) -> None:
    """End a session: its secret is worth nothing from now on."""
    tx.execute(delete(sessions).where(sessions.c.secret_sha256 == sha256_of(secret)))


def end_one(tx: Tx, user_id: int, session_id: int) -> bool:
    """End a session of this user; return False where the user has none with this id."""
    which = (sessions.c.id == session_id, sessions.c.user_id == user_id)
    return tx.execute(delete(sessions).where(*which)).rowcount == 1


def end_others(tx: Tx, user_id: int, but: int) -> None:
    """End every session of this user but one."""
    tx.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id != but))


def _are_good(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        sessions.c.user_version == users.c.version,
        users.c.disabled.is_(False),
        sessions.c.last_seen_at > now - IDLE,
    )


def _kept(place: Place) -> dict[str, str | None]:
    return {
        "address": place.address[:_LONGEST_ADDRESS] if place.address else None,
        "agent": place.agent[:_LONGEST_AGENT] if place.agent else None,
    }
