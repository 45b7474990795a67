"""What demo and chaos are made of: a folder of their own, a campaign to invented people, a schedule due at once."""

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from assembly import Sendonce
from audience import store as audience_store
from campaigns import store as campaign_store
from campaigns.model import InDoubtRule
from campaigns.store import CampaignFields
from ops.invented import HTML, SUBJECT, people
from scheduler import desk
from scheduler.fields import ScheduleFields
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Status

LOOK_EVERY = timedelta(seconds=0.1)
PATIENCE = timedelta(seconds=60)
"""How long nothing at all may happen before it is said that something is wrong."""

_FILE_FOLLOWS_WITHIN = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What was made ready: the schedule, and the addresses that are to get one message each."""

    schedule_id: int
    addresses: tuple[str, ...]


def environment(folder: Path) -> dict[str, str]:
    """Return all settings, as environment variables: none of the user's reaches it, and all it keeps is in the folder.

    The undo window, 30 seconds as a rule, is 0.
    """
    return {
        "SENDONCE_DATA_DIR": str(folder / "data"),
        "SENDONCE_STATE_DIR": str(folder / "state"),
        "SENDONCE_EXECUTION_BUFFER": "0",
        "SENDONCE_SCHEDULER_CHECK_INTERVAL": "0.2",
    }


def prepare(house: Sendonce, recipients: int, *, account_id: int) -> Plan:
    """Make a campaign to so many invented people, through this account, and a schedule that is due in a moment."""
    now = house.clock.now()
    invented = people(recipients)
    with house.database.write(durable=True) as tx:
        audience = audience_store.create_audience(tx, "Readers of the letter", now)
        audience_store.add_recipients(tx, audience.id, invented, now)
        fields = CampaignFields(
            name="The letter",
            subject=SUBJECT,
            html=HTML,
            text=None,
            audience_ids=(audience.id,),
            account_ids=(account_id,),
            from_name="The letter",
            reply_to=None,
            in_doubt=InDoubtRule.HOLD,
        )
        campaign = campaign_store.create(tx, fields, now)
    schedule = desk.create(house.scheduler, _due_at_once(campaign.id, house.clock.now()))
    return Plan(schedule_id=schedule.id, addresses=tuple(person.email for person in invented))


def settled(house: Sendonce, plan: Plan, stopping: threading.Event) -> Schedule:
    """Return the schedule as the file has it once the run's end has reached it: two ticks at the latest."""
    deadline = house.clock.elapsed() + _FILE_FOLLOWS_WITHIN
    while True:
        schedule = desk.get(house.scheduler, plan.schedule_id)
        waits = schedule.status in (Status.PENDING, Status.RUNNING)
        if not waits or stopping.is_set() or house.clock.elapsed() > deadline:
            return schedule
        house.clock.wait(stopping, LOOK_EVERY)


def why_not_done(schedule: Schedule) -> str | None:
    """Say how the schedule stands where it has not ended with the one run that it was made for; None where it has."""
    if schedule.status is Status.COMPLETED and schedule.total_runs == 1:
        return None
    runs = "1 run" if schedule.total_runs == 1 else f"{schedule.total_runs} runs"
    return f"The schedule is {schedule.status} after {runs}."


def _due_at_once(campaign_id: int, now: datetime) -> ScheduleFields:
    # A one-time schedule can't be made for the past, so it is due when the second after the next one begins.
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
