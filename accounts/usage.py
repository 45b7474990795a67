"""Counts what goes through each account, by the minute, for its limits per hour and per day."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, bindparam, case, delete, func, select, update

from accounts import capacity
from accounts.model import DAY, HOUR, MINUTE, Minutes
from accounts.tables import account_usage
from storage.database import Tx, insert_into
from storage.prepared import Prepared

KEPT = timedelta(days=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """How many messages went through an account in the last hour and the last day."""

    hour: int
    day: int


_ADD = Prepared(
    update(account_usage)
    .where(
        account_usage.c.account_id == bindparam("the_account"),
        account_usage.c.minute == bindparam("the_minute"),
    )
    .values(messages=account_usage.c.messages + bindparam("more", type_=Integer))
)


def count(tx: Tx, account_id: int, n: int, now: datetime) -> None:
    """Add n messages to the account's present minute; drop minutes that no limit looks at any more."""
    minute = now.replace(second=0, microsecond=0)
    binds = {"the_account": account_id, "the_minute": minute, "more": n}
    if _ADD.run(tx, binds):
        return
    insert = insert_into(tx, account_usage).values(account_id=account_id, minute=minute, messages=n)
    tx.execute(
        insert.on_conflict_do_update(
            index_elements=[account_usage.c.account_id, account_usage.c.minute],
            set_={"messages": account_usage.c.messages + insert.excluded.messages},
        )
    )
    prune(tx, account_id, now)  # the minute is new: once a minute is often enough to tidy up


_USED = (
    select(
        account_usage.c.account_id,
        func.sum(
            case(
                (account_usage.c.minute > bindparam("an_hour_ago"), account_usage.c.messages),
                else_=0,
            )
        ).label("hour"),
        func.sum(account_usage.c.messages).label("day"),
    )
    .where(
        account_usage.c.account_id.in_(bindparam("the_accounts", expanding=True)),
        account_usage.c.minute > bindparam("a_day_ago"),
    )
    .group_by(account_usage.c.account_id)
)


def used(tx: Tx, account_id: int, now: datetime) -> Used:
    """Return what went through in the last 60 and 1,440 minutes.

    A minute that lies only partly in that time is counted whole: a limit is never passed, its end at most seen a
    minute late.
    """
    return used_by_each(tx, [account_id], now)[account_id]


def used_by_each(tx: Tx, account_ids: Iterable[int], now: datetime) -> dict[int, Used]:
    """Return what went through each of these accounts, as used does."""
    found = {account_id: Used(hour=0, day=0) for account_id in account_ids}
    rows = tx.execute(
        _USED,
        {
            "the_accounts": list(found),
            "an_hour_ago": now - HOUR - MINUTE,
            "a_day_ago": now - DAY - MINUTE,
        },
    )
    return found | {row.account_id: Used(hour=row.hour, day=row.day) for row in rows}


def by_minute(tx: Tx, account_ids: Iterable[int], *, since: datetime) -> dict[int, Minutes]:
    """Return what went through each of these accounts, minute by minute, in those that begin later than since."""
    found: dict[int, list[tuple[datetime, int]]] = {account_id: [] for account_id in account_ids}
    rows = tx.execute(
        select(account_usage.c.account_id, account_usage.c.minute, account_usage.c.messages)
        .where(account_usage.c.account_id.in_(list(found)), account_usage.c.minute > since)
        .order_by(account_usage.c.account_id, account_usage.c.minute)
    )
    for row in rows:
        found[row.account_id].append((row.minute, row.messages))
    return dict(found)


def room_at(
    tx: Tx, account_id: int, *, limit: int, within: timedelta, now: datetime
) -> datetime | None:
    """Return when a limit that is reached lets the next message through; None where it is not reached.

    within: the HOUR or DAY that it is for.
    """
    minutes = by_minute(tx, [account_id], since=now - within - MINUTE)[account_id]
    return capacity.room_at(minutes, limit=limit, within=within, now=now)


def go_back(tx: Tx, now: datetime) -> None:
    """Forget minutes that the clock has gone back from: they would fill every limit until they come."""
    tx.execute(delete(account_usage).where(account_usage.c.minute > now + MINUTE))


def prune(tx: Tx, account_id: int, now: datetime) -> None:
    """Drop the account's minutes that no limit looks at any more."""
    tx.execute(
        delete(account_usage).where(
            account_usage.c.account_id == account_id, account_usage.c.minute < now - KEPT
        )
    )
