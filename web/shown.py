"""How numbers, durations and times are written on pages. Templates use these as filters."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from flask import Flask, request
from markupsafe import Markup

from scheduler.fields import is_zone
from web.current import the_house
from web.fields import rfc3339

ZONE_COOKIE = "zone"
"""Set by static/js/app.js: the browser's time zone. Times that belong to no schedule are shown in it."""

CHOSEN_ZONE_COOKIE = "chosen_zone"
"""Set on the profile page: the zone that this browser's user wants instead."""

_DAY = timedelta(days=1)
_PLURALS = {"person": "people", "address": "addresses", "delivery": "deliveries"}


def install(app: Flask) -> None:
    """Let templates write {{ 1204|number }}, {{ 2|many("person") }}, {{ seconds|duration }}, {{ instant|moment }}."""
    app.jinja_env.filters |= {
        "number": number,
        "many": many,
        "file_size": file_size,
        "duration": duration,
        "roughly": roughly,
        "leap": leap,
        "moment": moment,
        "clock": clock,
        "moment_in_zone": moment_in_zone,
        "countdown": countdown,
        "from_now": from_now,
        "is_near": is_near,
        "utc": utc,
        "utc_beside": utc_beside,
    }


def number(value: float) -> str:
    """1204 -> 1,204"""
    return f"{value:,}"


def many(count: int, noun: str) -> str:
    """1204, "person" -> 1,204 people"""
    return f"{number(count)} {noun if count == 1 else plural(noun)}"


def file_size(size_bytes: int) -> str:
    """1300000 -> 1.2 MB"""
    if size_bytes < 1024:
        return many(size_bytes, "byte")
    if size_bytes < 1024 * 1024:
        return f"{size_bytes / 1024:.0f} KB"
    return f"{size_bytes / 1024 / 1024:.1f} MB"


def plural(noun: str) -> str:
    return _PLURALS.get(noun, f"{noun}s")


def duration(seconds: float) -> str:
    """192.4 -> 3 min 12 s"""
    if seconds < 1:
        return "less than a second"
    whole = round(seconds)
    parts = [
        (whole // 86400, "d"),
        (whole // 3600 % 24, "h"),
        (whole // 60 % 60, "min"),
        (whole % 60, "s"),
    ]
    told = [f"{amount:,} {unit}" for amount, unit in parts if amount]
    return " ".join(told[:2])


def roughly(seconds: float) -> str:
    """192.4 -> about 3 min 12 s"""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def leap(seconds: float) -> str:
    """-7200 -> back by 2 h"""
    return f"{'forward' if seconds > 0 else 'back'} by {duration(abs(seconds))}"


def viewers_zone() -> str:
    """Return the IANA name of the zone that was chosen, or that the browser is in; UTC where neither exists."""
    names = (request.cookies.get(cookie, "") for cookie in (CHOSEN_ZONE_COOKIE, ZONE_COOKIE))
    return next(filter(is_zone, names), "UTC")


def moment(instant: datetime, zone: str | None = None, seconds: bool = False) -> Markup:
    """Tue 24 Nov 09:00 Europe/Berlin, as an element that says the instant in UTC too."""
    name = zone or viewers_zone()
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        rfc3339(instant), utc(instant), in_words(instant, name, seconds=seconds)
    )


def moment_in_zone(instant: datetime, zone: str) -> Markup:
    """24 Nov 09:00:31, for a table whose zone is said once beside it."""
    local = instant.astimezone(_zone(zone))
    return Markup('<time class="nowrap" datetime="{}" title="{}">{}</time>').format(
        rfc3339(instant), utc(instant), f"{local.day} {local:%b %H:%M:%S}"
    )


def clock(instant: datetime, zone: str) -> Markup:
    """09:00, as an element that says the whole moment: for where the day and the zone stand beside it."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        rfc3339(instant), utc(instant), f"{instant.astimezone(_zone(zone)):%H:%M}"
    )


def countdown(instant: datetime) -> Markup:
    """in 14 min, or 3 min ago: an element that static/js/app.js keeps right. Beside it stands the moment itself."""
    return Markup('<time datetime="{}" data-countdown>{}</time>').format(
        rfc3339(instant), from_now(instant)
    )


def utc(instant: datetime) -> str:
    return in_words(instant, "UTC", seconds=True)


def utc_beside(instant: datetime, zone: str) -> str:
    """= 08:00 UTC, for beside a moment in its zone: with the day where that is another one; "" for UTC itself."""
    if zone == "UTC":
        return ""
    there, here = instant.astimezone(_zone(zone)), instant.astimezone(UTC)
    return f"= {here:%H:%M} UTC" if there.date() == here.date() else f"= {here:%a %H:%M} UTC"


def in_words(instant: datetime, zone: str, *, seconds: bool = False) -> str:
    """Tue 24 Nov 09:00 Europe/Berlin; with the year where it is not this one."""
    local = instant.astimezone(_zone(zone))
    year = "" if local.year == the_house().clock.now().astimezone(_zone(zone)).year else " %Y"
    clock = "%H:%M:%S" if seconds else "%H:%M"
    return f"{local:%a} {local.day} {local:%b{year} {clock}} {zone}"


def from_now(instant: datetime) -> str:
    """in 14 min, 3 min ago; the words of static/js/app.js."""
    away = (instant - the_house().clock.now()).total_seconds()
    if abs(away) < 1:
        return "now"
    words = duration(abs(away))
    return f"in {words}" if away > 0 else f"{words} ago"


def is_near(instant: datetime) -> bool:
    """Say whether a time is near enough to be told as a distance from now: within a day."""
    return abs(instant.astimezone(UTC) - the_house().clock.now()) < _DAY


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
