"""The sample letter: a campaign to invented people, and a schedule of it that is due at once.

The demo, chaos and the dashboard's first steps send it, through an account from which nothing leaves this machine.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from assembly.invented import HTML, SUBJECT, people
from audience import store as audiences
from audience.model import Audience
from campaigns import store as campaigns
from campaigns.model import Campaign, InDoubtRule
from campaigns.store import CampaignFields
from scheduler.fields import ScheduleFields
from scheduler.model import CatchUp, Overlap, ScheduleType
from storage.database import Tx

AUDIENCE = "Readers of the letter"
CAMPAIGN = "The letter"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What was made: addresses are those that are to get one message each."""

    audience: Audience
    campaign: Campaign
    addresses: tuple[str, ...]


def write(tx: Tx, recipients: int, *, account_id: int, now: datetime) -> Letter:
    """Make an audience of so many invented people, and the campaign to them through this account."""
    invented = people(recipients)
    audience = audiences.create_audience(tx, AUDIENCE, now)
    audiences.add_recipients(tx, audience.id, invented, now)
    fields = CampaignFields(
        name=CAMPAIGN,
        subject=SUBJECT,
        html=HTML,
        text=None,
        audience_ids=(audience.id,),
        account_ids=(account_id,),
        from_name=CAMPAIGN,
        reply_to=None,
        in_doubt=InDoubtRule.HOLD,
    )
    return Letter(
        audience=audience,
        campaign=campaigns.create(tx, fields, now),
        addresses=tuple(person.email for person in invented),
    )


def due_at_once(campaign_id: int, now: datetime) -> ScheduleFields:
    """Return a one-time schedule whose slot is as near as one can be; then comes the undo window."""
    # It can't be made for the past, so it is due when the second after the next one begins.
    due = now.astimezone(UTC).replace(microsecond=0, tzinfo=None) + timedelta(seconds=2)
    return ScheduleFields(
        campaign_id=campaign_id,
        schedule_time=due,
        schedule_type=ScheduleType.ONCE,
        repeat_interval=None,
        rrule=None,
        timezone="UTC",
        enabled=True,
        ends_at=None,
        max_runs=None,
        catch_up=CatchUp.HOLD,
        overlap=Overlap.WAIT,
        note=None,
    )
