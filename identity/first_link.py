"""The link of the first start: lets whoever reads the terminal in, as admin, while there is no user.

Each start of a process makes one. It works once, and is gone with its process or the first user.
"""

import secrets
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import delete, insert, select

from identity.tables import first_links
from identity.tokens import sha256_of
from identity.users import any_user
from storage.database import Tx


def make(
    tx: Tx, *, boot_id: str | None, pid: int, alive: Callable[[int], bool], now: datetime
) -> str | None:
    """Return the secret of a new link; None where there is a user. Links of processes that have died are forgotten."""
    if any_user(tx):
        tx.execute(delete(first_links))
        return None
    dead = [
        row.id
        for row in tx.execute(select(first_links))
        if row.boot_id != boot_id or not alive(row.pid)
    ]
    tx.execute(delete(first_links).where(first_links.c.id.in_(dead)))
    secret = secrets.token_urlsafe(32)
    tx.execute(
        insert(first_links).values(
            secret_sha256=sha256_of(secret), boot_id=boot_id, pid=pid, created_at=now
        )
    )
    return secret


def use(tx: Tx, secret: str, *, boot_id: str | None, alive: Callable[[int], bool]) -> bool:
    """Use up the link; return False where it is unknown, used, gone with its process, or there is a user."""
    row = tx.execute(
        delete(first_links)
        .where(first_links.c.secret_sha256 == sha256_of(secret))
        .returning(first_links)
    ).one_or_none()
    return row is not None and row.boot_id == boot_id and alive(row.pid) and not any_user(tx)
