"""What sending a campaign at some time would mean: how many people, what they lack, how long, who else sends then.

Joins what the rooms know; nothing here decides anything.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts import store as accounts
from assembly import Sendonce
from audience import store as audiences
from audience.model import Recipient
from campaigns import store as campaigns
from campaigns.model import Snapshot
from campaigns.render import RecipientView, RenderError, compile_content
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
    """recipients counts a person on two lists twice; lacking is of the first looked_at of them."""

    recipients: int
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
        people = sum(audiences.get_audience(tx, i).recipients for i in snapshot.audience_ids)
        members = _some_members(tx, snapshot)
        seconds = _expected_seconds(house, tx, snapshot, people)
        others = _collisions(house, tx, snapshot, slots, seconds) if slots else []
    return Forecast(
        recipients=people,
        looked_at=len(members),
        lacking=_lacking(members, snapshot),
        expected_seconds=seconds,
        collisions=others,
    )


def _some_members(tx: Tx, snapshot: Snapshot) -> list[Recipient]:
    ids = snapshot.audience_ids
    ceiling = audiences.highest_recipient_id(tx, ids)
    return audiences.members(tx, ids, after=0, ceiling=ceiling, limit=MOST_LOOKED_AT)


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


def _expected_seconds(house: Sendonce, tx: Tx, snapshot: Snapshot, people: int) -> float | None:
    rates = [accounts.get(tx, i, house.key).rate_per_second for i in snapshot.account_ids]
    known = [rate for rate in rates if rate is not None]
    return round(people / sum(known), 1) if known and len(known) == len(rates) else None


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
