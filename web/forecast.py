"""What sending a campaign at some time would mean: how many people, what they lack, how long, who else sends then.

Joins what the rooms know; nothing here decides anything.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from assembly import Sendonce
from audience import store as audiences
from audience import suppressions
from audience.model import Recipient
from campaigns import store as campaigns
from campaigns.model import Snapshot
from campaigns.render import RecipientView, RenderError, compile_content
from delivery import outlook
from foundation.errors import Invalid, NotFound
from scheduler import desk
from scheduler.model import Slot
from storage.database import Tx
from web.bookings import bookings, busy_for
from web.schedule_rows import names_of

MOST_LOOKED_AT = 1000

_LONGEST_LOOKED_FOR = timedelta(hours=6)
"""Of what began before that nobody says that it may still be going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """Another schedule that is expected to send, from one of its slots on, in the time that the first slot takes."""

    schedule_id: int
    campaign_id: int
    slot: datetime
    account_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """recipients are those who would get it, each once, suppressed those who would not for that reason.

    lacking is of the first looked_at people.
    """

    recipients: int
    suppressed: int
    looked_at: int
    lacking: Mapping[str, int]
    expected_seconds: float | None
    collisions: Sequence[Collision]


def forecast(house: Sendonce, campaign_id: int, slots: Sequence[Slot]) -> Forecast:
    """Say what the first of these slots would mean. Raises Invalid on campaign_id."""
    with house.database.read() as tx:
        try:
            snapshot = campaigns.freeze(tx, campaign_id)
        except NotFound as error:
            raise Invalid.field("campaign_id", error.message) from None
        suppressed = suppressions.count_suppressed(tx, snapshot.audience_ids)
        people = audiences.count_people(tx, snapshot.audience_ids) - suppressed
        members = _some_members(tx, snapshot)
        now = house.clock.now()
        first = slots[0].at if slots else now
        seconds = outlook.expected_seconds(tx, people, snapshot.account_ids, at=first, now=now)
    others = _collisions(house, campaign_id, slots[0].at, seconds) if slots else []
    return Forecast(
        recipients=people,
        suppressed=suppressed,
        looked_at=len(members),
        lacking=_lacking(members, snapshot),
        expected_seconds=seconds,
        collisions=others,
    )


def _some_members(tx: Tx, snapshot: Snapshot) -> list[Recipient]:
    ids = snapshot.audience_ids
    ceiling = audiences.highest_recipient_id(tx, ids)
    found = audiences.members(tx, ids, after=0, ceiling=ceiling, limit=MOST_LOOKED_AT)
    suppressed = suppressions.which_suppressed(tx, [member.address_key for member in found])
    # As a run does it: of a person on two lists the first entry counts.
    people = {member.address_key: member for member in reversed(found)}
    return [member for key, member in people.items() if key not in suppressed]


def _lacking(members: Sequence[Recipient], snapshot: Snapshot) -> Counter[str]:
    compiled = compile_content(snapshot)
    lacking: Counter[str] = Counter()
    for member in members:
        view = RecipientView(email=member.email, name=member.name, attributes=member.attributes)
        try:
            lacking.update(compiled.lacking(view))
        except RenderError:  # the preview of that recipient says more
            lacking.update(["(can't be rendered)"])
    return lacking


def _collisions(
    house: Sendonce, campaign_id: int, first: datetime, seconds: float | None
) -> list[Collision]:
    """Return who else is expected to send through the same accounts then: of each schedule its first slot."""
    now = house.clock.now()
    names = names_of(house)
    mine = set(names.campaigns[campaign_id].account_ids)
    sharing = {i for i, other in names.campaigns.items() if mine.intersection(other.account_ids)}
    until = first + busy_for(seconds)
    items = desk.calendar(house.scheduler, first - _LONGEST_LOOKED_FOR, until, campaign_ids=sharing)
    to_come = [item for item in items if item.decision is None and item.slot < until]
    with house.database.read() as tx:
        booked = bookings(tx, to_come, names, now=now)
    found = {b.item.schedule_id: b for b in reversed(booked) if b.ends_at > first}
    return [
        Collision(
            schedule_id=schedule_id,
            campaign_id=booking.item.campaign_id or 0,
            slot=booking.item.slot,
            account_ids=tuple(sorted(mine.intersection(booking.account_ids))),
        )
        for schedule_id, booking in sorted(found.items(), key=lambda one: one[1].item.slot)
    ]
