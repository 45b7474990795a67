"""When accounts are busy with slots to come, as far as that can be told: for the calendar, and for what collides.

Joins what the rooms know; nothing here decides anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery import outlook
from delivery.outlook import Sending
from scheduler.desk import CalendarItem
from storage.database import Tx
from web.schedule_rows import Names

_AT_LEAST = timedelta(minutes=1)
_IF_UNKNOWN = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """A slot and what it takes.

    people is how many the audiences hold now, and an upper bound (is_bound) where somebody may be in two of them.
    seconds: how long that takes at the accounts' limits, None where nobody can tell; ends_at assumes something then.
    """

    item: CalendarItem
    account_ids: tuple[int, ...]
    people: int
    is_bound: bool
    seconds: float | None
    ends_at: datetime


def busy_for(seconds: float | None) -> timedelta:
    """Return how long an account is taken to be busy with what takes so long; None: nobody can tell."""
    return _IF_UNKNOWN if seconds is None else max(_AT_LEAST, timedelta(seconds=seconds))


def bookings(
    tx: Tx, items: Sequence[CalendarItem], names: Names, *, now: datetime
) -> list[Booking]:
    """Return what each of these slots takes, in the order given."""
    lists = [
        names.of_audiences(item.campaign_id) if item.campaign_id is not None else []
        for item in items
    ]
    people = [sum(one.recipients for one in some) for some in lists]
    account_ids = [
        found.account_ids if (found := names.campaigns.get(item.campaign_id or 0)) else ()
        for item in items
    ]
    expected = outlook.expected_of_each(
        tx,
        [
            Sending(messages=count, account_ids=ids, at=item.slot)
            for item, count, ids in zip(items, people, account_ids, strict=True)
        ],
        now,
    )
    return [
        Booking(
            item=item,
            account_ids=ids,
            people=count,
            is_bound=len(some) > 1,
            seconds=seconds,
            ends_at=item.slot + busy_for(seconds),
        )
        for item, ids, count, some, seconds in zip(
            items, account_ids, people, lists, expected, strict=True
        )
    ]
