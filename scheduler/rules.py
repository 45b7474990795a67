"""RFC 5545 rules as text: what is understood, and a sentence for everything that is not.

python-dateutil takes rules that make no sense (INTERVAL=0 repeats one instant for ever, BYHOUR=25 fails only when the
rule runs), so nothing reaches it that has not been through parse_rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from enum import StrEnum

from foundation.errors import FieldError, Invalid

# Nothing is planned from here on: it bounds all arithmetic, and a rule that ends later never ends.
HORIZON = datetime(2400, 1, 1)  # noqa: DTZ001 - wall-clock time of any zone

MOST_CHARACTERS = 500
MOST_COUNT = 10_000
MOST_TIMES_A_DAY = 288

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAYS_IN_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
_WEEKDAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)")
_UNTIL = re.compile(r"([0-9]{8})(?:T([0-9]{6})(Z)?)?")


class Freq(StrEnum):
    """How long a rule's period is."""

    YEARLY = "YEARLY"
    MONTHLY = "MONTHLY"
    WEEKLY = "WEEKLY"
    DAILY = "DAILY"
    HOURLY = "HOURLY"
    MINUTELY = "MINUTELY"


# About a hundred years each: a number beyond is a slip, and would overflow what is computed from it.
_MOST_INTERVAL = {
    Freq.YEARLY: 100,
    Freq.MONTHLY: 1_200,
    Freq.WEEKLY: 5_200,
    Freq.DAILY: 36_500,
    Freq.HOURLY: 876_000,
    Freq.MINUTELY: 52_560_000,
}

