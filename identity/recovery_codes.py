"""Recovery codes: they stand in for the second factor when it is lost. Each works once; only a hash of it is kept."""

import hashlib
import re
import secrets

from sqlalchemy import delete, func, insert, select

from identity.tables import recovery_codes
from storage.database import Tx

HOW_MANY = 10

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without those that are mistaken for others on paper: i, l, o, 0, 1."""
_GROUPS, _IN_A_GROUP = 4, 4


def renew(tx: Tx, user_id: int) -> list[str]:
    """Give a user new codes, and end the old ones. Return them: they can't be had again."""
    drop(tx, user_id)
    codes = [_new() for _ in range(HOW_MANY)]
    tx.execute(
        insert(recovery_codes),
        [{"user_id": user_id, "code_sha256": _mark(user_id, code)} for code in codes],
    )
    return codes


def take(tx: Tx, user_id: int, code: str) -> bool:
    """Use a code up; return False where it is none of the user's that is left."""
    mine = recovery_codes.c.user_id == user_id
    used = tx.execute(
        delete(recovery_codes).where(mine, recovery_codes.c.code_sha256 == _mark(user_id, code))
    )
    return used.rowcount == 1


def left(tx: Tx, user_id: int) -> int:
    """Return how many codes the user has left."""
    query = select(func.count()).where(recovery_codes.c.user_id == user_id)
    return int(tx.execute(query).scalar_one())


def drop(tx: Tx, user_id: int) -> None:
    """End every code of a user."""
    tx.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))


def _new() -> str:
    # 79 bits: a thief of the database can't try them all, so a plain hash is enough.
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(_IN_A_GROUP)) for _ in range(_GROUPS))
    return "-".join(groups)


def _mark(user_id: int, code: str) -> str:
    # However it is copied from paper: capitals, blanks and hyphens make no difference.
    letters = re.sub(r"[^a-z0-9]", "", code.lower())
    return hashlib.sha256(f"{user_id} {letters}".encode()).hexdigest()
