"""What demo and chaos are made of: a folder of their own, a campaign to invented people, a schedule due at once."""

import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from assembly import Sendonce, sample
from scheduler import desk
from scheduler.model import Schedule, Status

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
    with house.database.write(durable=True) as tx:
        letter = sample.write(tx, recipients, account_id=account_id, now=house.clock.now())
    due = sample.due_at_once(letter.campaign.id, house.clock.now())
    schedule = desk.create(house.scheduler, due)
    return Plan(schedule_id=schedule.id, addresses=letter.addresses)


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
