"""What the calendar looks at: from which day on, by whose clock, and the slots that are there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import request

from accounts import store as accounts
from assembly import Sendonce
from foundation.errors import NotFound
from scheduler import desk
from scheduler.desk import MOST_CALENDAR_ITEMS
from scheduler.model import Schedule
from web.agenda import Overlap, overlaps
from web.bookings import Booking, bookings
from web.schedule_rows import Names, names_of
from web.shown import viewers_zone

LENGTH = 14
EARLIEST, LATEST = date(2000, 1, 1), date(2399, 1, 1)
OWN, MINE, IN_UTC = "own", "mine", "utc"

_WEST, _EAST = timedelta(hours=12), timedelta(hours=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is looked at: from which day on, and by whose clock times are told. zone: of the page as a whole."""

    choice: str
    first: date
    today: date
    zone: str

    def path(self, first: date | None = None, *, choice: str | None = None, to: str = "") -> str:
        first = first or self.first
        query = {"zone": choice or self.choice, "from": first.isoformat()}
        return f"/calendar{to}?{urlencode(query)}"

    def zone_of(self, schedule: Schedule | None) -> str:
        """Return by whose clock the slots of a schedule are told."""
        return schedule.timezone if schedule and self.choice == OWN else self.zone

    def has(self, slot: datetime, schedule: Schedule | None) -> bool:
        """Say whether a slot lies in these days."""
        day = slot.astimezone(ZoneInfo(self.zone_of(schedule))).date()
        return self.first <= day < self.first + timedelta(days=LENGTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What there is in that time. breaks_off: the last slot that was looked at, where there are more after it."""

    schedules: Mapping[int, Schedule]
    names: Names
    booked: Sequence[Booking]
    shared: Mapping[int, tuple[Overlap, ...]]
    account_names: Mapping[int, str]
    breaks_off: datetime | None

    def called(self, schedule_id: int) -> str:
        schedule = self.schedules.get(schedule_id)
        return (
            self.names.campaign(schedule.campaign_id)
            if schedule
            else f"Schedule {schedule_id} (deleted)"
        )


def asked_for(now: datetime) -> Asked:
    """Read ?zone= and ?from=. Raises NotFound for what there is not."""
    choice = request.args.get("zone", OWN)
    if choice not in (OWN, MINE, IN_UTC):
        raise NotFound("Times can be shown in each schedule's own zone, in yours, or in UTC.")
    zone = "UTC" if choice == IN_UTC else viewers_zone()
    today = now.astimezone(ZoneInfo(zone)).date()
    given = request.args.get("from")
    try:
        first = date.fromisoformat(given) if given else today
    except ValueError:
        first = date.min
    if not EARLIEST <= first <= LATEST:
        raise NotFound("The calendar has no such day. Begin with today.")
    return Asked(choice=choice, first=first, today=today, zone=zone)


def look(house: Sendonce, asked: Asked, now: datetime) -> Seen:
    """Return what there is in those days; more than MOST_CALENDAR_ITEMS slots are never looked at."""
    zone = ZoneInfo("UTC" if asked.choice == OWN else asked.zone)
    start = datetime.combine(asked.first, time.min, tzinfo=zone)
    end = datetime.combine(asked.first + timedelta(days=LENGTH), time.min, tzinfo=zone)
    if asked.choice == OWN:
        # A day begins first on one side of the date line, and ends last on the other.
        start, end = start - _EAST, end + _WEST
    items = desk.calendar(house.scheduler, start, end, most=MOST_CALENDAR_ITEMS + 1)
    schedules = {s.id: s for s in desk.list_schedules(house.scheduler)}
    names = names_of(house)
    wanted = [
        item
        for item in items[:MOST_CALENDAR_ITEMS]
        if asked.has(item.slot, schedules.get(item.schedule_id))
    ]
    with house.database.read() as tx:
        booked = bookings(tx, wanted, names, now=now)
        account_names = accounts.names(tx)
    return Seen(
        schedules=schedules,
        names=names,
        booked=booked,
        shared=overlaps(booked),
        account_names=account_names,
        breaks_off=items[-1].slot if len(items) > MOST_CALENDAR_ITEMS else None,
    )


def until(asked: Asked, seen: Seen) -> date | None:
    """Return the first day of which something may be missing."""
    last = seen.breaks_off
    if last is None:
        return None
    if asked.choice == OWN:
        return (last - _WEST).astimezone(UTC).date()
    return last.astimezone(ZoneInfo(asked.zone)).date()
