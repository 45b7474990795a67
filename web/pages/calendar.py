"""/calendar: what goes in fourteen days, whether it collides, and what went."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from flask import Response

from delivery import outlines
from delivery.outlines import RunOutline
from web.agenda import Day, Entry, Overlap, days_of
from web.bookings import Booking
from web.calendar_window import (
    EARLIEST,
    IN_UTC,
    LATEST,
    LENGTH,
    MINE,
    OWN,
    Asked,
    Seen,
    asked_for,
    look,
    until,
)
from web.current import the_house
from web.page import Pages, show
from web.schedule_rows import display_status
from web.shown import many, viewers_zone
from web.timeline import Timeline, timeline

pages = Pages("calendar")

MOST_LINES = 150
"""On a page; a day with more is cut short, and says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A slot in the list, or several of a schedule's day. skip: the slot that can be left out from here."""

    schedule_id: int
    campaign: str
    is_there: bool
    status: str
    first: datetime
    last: datetime | None
    count: int
    zone: str
    people: str
    seconds: float | None
    notes: Sequence[str]
    overlaps: Sequence[str]
    run: RunOutline | None
    skip: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayShown:
    """A day of the list."""

    day: date
    in_words: str
    is_today: bool
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Choice:
    """A zone that times can be shown in."""

    path: str
    text: str
    current: bool
    count: None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarPage:
    """What the page shows. cut_short: the day of which only the first slots fit."""

    days: Sequence[DayShown]
    timeline: Timeline
    span: str
    empty: str
    to_come: int
    overlapping: int
    choices: Sequence[Choice]
    earlier: str | None
    today: str | None
    later: str | None
    export: str
    here: str
    cut_short: str | None


@pages.get("/calendar")
def calendar() -> Response:
    """Show fourteen days, or as many of them as fit on a page."""
    house = the_house()
    now = house.clock.now()
    asked = asked_for(now)
    seen = look(house, asked, now)
    zones = [asked.zone_of(seen.schedules.get(b.item.schedule_id)) for b in seen.booked]
    every = days_of(seen.booked, zones, seen.shared, first=asked.first, length=LENGTH)
    shown, goes_on, cut_short = _fitting(every, until(asked, seen))
    lines = [entry for day in shown for entry in day.entries]
    run_ids = {b.item.run_id for e in lines for b in e.bookings if b.item.run_id is not None}
    with house.database.read() as tx:
        runs = outlines.by_id(tx, run_ids) if run_ids else {}
    to_come = [
        (n, b)
        for n, b in enumerate(seen.booked)
        if b.item.decision is None and _is_in(b, shown, zones[n])
    ]
    following = goes_on or asked.first + timedelta(days=LENGTH)
    span = f"{_day(asked.first)} to {_day(following - timedelta(days=1))}"
    is_now = asked.first == asked.today
    page = CalendarPage(
        days=[
            DayShown(
                day=day.day,
                in_words=_day(day.day),
                is_today=day.day == asked.today,
                lines=[_line(entry, seen, runs, now) for entry in day.entries],
            )
            for day in shown
        ],
        timeline=timeline(seen, asked, (following - asked.first).days, now),
        span=span,
        empty="Nothing in the next 14 days." if is_now else f"Nothing from {span}.",
        to_come=len(to_come),
        overlapping=sum(n in seen.shared for n, _ in to_come),
        choices=[
            Choice(asked.path(choice=choice), text, choice == asked.choice)
            for choice, text in (
                (OWN, "As scheduled"),
                (MINE, f"Mine ({viewers_zone()})"),
                (IN_UTC, "UTC"),
            )
        ],
        earlier=_link(asked, asked.first - timedelta(days=LENGTH)),
        today=None if is_now else asked.path(asked.today),
        later=_link(asked, following),
        export=asked.path(to=".ics"),
        here=asked.path(),
        cut_short=_day(cut_short) if cut_short else None,
    )
    return show("calendar.html", page=page, section="Calendar")


def _fitting(
    days: Sequence[Day], missing_from: date | None
) -> tuple[list[Day], date | None, date | None]:
    """Return the days that fit on a page, where the next page begins (None: all fit), and the day that was cut."""
    shown: list[Day] = []
    left = MOST_LINES
    for day in days:
        is_whole = missing_from is None or day.day < missing_from
        if not shown and (len(day.entries) > left or not is_whole):
            cut = Day(day=day.day, entries=day.entries[:left])
            return [cut], day.day + timedelta(days=1), day.day
        if len(day.entries) > left or not is_whole:
            return shown, day.day, None
        shown.append(day)
        left -= len(day.entries)
    return shown, None, None


def _is_in(booking: Booking, shown: Sequence[Day], zone: str) -> bool:
    day = booking.item.slot.astimezone(ZoneInfo(zone)).date()
    return bool(shown) and shown[0].day <= day <= shown[-1].day


def _line(entry: Entry, seen: Seen, runs: Mapping[int, RunOutline], now: datetime) -> Line:
    first, last = entry.first, entry.last
    schedule = seen.schedules.get(first.item.schedule_id)
    run = runs.get(first.item.run_id or 0)
    is_alone = len(entry.bookings) == 1
    status = first.item.decision or (
        display_status(schedule, now=now) if schedule and first.item.slot <= now else "pending"
    )
    upcoming = schedule.next_run if schedule and schedule.enabled else None
    people = run.counts.recipients if run else first.people
    up_to = "up to " if first.is_bound and not run else ""
    return Line(
        schedule_id=first.item.schedule_id,
        campaign=seen.called(first.item.schedule_id),
        is_there=schedule is not None,
        status=status,
        first=first.item.slot,
        last=None if is_alone else last.item.slot,
        count=len(entry.bookings),
        zone=entry.zone,
        people=f"{up_to}{many(people, 'person')}" if people or run else "nobody yet",
        seconds=first.seconds if first.item.decision is None and first.people else None,
        notes=entry.notes,
        overlaps=[_overlap(one, seen) for one in entry.overlaps],
        run=run if is_alone else None,
        skip=upcoming if first.item.decision is None and first.item.slot == upcoming else None,
    )


def _overlap(overlap: Overlap, seen: Seen) -> str:
    called = [seen.called(i) for i in overlap.schedule_ids] + ["others"] * overlap.has_more
    *before, last = called
    named = f"{', '.join(before)} and {last}" if before else last
    return f"overlaps {named} on {seen.account_names.get(overlap.account_id, 'an account')}"


def _link(asked: Asked, first: date) -> str | None:
    return asked.path(first) if EARLIEST <= first <= LATEST else None


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b %Y}"
