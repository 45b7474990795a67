"""Counts what goes through each account, by the minute, for its limits per hour and per day."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Integer, bindparam, case, delete, func, select, update

from accounts.tables import account_usage
from storage.database import Tx, insert_into

KEPT = timedelta(days=2)

_MINUTE = timedelta(minutes=1)
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """How many messages went through an account in the last hour and the last day."""

    hour: int
    day: int


# Made once: it is carried out for every handful of messages.
_ADD = (
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
    if tx.execute(_ADD, binds).rowcount:
        return
    insert = insert_into(tx, account_usage).values(account_id=account_id, minute=minute, messages=n)
    tx.execute(
        insert.on_conflict_do_update(
            index_elements=[account_usage.c.account_id, account_usage.c.minute],
            set_={"messages": account_usage.c.messages + insert.excluded.messages},
        )
    )
    prune(tx, account_id, now)  # the minute is new: once a minute is often enough to tidy up


def used(tx: Tx, account_id: int, now: datetime) -> Used:
    """Return what went through in the last 60 and 1,440 minutes.

    A minute that lies only partly in that time is counted whole: a limit is never passed, its end at most seen a
    minute late.
    """
    minute = account_usage.c.minute
    in_hour = case((minute > now - _HOUR - _MINUTE, account_usage.c.messages), else_=0)
    row = tx.execute(
        select(
            func.coalesce(func.sum(in_hour), 0).label("hour"),
            func.coalesce(func.sum(account_usage.c.messages), 0).label("day"),
        ).where(account_usage.c.account_id == account_id, minute > now - _DAY - _MINUTE)
    ).one()
    return Used(hour=row.hour, day=row.day)


def prune(tx: Tx, account_id: int, now: datetime) -> None:
    """Drop the account's minutes that no limit looks at any more."""
    tx.execute(
        delete(account_usage).where(
            account_usage.c.account_id == account_id, account_usage.c.minute < now - KEPT
        )
    )
