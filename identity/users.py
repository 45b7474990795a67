"""The people who can sign in. Two spellings of one address are one person.

`version` is raised whenever a session that began before must end: a new password, a disabled user.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, select, update

from foundation.errors import Conflict, NotFound
from identity.model import Role, User
from identity.passwords import hash_password
from identity.tables import users
from mail.address import normalise
from storage.database import Tx, insert_into


def create(tx: Tx, email: str, password: str, role: Role, now: datetime) -> User:
    """Make a user. Raises Invalid, and Conflict when there is one with that address."""
    address = normalise(email)
    row = tx.execute(
        insert_into(tx, users)
        .values(
            version=1,
            email=address.written,
            email_key=address.key,
            password_hash=hash_password(password),
            role=role,
            disabled=False,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[users.c.email_key])
        .returning(users)
    ).one_or_none()
    if row is None:
        raise Conflict(
            f"There is a user {address.written} already. Reset the password if it is forgotten."
        )
    return _user(row)


def list_(tx: Tx, *, after: int | None = None, limit: int | None = None) -> list[User]:
    """Return the users by id, the disabled ones too."""
    rows = tx.execute(
        select(users).where(users.c.id > (after or 0)).order_by(users.c.id).limit(limit)
    )
    return [_user(row) for row in rows]


def disable(tx: Tx, email: str) -> None:
    """Let the user sign in no more, and end the sessions that began before. Raises NotFound."""
    _change(tx, email, disabled=True)


def reset_password(tx: Tx, email: str, password: str) -> None:
    """Give the user a new password, and end the sessions that began before. Raises Invalid, NotFound."""
    _change(tx, email, password_hash=hash_password(password))


def any_user(tx: Tx) -> bool:
    """Say whether there is a user, disabled or not."""
    return bool(tx.execute(select(exists(select(users.c.id)))).scalar_one())


def _change(tx: Tx, email: str, **values: Any) -> None:
    changed = tx.execute(
        update(users)
        .where(users.c.email_key == normalise(email).key)
        .values(**values, version=users.c.version + 1)
    )
    if changed.rowcount == 0:
        raise NotFound(f"There is no user {email.strip()}.")


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        email=row.email,
        role=Role(row.role),
        disabled=row.disabled,
        created_at=row.created_at,
    )
