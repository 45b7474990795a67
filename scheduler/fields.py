"""What a person says about a schedule, and a sentence for everything in it that makes no sense."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Protocol
from zoneinfo import available_timezones

from foundation.errors import FieldError, Invalid
from scheduler.model import CatchUp, Overlap, ScheduleType
from scheduler.recurrence import Planned, first_slot
from scheduler.rules import parse_rule

LONGEST_INTERVAL_MINUTES = 10 * 366 * 24 * 60
EARLIEST_YEAR, LATEST_YEAR = 1970, 2200

# Names that the zone database may hold, but that mean another zone on another machine, or none.
_NO_ZONES = frozenset({"localtime", "posixrules", "Factory"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFields:
    """The fields of a schedule that a person sets; they mean what they mean in Schedule."""

    campaign_id: int
    schedule_time: datetime
    schedule_type: ScheduleType
    repeat_interval: int | None
    rrule: str | None
    timezone: str
    enabled: bool
    ends_at: datetime | None
    max_runs: int | None
    catch_up: CatchUp
    overlap: Overlap
    note: str | None


class Definition(Planned, Protocol):
    """What can be checked; Schedule and ScheduleFields have it."""

    @property
    def campaign_id(self) -> int: ...
    @property
    def max_runs(self) -> int | None: ...


def check(fields: Definition) -> None:
    """Raise Invalid naming every field that is wrong; say nothing about what depends on the time it is now."""
    errors = [
        *_check_campaign(fields),
        *_check_schedule_time(fields),
        *_check_timezone(fields),
        *_check_repeat_interval(fields),
        *_check_rrule(fields),
        *_check_ends(fields),
    ]
    # Slots exist only for a definition that is sound in itself.
    errors = errors or [*_check_slots(fields)]
    if errors:
        raise Invalid(errors)


def _check_campaign(fields: Definition) -> Iterator[FieldError]:
    if fields.campaign_id < 1:
        yield FieldError(
            "campaign_id", f"{fields.campaign_id} is the id of no campaign: ids begin at 1"
        )


def _check_schedule_time(fields: Definition) -> Iterator[FieldError]:
    time = fields.schedule_time
    if time.tzinfo is not None:
        yield FieldError(
            "schedule_time",
            f"{time.isoformat()} has an offset: give wall-clock time, its zone is in timezone",
        )
    if not EARLIEST_YEAR <= time.year <= LATEST_YEAR:
        yield FieldError(
            "schedule_time",
            f"{time.isoformat()} is too far away: use a year from {EARLIEST_YEAR} to {LATEST_YEAR}",
        )


def _check_timezone(fields: Definition) -> Iterator[FieldError]:
    name = fields.timezone
    if not name:
        yield FieldError("timezone", "The time zone is empty: give a name, as Europe/Berlin or UTC")
    elif not is_zone(name):
        close = close_zones(name)
        instead = (
            f"did you mean {' or '.join(close)}?" if close else "use one as Europe/Berlin or UTC"
        )
        yield FieldError("timezone", f"{name[:100]!r} is not an IANA time zone: {instead}")


def _check_repeat_interval(fields: Definition) -> Iterator[FieldError]:
    minutes = fields.repeat_interval
    kind = fields.schedule_type
    if kind is not ScheduleType.CUSTOM:
        if minutes is not None:
            yield FieldError(
                "repeat_interval",
                f"repeat_interval is for schedule_type custom only, this one is {kind}: leave it out",
            )
    elif minutes is None:
        yield FieldError(
            "repeat_interval", "schedule_type custom needs repeat_interval: give it in minutes"
        )
    elif not 1 <= minutes <= LONGEST_INTERVAL_MINUTES:
        yield FieldError(
            "repeat_interval",
            f"{minutes} minutes is not possible: use 1 to {LONGEST_INTERVAL_MINUTES} (ten years)",
        )


def _check_rrule(fields: Definition) -> Iterator[FieldError]:
    kind = fields.schedule_type
    if kind is not ScheduleType.RRULE:
        if fields.rrule is not None:
            yield FieldError(
                "rrule", f"rrule is for schedule_type rrule only, this one is {kind}: leave it out"
            )
    elif fields.rrule is None:
        yield FieldError(
            "rrule", "schedule_type rrule needs rrule: give a rule, as FREQ=WEEKLY;BYDAY=MO"
        )
    else:
        try:
            parse_rule(fields.rrule)
        except Invalid as invalid:
            yield from invalid.errors


def _check_ends(fields: Definition) -> Iterator[FieldError]:
    if fields.max_runs is not None and fields.max_runs < 1:
        yield FieldError(
            "max_runs",
            f"max_runs {fields.max_runs} allows no run: use 1 or more, or leave it out for no limit",
        )
    if fields.ends_at is not None and fields.ends_at.tzinfo is None:
        yield FieldError(
            "ends_at",
            f"{fields.ends_at.isoformat()} has no offset: write it as 2026-12-31T23:59:59Z",
        )


def _check_slots(fields: Definition) -> Iterator[FieldError]:
    try:
        first = first_slot(fields)
    except Invalid as invalid:
        yield from invalid.errors
        return
    if first is None:
        yield FieldError("rrule", _why_no_slot(fields))
    elif fields.ends_at is not None and first.at > fields.ends_at:
        yield FieldError(
            "ends_at",
            f"There is no slot: the schedule ends at {fields.ends_at.isoformat()}, before its first"
            f" slot at {first.local.isoformat()}. Choose a later end, or an earlier schedule_time",
        )


def _why_no_slot(fields: Definition) -> str:
    begin = fields.schedule_time.isoformat()
    if parse_rule(fields.rrule or "").until:
        return (
            f"The rule has no occurrence from {begin} until its UNTIL: choose a later one,"
            " or an earlier schedule_time"
        )
    return f"The rule has no occurrence after {begin}: no day and time match all its parts"


def close_zones(name: str) -> list[str]:
    """Return at most three zones that somebody who wrote this may have meant."""
    wanted = name.strip().casefold().replace(" ", "_")
    by_folded = {zone.casefold(): zone for zone in sorted(_zone_names())}
    if wanted in by_folded:
        return [by_folded[wanted]]
    if cities := [zone for zone in by_folded if zone.rpartition("/")[2] == wanted]:
        return [by_folded[zone] for zone in cities[:3]]
    # A name that is much longer than any zone's is not worth comparing with six hundred of them.
    close = difflib.get_close_matches(wanted[:50], by_folded, n=3, cutoff=0.7)
    return [by_folded[zone] for zone in close]


def is_zone(name: str) -> bool:
    """Say whether a schedule may be in the zone of this name."""
    return name in _zone_names()


def zone_names() -> list[str]:
    """Return the names of all zones that a schedule may be in, in order."""
    return sorted(_zone_names())


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - _NO_ZONES
