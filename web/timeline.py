"""What each account is busy with, ready to be drawn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from delivery.model import Decision
from web.agenda import UNIT, drawn, place
from web.calendar_window import Asked, Seen

MOST_LANES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """What an account is busy with, as SVG paths: what went, what is to come, and what of that overlaps."""

    account: str
    past: str
    to_come: str
    overlapping: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All lanes. width is in units, ticks a path; now: where we are, None where that is not in it."""

    lanes: Sequence[Lane]
    more_lanes: int
    days: Sequence[str]
    width: int
    ticks: str
    now: int | None
    zone: str


def timeline(seen: Seen, asked: Asked, length: int, now: datetime) -> Timeline:
    """Return the lanes of so many days; of an account's slots those that were left out are not drawn."""
    used = sorted({i for b in seen.booked for i in b.account_ids if i in seen.account_names})

    def path(account_id: int, *, is_past: bool, shares: bool = False) -> str:
        its = (
            b
            for n, b in enumerate(seen.booked)
            if account_id in b.account_ids
            and (b.item.decision is not None) == is_past
            and b.item.decision in (None, Decision.CLAIMED)
            and any(o.account_id == account_id for o in seen.shared.get(n, ())) == shares
        )
        return drawn(its, first=asked.first, length=length, zone=asked.zone)

    here = place(now, first=asked.first, zone=asked.zone)
    return Timeline(
        lanes=[
            Lane(
                account=seen.account_names[i],
                past=path(i, is_past=True),
                to_come=path(i, is_past=False),
                overlapping=path(i, is_past=False, shares=True),
            )
            for i in used[:MOST_LANES]
        ],
        more_lanes=len(used) - MOST_LANES,
        days=[
            f"{day:%a} {day.day}"
            for n in range(length)
            for day in [asked.first + timedelta(days=n)]
        ],
        width=length * UNIT,
        ticks="".join(f"M{n * UNIT} 0v24" for n in range(1, length)),
        now=here if 0 <= here <= length * UNIT else None,
        zone=asked.zone,
    )
