"""Tries to sign in: after some that failed, each further one has to wait. Counted in the database, for all processes.

A try is noted before the password is looked at, and forgotten when that was right: so many at once are counted too. One
that comes while it should wait is neither looked at nor noted, so nobody can make another's wait longer than WAIT.
Whoever was let in with a browser before is counted by that browser alone, so strangers do not keep them waiting.
"""

import hmac
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import case, delete, func, insert, select

from foundation.errors import Invalid, TooMany
from identity.tables import sign_in_tries
from mail.address import normalise
from storage.database import Tx
from storage.sealed import SecretKey

MOST = 5
MOST_OF_STRANGERS = 20
WITHIN = timedelta(minutes=5)
WAIT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose tries are counted together. Those of strangers are counted all together as well."""

    mark: str
    is_a_stranger: bool


def of_address(key: SecretKey, email: str) -> Subject:
    """Return who tries, where all that is known is the address that was typed."""
    try:
        written = normalise(email).key
    except Invalid:
        written = ""  # nobody can sign in with it: all of these are one
    return Subject(mark=_mark(key, f"address {written}"), is_a_stranger=True)


def of_browser(key: SecretKey, browser: str) -> Subject:
    """Return who tries, where this browser is known to be the user's."""
    return Subject(mark=_mark(key, f"browser {browser}"), is_a_stranger=False)


def of_user(key: SecretKey, user_id: int) -> Subject:
    """Return who tries, where somebody is signed in and is asked for the password once more."""
    return Subject(mark=_mark(key, f"user {user_id}"), is_a_stranger=False)


def begin(tx: Tx, who: Subject, now: datetime) -> None:
    """Note a try that is about to be looked at. Raises TooMany (with wait_seconds) where it has to wait first."""
    wait = _wait(tx, who, now)
    if wait > timedelta(0):
        seconds = math.ceil(wait.total_seconds())
        raise TooMany(
            f"Too many tries did not work. Wait {seconds} s, then try again. An admin can give you a new password.",
            wait_seconds=seconds,
        )
    tx.execute(delete(sign_in_tries).where(sign_in_tries.c.tried_at <= now - WITHIN))
    tx.execute(
        insert(sign_in_tries).values(
            subject=who.mark, by_a_stranger=who.is_a_stranger, tried_at=now
        )
    )


def forget(tx: Tx, who: Subject) -> None:
    """Forget somebody's tries: the last one was right."""
    tx.execute(delete(sign_in_tries).where(sign_in_tries.c.subject == who.mark))


def _wait(tx: Tx, who: Subject, now: datetime) -> timedelta:
    tried_at, mine = sign_in_tries.c.tried_at, sign_in_tries.c.subject == who.mark
    stranger = sign_in_tries.c.by_a_stranger
    # Those of after now are of before a clock was set back: waiting for them could take for ever.
    row = tx.execute(
        select(
            func.count(case((mine, 1))).label("own"),
            func.max(case((mine, tried_at))).label("own_newest"),
            func.count(case((stranger, 1))).label("strangers"),
            func.max(case((stranger, tried_at))).label("strangers_newest"),
        ).where(tried_at > now - WITHIN, tried_at <= now)
    ).one()
    until = [now]
    if row.own >= MOST:
        until.append(row.own_newest + WAIT)
    if who.is_a_stranger and row.strangers >= MOST_OF_STRANGERS:
        until.append(row.strangers_newest + WAIT)
    return max(until) - now


def _mark(key: SecretKey, who: str) -> str:
    return hmac.digest(key.derive("tries to sign in"), who.encode(errors="replace"), "sha256").hex()
