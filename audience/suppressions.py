"""Addresses that get nothing, whatever list they are on. What counts is the address key, so every spelling is meant."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, func, select

from audience.model import Rejected, Suppression, SuppressionReason, SuppressionSource
from audience.tables import recipients, suppressions
from foundation.errors import NotFound
from mail.address import normalise, normalise_fast
from storage.database import Tx, insert_into
from storage.many import is_one_of


def add(
    tx: Tx,
    email: str,
    reason: SuppressionReason,
    now: datetime,
    *,
    source: SuppressionSource | None = None,
    run_id: int | None = None,
) -> Suppression:
    """Suppress an address. One that is suppressed already stays as it is: the first reason holds.

    run_id: the run whose e-mail somebody unsubscribed from. Raises Invalid on email.
    """
    address = normalise(email)
    tx.execute(
        insert_into(tx, suppressions)
        .values(
            email=address.written,
            address_key=address.key,
            reason=reason,
            created_at=now,
            source=source,
            run_id=run_id,
        )
        .on_conflict_do_nothing(index_elements=[suppressions.c.address_key])
    )
    there = select(suppressions).where(suppressions.c.address_key == address.key)
    return _suppression(tx.execute(there).one())


def add_all(
    tx: Tx,
    emails: Sequence[str],
    reason: SuppressionReason,
    now: datetime,
    *,
    source: SuppressionSource | None = None,
) -> tuple[int, list[Rejected]]:
    """Suppress addresses, and return how many were not yet, and those that are none; row is the place, from 1."""
    rows: dict[str, str] = {}
    rejected: list[Rejected] = []
    for row, email in enumerate(emails, start=1):
        address = normalise_fast(email)
        if isinstance(address, str):
            rejected.append(Rejected(row=row, email=email[:320], reason=address))
        else:
            rows.setdefault(address.key, address.written)
    there = which_suppressed(tx, list(rows))
    new = [
        {
            "email": written,
            "address_key": key,
            "reason": reason,
            "created_at": now,
            "source": source,
            "run_id": None,
        }
        for key, written in rows.items()
        if key not in there
    ]
    if new:
        insertion = insert_into(tx, suppressions)
        tx.execute(insertion.on_conflict_do_nothing(index_elements=["address_key"]), new)
    return len(new), rejected


def find(tx: Tx, email: str) -> Suppression | None:
    """Return why an address gets nothing, if it does. Raises Invalid on email."""
    key = normalise(email).key
    row = tx.execute(select(suppressions).where(suppressions.c.address_key == key)).one_or_none()
    return None if row is None else _suppression(row)


def remove(tx: Tx, email: str) -> None:
    """Let an address get mail again. Raises NotFound, Invalid on email."""
    key = normalise(email).key
    if not tx.execute(delete(suppressions).where(suppressions.c.address_key == key)).rowcount:
        raise NotFound(f"{email} is not suppressed.")


def list_(tx: Tx, *, q: str | None, after: int | None, limit: int) -> list[Suppression]:
    """Return a page of suppressions, newest first, older than the one that ended the page before."""
    query = select(suppressions)
    if after is not None:
        query = query.where(suppressions.c.id < after)
    if q:
        looked_for = q.strip().casefold()
        query = query.where(suppressions.c.address_key.contains(looked_for, autoescape=True))
    rows = tx.execute(query.order_by(suppressions.c.id.desc()).limit(limit))
    return [_suppression(row) for row in rows]


def look_for(tx: Tx, q: str, *, limit: int) -> list[Suppression]:
    """Return those of the suppressed addresses in which q stands, by address."""
    key = suppressions.c.address_key
    query = select(suppressions).where(key.contains(q.strip().casefold(), autoescape=True))
    return [_suppression(row) for row in tx.execute(query.order_by(key).limit(limit))]


def count(tx: Tx) -> int:
    """Count the suppressed addresses."""
    found: int = tx.execute(select(func.count()).select_from(suppressions)).scalar_one()
    return found


def is_suppressed(tx: Tx, address_key: str) -> bool:
    """Say whether this address gets nothing."""
    return bool(which_suppressed(tx, [address_key]))


def which_suppressed(tx: Tx, keys: Sequence[str]) -> dict[str, SuppressionReason]:
    """Return those of the address keys that get nothing, with the reason."""
    if not keys:
        return {}
    query = select(suppressions.c.address_key, suppressions.c.reason)
    rows = tx.execute(query.where(is_one_of(suppressions.c.address_key, keys)))
    return {key: SuppressionReason(reason) for key, reason in rows}


def count_suppressed(tx: Tx, audience_ids: Sequence[int]) -> int:
    """Count the people in these audiences who get nothing."""
    in_them = exists().where(
        recipients.c.audience_id.in_(audience_ids),
        recipients.c.address_key == suppressions.c.address_key,
    )
    found: int = tx.execute(
        select(func.count()).select_from(suppressions).where(in_them)
    ).scalar_one()
    return found


def _suppression(row: Row[Any]) -> Suppression:
    return Suppression(
        id=row.id,
        email=row.email,
        reason=SuppressionReason(row.reason),
        created_at=row.created_at,
        source=row.source and SuppressionSource(row.source),
        run_id=row.run_id,
    )
