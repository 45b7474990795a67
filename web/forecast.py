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
from scheduler.model import Slot
from storage.database import Tx

MOST_LOOKED_AT = 1000

_AT_LEAST = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision:
    """Another schedule whose next slot falls into the time that the first slot would take."""

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
        others = _collisions(house, tx, snapshot, slots, seconds) if slots else []
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
    house: Sendonce,
    tx: Tx,
    snapshot: Snapshot,
    slots: Sequence[Slot],
    seconds: float | None,
) -> list[Collision]:
    width = max(_AT_LEAST, timedelta(seconds=seconds or 0))
    first = slots[0].at
    near = [
        schedule
        for schedule in house.store.read()
        if schedule.enabled and schedule.next_run and abs(schedule.next_run - first) < width
    ]
    used = {i: _account_ids(tx, i) for i in {schedule.campaign_id for schedule in near}}
    mine = set(snapshot.account_ids)
    return [
        Collision(
            schedule_id=schedule.id,
            campaign_id=schedule.campaign_id,
            slot=schedule.next_run,
            account_ids=tuple(sorted(mine & used[schedule.campaign_id])),
        )
        for schedule in near
        if schedule.next_run and mine & used[schedule.campaign_id]
    ]


def _account_ids(tx: Tx, campaign_id: int) -> set[int]:
    try:
        return set(campaigns.get(tx, campaign_id).account_ids)
    except NotFound:
        return set()
