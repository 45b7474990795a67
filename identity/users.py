"""The people who can sign in. Two spellings of one address are one person.

`version` is raised by every change; a session that began on an older one is over.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, exists, select, update

from foundation.errors import Conflict, Invalid, NotFound, Stale
from identity.model import Role, User
from identity.passwords import hash_password
from identity.tables import one_time_links, users
from mail.address import normalise
from storage.database import Tx, insert_into


def create(tx: Tx, email: str, password: str, role: Role, now: datetime) -> User:
    """Make a user. Raises Invalid, and Conflict when there is one with that address.

    The first one must be an admin: with the first user every other way in ends, and nobody else could let others in.
    """
    address = normalise(email)
    if role is not Role.ADMIN:
        refuse_as_first(tx, role)
    row = tx.execute(
        insert_into(tx, users)
        .values(
            version=1,
            email=address.written,
            email_key=address.key,
            password_hash=hash_password(password, email=address.written),
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


def refuse_as_first(tx: Tx, role: Role) -> None:
    """Raise Invalid where there is no user yet and this role is not that of an admin."""
    if role is not Role.ADMIN and not any_user(tx):
        raise Invalid.field(
            "role", "must be admin: this is the first user, and nobody else could add others"
        )


def create_first(tx: Tx, email: str, password: str, now: datetime) -> User:
    """Make the first user, an admin. Raises Invalid, and Conflict when there is a user already."""
    if any_user(tx):
        raise Conflict("There is a user already, so the one-time link has ended. Sign in.")
    return create(tx, email, password, Role.ADMIN, now)


def list_(tx: Tx, *, after: int | None = None, limit: int | None = None) -> list[User]:
    """Return the users by id, the disabled ones too."""
    rows = tx.execute(
        select(users).where(users.c.id > (after or 0)).order_by(users.c.id).limit(limit)
    )
    return [_user(row) for row in rows]


def get(tx: Tx, user_id: int) -> User:
    """Return a user. Raises NotFound."""
    user = find_by_id(tx, user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id}.")
    return user


def find_by_id(tx: Tx, user_id: int) -> User | None:
    """Return a user; None where there is none."""
    row = tx.execute(select(users).where(users.c.id == user_id)).one_or_none()
    return None if row is None else _user(row)


def find(tx: Tx, email: str) -> User | None:
    """Return the user with this address, disabled or not. Raises Invalid where it is none."""
    key = normalise(email).key
    row = tx.execute(select(users).where(users.c.email_key == key)).one_or_none()
    return None if row is None else _user(row)


def find_to_sign_in(tx: Tx, email: str) -> tuple[User | None, str | None]:
    """Return the user who may sign in with this address, and the hash of the password; None, None for nobody."""
    try:
        key = normalise(email).key
    except Invalid:
        return None, None
    row = tx.execute(
        select(users).where(users.c.email_key == key, users.c.disabled.is_(False))
    ).one_or_none()
    return (None, None) if row is None else (_user(row), row.password_hash)


def disable(tx: Tx, email: str) -> None:
    """Let the user sign in no more, and end the sessions that began before. Raises NotFound."""
    _end_reset_links(tx, _change(tx, email, disabled=True))


def reset_password(tx: Tx, email: str, password: str) -> None:
    """Give the user a new password, and end the sessions that began before. Raises Invalid, NotFound."""
    password_hash = hash_password(password, email=email)
    _end_reset_links(tx, _change(tx, email, password_hash=password_hash))


def change(
    tx: Tx, user_id: int, changes: Mapping[str, Any], *, expected_version: int | None
) -> User:
    """Change role, disabled and password, those that are named. Where nothing differs there is no new version.

    Raises NotFound, Stale, Invalid, and Conflict where no admin would be left who can sign in.
    """
    row = tx.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no user {user_id}.")
    if expected_version not in (None, row.version):
        raise Stale(
            f"{row.email} was changed meanwhile: it is version {row.version}, not {expected_version}."
            " Load it again."
        )
    values = {name: value for name, value in changes.items() if name != "password"}
    values = {name: value for name, value in values.items() if getattr(row, name) != value}
    if "password" in changes:
        values["password_hash"] = hash_password(changes["password"], email=row.email)
    if not values:
        return _user(row)
    if _is_last_admin(tx, row) and (values.get("role") or values.get("disabled")):
        raise Conflict(
            f"{row.email} is the last admin who can sign in. Make another user admin first."
        )
    if "password_hash" in values or values.get("disabled"):
        _end_reset_links(tx, user_id)
    changed = update(users).where(users.c.id == user_id)
    values["version"] = row.version + 1
    return _user(tx.execute(changed.values(**values).returning(users)).one())


def any_user(tx: Tx) -> bool:
    """Say whether there is a user, disabled or not."""
    return bool(tx.execute(select(exists(select(users.c.id)))).scalar_one())


def _is_last_admin(tx: Tx, row: Row[Any]) -> bool:
    enabled = select(users.c.id).where(users.c.role == Role.ADMIN, users.c.disabled.is_(False))
    return tx.execute(enabled.limit(2)).scalars().all() == [row.id]


def _change(tx: Tx, email: str, **values: Any) -> int:
    changed = tx.execute(
        update(users)
        .where(users.c.email_key == normalise(email).key)
        .values(**values, version=users.c.version + 1)
        .returning(users.c.id)
    ).scalar_one_or_none()
    if changed is None:
        raise NotFound(f"There is no user {email.strip()}.")
    return int(changed)


def _end_reset_links(tx: Tx, user_id: int) -> None:
    # A link was for a password that was forgotten: it undoes neither a newer one nor that somebody was shut out.
    tx.execute(delete(one_time_links).where(one_time_links.c.user_id == user_id))


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        version=row.version,
        email=row.email,
        role=Role(row.role),
        disabled=row.disabled,
        created_at=row.created_at,
        second_factor=row.totp_sealed is not None,
    )
