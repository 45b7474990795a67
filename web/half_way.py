"""Half-way in: the password was right, and a code of the second factor is still to come. Nobody is signed in by it.

It stands in the signed cookie of the browser that gave the password, for five minutes, and is worth nothing once the
user has changed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import session

from identity.model import User

GOOD_FOR = timedelta(minutes=5)

_KEPT = "half_way"


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfWay:
    """Who gave the right password, and where they wanted to go."""

    user_id: int
    user_version: int
    where: str


def begin(user: User, where: str, now: datetime) -> None:
    """Note in this browser that the user's password was right."""
    session[_KEPT] = {
        "user": user.id,
        "version": user.version,
        "where": where,
        "at": int(now.timestamp()),
    }


def current(now: datetime) -> HalfWay | None:
    """Return who is half-way in with this browser; None where nobody is, or it was too long ago."""
    kept = session.get(_KEPT)
    if not isinstance(kept, dict):
        return None
    since = now - datetime.fromtimestamp(kept["at"], UTC)
    # The cookie counts whole seconds, and a clock that was set back must not make it last.
    if not timedelta(0) <= since < GOOD_FOR:
        return None
    return HalfWay(user_id=kept["user"], user_version=kept["version"], where=kept["where"])


def end() -> None:
    """Forget it."""
    session.pop(_KEPT, None)
