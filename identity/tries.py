"""Tries to get in: after some that failed, each further one has to wait. Counted in the database, for all processes.

A try is noted before the password is looked at, and forgotten when that was right: so many at once are counted too. One
that comes while it should wait is neither looked at nor noted, so nobody can make another's wait longer than WAIT.
Whoever was let in with a browser before is counted by that browser alone, so strangers do not keep them waiting.

A code of six digits is guessed sooner than a password: whoever knows the password and nothing else has some dozens of
tries a day at it (MOST_CODES_A_DAY, then one each LONG_WAIT), not thousands.
"""

import hmac
import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, case, delete, func, insert, select

from foundation.errors import Invalid, TooMany
from identity.tables import sign_in_tries
from mail.address import normalise
from storage.database import Tx
from storage.sealed import SecretKey

MOST = 5
MOST_OF_STRANGERS = 20
WITHIN = timedelta(minutes=5)
WAIT = timedelta(seconds=30)
MOST_CODES_A_DAY = 30
LONG_WAIT = timedelta(hours=1)

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose tries are counted together. Those of strangers are counted all together as well.

    most: how many in five minutes before the first wait. most_a_day: the same in a day; None for any number.
    """

    mark: str
    is_a_stranger: bool
    most: int = MOST
    most_a_day: int | None = None


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
    return Subject(
        mark=_mark(key, f"user {user_id}"), is_a_stranger=False, most_a_day=MOST_CODES_A_DAY
    )


def of_codes(key: SecretKey, user_id: int, browser: str | None) -> Subject:
    """Return who tries codes of the second factor after the password was right; browser: where it is known.

    Never the one who tries passwords: that a password was right makes nobody forget how many codes were wrong.
    """
    return Subject(
        mark=_mark(key, f"codes {user_id} {browser or ''}"),
        is_a_stranger=False,
        most_a_day=MOST_CODES_A_DAY,
    )


def of_links(key: SecretKey, address: str | None) -> Subject:
    """Return who tries links that work once, by the network address: nothing else is known."""
    return Subject(
        mark=_mark(key, f"links {address or ''}"), is_a_stranger=False, most=MOST_OF_STRANGERS
    )


def begin(tx: Tx, who: Subject, now: datetime) -> None:
    """Note a try that is about to be looked at. Raises TooMany (with wait_seconds) where it has to wait first."""
    refuse_too_many(tx, who, now)
    tx.execute(delete(sign_in_tries).where(sign_in_tries.c.tried_at <= now - _DAY))
    tx.execute(
        insert(sign_in_tries).values(
            subject=who.mark, by_a_stranger=who.is_a_stranger, tried_at=now
        )
    )


def refuse_too_many(tx: Tx, who: Subject, now: datetime) -> None:
    """Raise TooMany (with wait_seconds) where somebody has to wait before the next try; note nothing."""
    wait = _wait(tx, who, now)
    if wait > timedelta(0):
        seconds = math.ceil(wait.total_seconds())
        raise TooMany(
            f"Too many tries did not work. Wait {in_words(seconds)}, then try again. An admin can help.",
            wait_seconds=seconds,
        )


def in_words(wait_seconds: int) -> str:
    """Return a wait as people say it: 30 s, 60 min."""
    return f"{math.ceil(wait_seconds / 60)} min" if wait_seconds > 90 else f"{wait_seconds} s"


def forget(tx: Tx, who: Subject) -> None:
    """Forget somebody's tries: the last one was right."""
    tx.execute(delete(sign_in_tries).where(sign_in_tries.c.subject == who.mark))


def _wait(tx: Tx, who: Subject, now: datetime) -> timedelta:
    tried_at, mine = sign_in_tries.c.tried_at, sign_in_tries.c.subject == who.mark
    lately = tried_at > now - WITHIN
    stranger = and_(sign_in_tries.c.by_a_stranger, lately)
    # Those of after now are of before a clock was set back: waiting for them could take for ever.
    row = tx.execute(
        select(
            func.count(case((and_(mine, lately), 1))).label("own"),
            func.count(case((mine, 1))).label("own_of_a_day"),
            func.max(case((mine, tried_at))).label("own_newest"),
            func.count(case((stranger, 1))).label("strangers"),
            func.max(case((stranger, tried_at))).label("strangers_newest"),
        ).where(tried_at > now - _DAY, tried_at <= now)
    ).one()
    until = [now]
    if who.most_a_day is not None and row.own_of_a_day >= who.most_a_day:
        until.append(row.own_newest + LONG_WAIT)
    if row.own >= who.most:
        until.append(row.own_newest + WAIT)
    if who.is_a_stranger and row.strangers >= MOST_OF_STRANGERS:
        until.append(row.strangers_newest + WAIT)
    return max(until) - now


def _mark(key: SecretKey, who: str) -> str:
    return hmac.digest(key.derive("tries to sign in"), who.encode(errors="replace"), "sha256").hex()
