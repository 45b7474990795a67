"""Slots of all schedules as a list by day, and what an account is busy with as a line. Pure: bookings come in."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from web.bookings import Booking

UNIT = 100
"""How wide a day is drawn."""

_TOGETHER = 4
"""As many slots of a schedule that went alike on a day are one entry: nobody reads "every hour" twenty-four times."""
_MOST_NAMED = 2
_MOST_LOOKED_AT = 20
_NARROWEST = 2
_CAN_BE_SEEN_APART = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What else an account is expected to be busy with: some of those schedules, and whether there are more."""

    account_id: int
    schedule_ids: tuple[int, ...]
    has_more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the list: the bookings of one schedule on one day that are shown together, in the order of time."""

    bookings: tuple[Booking, ...]
    overlaps: tuple[Overlap, ...]
    zone: str

    @property
    def first(self) -> Booking:
        return self.bookings[0]

    @property
    def last(self) -> Booking:
        return self.bookings[-1]

    @property
    def notes(self) -> list[str]:
        """What is to be said of its slots, each thing once: why one is not at its time, why one did not run."""
        return [*dict.fromkeys(b.item.reason for b in self.bookings if b.item.reason)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day that has entries."""

    day: date
    entries: tuple[Entry, ...]


def days_of(
    booked: Sequence[Booking],
    zones: Sequence[str],
    shared: Mapping[int, tuple[Overlap, ...]],
    *,
    first: date,
    length: int,
) -> list[Day]:
    """Return the days from first on that have slots.

    zones says, for each booking, by whose clock it is told; shared is what overlaps() says of them.
    """
    found: dict[date, dict[tuple[object, ...], list[int]]] = {}
    for n, (booking, zone) in enumerate(zip(booked, zones, strict=True)):
        day = booking.item.slot.astimezone(ZoneInfo(zone)).date()
        if first <= day < first + timedelta(days=length):
            alike = (booking.item.schedule_id, booking.item.decision)
            found.setdefault(day, {}).setdefault(alike, []).append(n)
    return [
        Day(
            day=day,
            entries=tuple(
                Entry(
                    bookings=tuple(booked[n] for n in together),
                    overlaps=_joined([shared[n] for n in together if n in shared]),
                    zone=zones[together[0]],
                )
                for together in sorted(_together(found[day].values()))
            ),
        )
        for day in sorted(found)
    ]


def _together(alike: Iterable[list[int]]) -> Iterator[list[int]]:
    for some in alike:
        if len(some) > _TOGETHER:
            yield some
        else:
            yield from ([n] for n in some)


def _joined(shared: Sequence[tuple[Overlap, ...]]) -> tuple[Overlap, ...]:
    """Return one overlap for each account."""
    joined: dict[int, Overlap] = {}
    for overlap in (one for some in shared for one in some):
        before = joined.setdefault(overlap.account_id, overlap)
        ids = tuple(dict.fromkeys((*before.schedule_ids, *overlap.schedule_ids)))
        has_more = before.has_more or overlap.has_more or len(ids) > _MOST_NAMED
        joined[overlap.account_id] = replace(
            before, schedule_ids=ids[:_MOST_NAMED], has_more=has_more
        )
    return tuple(joined.values())


def overlaps(booked: Sequence[Booking]) -> dict[int, tuple[Overlap, ...]]:
    """Return, by position, what slots to come share an account with at the same time; booked is in the order of time.

    Of very many only the nearest are looked at, and what is busy for longest.
    """
    found: dict[int, list[Overlap]] = {}
    for account_id in sorted({i for b in booked for i in b.account_ids}):
        mine = [n for n, b in enumerate(booked) if _is_to_come(b) and account_id in b.account_ids]
        starts = [booked[n].item.slot for n in mine]
        longest: int | None = None
        for at, n in enumerate(mine):
            booking = booked[n]
            later = mine[at + 1 : min(bisect_left(starts, booking.ends_at), at + _MOST_LOOKED_AT)]
            earlier = mine[max(0, at - _MOST_LOOKED_AT) : at]
            near = [*earlier, *later] if longest is None else [longest, *earlier, *later]
            others = dict.fromkeys(
                booked[other].item.schedule_id
                for other in near
                if booked[other].ends_at > booking.item.slot
                and booked[other].item.schedule_id != booking.item.schedule_id
            )
            if others:
                found.setdefault(n, []).append(
                    Overlap(
                        account_id=account_id,
                        schedule_ids=tuple(others)[:_MOST_NAMED],
                        has_more=len(others) > _MOST_NAMED,
                    )
                )
            if longest is None or booking.ends_at > booked[longest].ends_at:
                longest = n
    return {n: tuple(some) for n, some in found.items()}


def drawn(booked: Iterable[Booking], *, first: date, length: int, zone: str) -> str:
    """Return an SVG path of when these are sent, in days of UNIT from the first on, by the clock of the zone.

    What could not be seen apart is one piece, so a path has no more pieces than a screen has room for.
    """
    width = length * UNIT
    pieces: list[list[int]] = []
    for booking in sorted(booked, key=lambda b: b.item.slot):
        x = max(0, place(booking.item.slot, first=first, zone=zone))
        end = min(width, max(x + _NARROWEST, place(booking.ends_at, first=first, zone=zone)))
        if x >= width or end <= 0:
            continue
        if pieces and x - pieces[-1][1] < _CAN_BE_SEEN_APART:
            pieces[-1][1] = max(pieces[-1][1], end)
        else:
            pieces.append([x, end])
    return "".join(f"M{x} 4h{end - x}v16h{x - end}z" for x, end in pieces)


def place(instant: datetime, *, first: date, zone: str) -> int:
    """Return where an instant stands on a line that begins with the day first."""
    local = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    begin = datetime.combine(first, time.min)
    return round((local - begin) / timedelta(days=1) * UNIT)


def _is_to_come(booking: Booking) -> bool:
    return booking.item.decision is None