# The parts that are lists of numbers, with the lowest and the highest; numbers below 0 count from the end, and 0 itself
# means nothing where there are such.
_LISTS = {
    "BYMONTH": (1, 12),
    "BYMONTHDAY": (-31, 31),
    "BYYEARDAY": (-366, 366),
    "BYWEEKNO": (-53, 53),
    "BYHOUR": (0, 23),
    "BYMINUTE": (0, 59),
    "BYSECOND": (0, 59),
    "BYSETPOS": (-366, 366),
}
_PARTS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", *_LISTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule that makes sense. An empty tuple is a part that was not given.

    byday holds (weekday, n): Monday is 0, n is None for every one of them. until is an instant (aware) or wall-clock
    time in the schedule's zone (naive), inclusive; one that was written as a date is the end of that day.
    """

    freq: Freq
    interval: int
    count: int | None
    until: datetime | None
    wkst: int
    bymonth: tuple[int, ...]
    bymonthday: tuple[int, ...]
    byyearday: tuple[int, ...]
    byweekno: tuple[int, ...]
    byday: tuple[tuple[int, int | None], ...]
    byhour: tuple[int, ...]
    byminute: tuple[int, ...]
    bysecond: tuple[int, ...]
    bysetpos: tuple[int, ...]

    @property
    def is_shorter_than_a_day(self) -> bool:
        return self.freq in (Freq.HOURLY, Freq.MINUTELY)

    @property
    def has_by_parts(self) -> bool:
        return any(
            (
                self.bymonth,
                self.bymonthday,
                self.byyearday,
                self.byweekno,
                self.byday,
                self.byhour,
                self.byminute,
                self.bysecond,
            )
        )


def parse_rule(text: str) -> Rule:
    """Read a rule as FREQ=WEEKLY;BYDAY=MO; RRULE: in front, lower case and a semicolon at the end are fine.

    Raises Invalid with a sentence, on the field rrule, for everything that is wrong with it. Whether the rule ever
    occurs is not looked at.
    """
    if len(text) > MOST_CHARACTERS:
        _refuse([f"is {len(text)} characters long: write a rule of at most {MOST_CHARACTERS}"])
    parts, problems = _split(text)
    if problems:
        _refuse(problems)
    rule, problems = _read(parts)
    problems = problems or _contradictions(rule, given=parts)
    if problems:
        _refuse(problems)
    return rule


def _refuse(problems: list[str]) -> None:
    raise Invalid([FieldError("rrule", f"The rule {problem}") for problem in problems])


def _split(text: str) -> tuple[dict[str, str], list[str]]:
    lines = [line.strip().upper() for line in text.splitlines() if line.strip()]
    if not lines:
        return {}, ["is empty: write a rule, as FREQ=WEEKLY;BYDAY=MO"]
    if other := next(
        (n for n in ("DTSTART", "EXDATE", "RDATE", "EXRULE") if n in text.upper()), ""
    ):
        return {}, [
            f"has {other}: give the rule alone; schedule_time and timezone say where it begins,"
            " and single slots can be skipped later"
        ]
    if len(lines) > 1 or lines[0].count("FREQ=") > 1:
        return {}, ["holds more than one rule: make one schedule for each"]

    parts: dict[str, str] = {}
    problems = []
    for part in lines[0].removeprefix("RRULE:").rstrip(";").split(";"):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            problems.append(f"has {part.strip()!r}, which is no NAME=VALUE: write it as INTERVAL=2")
        elif name in parts:
            problems.append(f"has {name} twice: give it once, with its values parted by commas")
        elif name in ("SKIP", "RSCALE"):
            problems.append(
                f"has {name} (RFC 7529), which is not supported: schedule_type monthly already moves"
                " to the last day of shorter months"
            )
        elif name not in _PARTS:
            problems.append(
                f"has {name}, which is not a part of a rule that is supported: leave it out"
            )
        parts[name] = value
    return parts, problems


def _read(parts: Mapping[str, str]) -> tuple[Rule, list[str]]:
    problems: list[str] = []
    freq = _freq(parts, problems)
    lists = {name: _numbers(name, parts, problems) for name in _LISTS}
    rule = Rule(
        freq=freq,
        interval=_number("INTERVAL", parts, problems, most=_MOST_INTERVAL[freq]) or 1,
        count=_number("COUNT", parts, problems, most=MOST_COUNT),
        until=_until(parts, problems),
        wkst=_wkst(parts, problems),
        byday=_byday(parts, problems),
        bymonth=lists["BYMONTH"],
        bymonthday=lists["BYMONTHDAY"],
        byyearday=lists["BYYEARDAY"],
        byweekno=lists["BYWEEKNO"],
        byhour=lists["BYHOUR"],
        byminute=lists["BYMINUTE"],
        bysecond=lists["BYSECOND"],
        bysetpos=lists["BYSETPOS"],
    )
    return rule, problems


def _freq(parts: Mapping[str, str], problems: list[str]) -> Freq:
    value = parts.get("FREQ")
    if value in tuple(Freq):
        return Freq(value)
    if value is None:
        problems.append(f"has no FREQ: begin it with FREQ= and one of {', '.join(Freq)}")
    elif value == "SECONDLY":
        problems.append("has FREQ=SECONDLY: the shortest step is a minute, use FREQ=MINUTELY")
    else:
        problems.append(f"has FREQ={value}: use one of {', '.join(Freq)}")
    return Freq.DAILY


def _number(name: str, parts: Mapping[str, str], problems: list[str], *, most: int) -> int | None:
    value = parts.get(name)
    if value is None:
        return None
    if not _NUMBER.fullmatch(value) or not 1 <= int(value) <= most:
        instead = "; for more, leave it out and set an end" if name == "COUNT" else ""
        problems.append(f"has {name}={value}: it must be a number from 1 to {most}{instead}")
        return None
    return int(value)


def _numbers(name: str, parts: Mapping[str, str], problems: list[str]) -> tuple[int, ...]:
    lowest, highest = _LISTS[name]
    found = set()
    for value in parts[name].split(",") if name in parts else ():
        if not _NUMBER.fullmatch(value):
            problems.append(f"has {value!r} in {name}: write numbers parted by commas")
        elif not lowest <= int(value) <= highest or (lowest < 0 and int(value) == 0):
            but_not = " (but not 0)" if lowest < 0 else ""
            problems.append(
                f"has {value} in {name}: it must be from {lowest} to {highest}{but_not}"
            )
        else:
            found.add(int(value))
    return tuple(sorted(found))


def _byday(parts: Mapping[str, str], problems: list[str]) -> tuple[tuple[int, int | None], ...]:
    found: list[tuple[int, int | None]] = []
    for value in parts["BYDAY"].split(",") if "BYDAY" in parts else ():
        match = _WEEKDAY.fullmatch(value)
        if match is None or (match[1] and not 1 <= abs(int(match[1])) <= 53):
            problems.append(
                f"has {value!r} in BYDAY: write weekdays as MO, 2TU (the second) or -1FR (the last)"
            )
            continue
        day = (_WEEKDAYS.index(match[2]), int(match[1]) if match[1] else None)
        if day not in found:
            found.append(day)
    return tuple(found)


def _wkst(parts: Mapping[str, str], problems: list[str]) -> int:
    value = parts.get("WKST", "MO")
    if value not in _WEEKDAYS:
        problems.append(f"has WKST={value}: use one of {', '.join(_WEEKDAYS)}")
        return 0
    return _WEEKDAYS.index(value)


def _until(parts: Mapping[str, str], problems: list[str]) -> datetime | None:
    value = parts.get("UNTIL")
    if value is None:
        return None
    match = _UNTIL.fullmatch(value)
    try:
        if match is None or match[1] < "1900":
            raise ValueError
        day = datetime.strptime(match[1], "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
        end = datetime.strptime(match[2], "%H%M%S").time() if match[2] else time(23, 59, 59)  # noqa: DTZ007 - nor has a time
    except ValueError:
        problems.append(
            f"has UNTIL={value}: write it as 20261231T235959Z (UTC), 20261231T235959 (in the"
            " schedule's timezone) or 20261231 (that day is still in)"
        )
        return None
    until = datetime.combine(day, end)
    if until >= HORIZON:
        return None
    return until.replace(tzinfo=UTC) if match[3] else until


def _contradictions(rule: Rule, *, given: Mapping[str, str]) -> list[str]:
    """Say which parts do not go together: by RFC 5545 3.3.10, or because what they give would not be sure."""
    freq = rule.freq
    numbered = [n for _, n in rule.byday if n is not None]
    most_n = 53 if freq is Freq.YEARLY and not rule.bymonth else 5
    daily_or_longer = not rule.is_shorter_than_a_day
    rows: list[tuple[bool, str]] = [
        (
            "COUNT" in given and "UNTIL" in given,
            "has both COUNT and UNTIL: give one of them",
        ),
        (
            bool(numbered) and freq not in (Freq.MONTHLY, Freq.YEARLY),
            f"numbers weekdays in BYDAY={given.get('BYDAY')}, which only means something with"
            f" FREQ=MONTHLY or FREQ=YEARLY, not with FREQ={freq}: leave the numbers out",
        ),
        (
            bool(numbered) and bool(rule.byweekno),
            "numbers weekdays in BYDAY beside BYWEEKNO: leave the numbers out",
        ),
        (
            any(abs(n) > most_n for n in numbered),
            f"has BYDAY={given.get('BYDAY')}: no month or year of this rule has so many of a weekday,"
            f" use at most {most_n}",
        ),
        (
            bool(rule.bymonthday) and freq is Freq.WEEKLY,
            "has BYMONTHDAY with FREQ=WEEKLY: use FREQ=DAILY or FREQ=MONTHLY for days of the month",
        ),
        (
            bool(rule.byyearday) and freq in (Freq.DAILY, Freq.WEEKLY, Freq.MONTHLY),
            f"has BYYEARDAY with FREQ={freq}: use FREQ=YEARLY for days of the year",
        ),
        (
            bool(rule.byweekno) and freq is not Freq.YEARLY,
            f"has BYWEEKNO with FREQ={freq}: use FREQ=YEARLY for weeks of the year",
        ),
        (
            bool(rule.byweekno) and not rule.byday,
            "has BYWEEKNO without BYDAY: say which days of those weeks, as BYDAY=MO",
        ),
        (
            # dateutil forgets the days of those weeks that lie in the year before or after.
            any(abs(n) > 51 for n in rule.byweekno),
            "has week 52 or 53 in BYWEEKNO, which not every year has: use -1 for the last week, -2"
            " for the one before it",
        ),
        (
            len(rule.bysecond) > 1,
            "has several seconds in BYSECOND: slots must be at least a minute apart, give one second",
        ),
        (
            bool(rule.bysetpos) and not rule.has_by_parts,
            "has BYSETPOS with nothing to choose from: add another part, as BYDAY=MO,TU,WE,TH,FR",
        ),
        (
            bool(rule.bysetpos) and rule.is_shorter_than_a_day,
            f"has BYSETPOS with FREQ={freq}: it is supported from FREQ=DAILY on, name the minutes in"
            " BYMINUTE instead",
        ),
        (
            daily_or_longer
            and max(1, len(rule.byhour)) * max(1, len(rule.byminute)) > MOST_TIMES_A_DAY,
            f"has more than {MOST_TIMES_A_DAY} times a day in BYHOUR and BYMINUTE: use FREQ=MINUTELY"
            " with INTERVAL and BYHOUR",
        ),
        (
            _never_that_day(rule),
            f"has no occurrence: no month in BYMONTH={given.get('BYMONTH')} has a day"
            f" BYMONTHDAY={given.get('BYMONTHDAY')}",
        ),
    ]
    return [sentence for wrong, sentence in rows if wrong]


def _never_that_day(rule: Rule) -> bool:
    if not rule.bymonth or not rule.bymonthday:
        return False
    longest = max(_DAYS_IN_MONTH[month - 1] for month in rule.bymonth)
    return all(abs(day) > longest for day in rule.bymonthday)
