"""What an edit of a definition means to the ledger: the floor, and rows for the slots that it passes over.

Runs in the transaction that brings the copy of the definitions up to date, for edits through the API and by hand alike.
"""

from datetime import datetime

from delivery import slots
from foundation.log import log_for
from scheduler.due import PAUSED, passed_over
from scheduler.model import Schedule
from storage.aliveness import current_epoch
from storage.database import Tx

log = log_for(__name__)

EDITED = "edited"


def apply_edit(tx: Tx, old: Schedule | None, new: Schedule, now: datetime) -> None:
    """Let a new schedule begin, or let a changed one go on from now.

    The floor rises when the schedule was enabled or its times changed. Slots that were due before and not decided get a
    row, skipped: "paused" when they fell into a pause, else "edited".
    """
    slots.begin(tx, new.id, now)
    slots.mark_behind(tx, new.id)
    if old is None:
        return
    enabled_now = new.enabled and not old.enabled
    if not enabled_now and times_of(old) == times_of(new):
        return
    standing = slots.standings(tx, [new.id], now)[new.id]
    reason = EDITED if old.enabled else PAUSED
    try:
        rows = passed_over(old, standing, until=now, reason=reason, edit=new.version)
    except Exception:
        # A definition that can't be computed any more (its zone is gone, say) must not keep people from mending it.
        log.exception("the slots passed over can't be told", schedule_id=new.id)
        rows = ()
    epoch = current_epoch(tx)
    slots.write_all(tx, new.id, rows, run_id=None, epoch=epoch, now=now)
    slots.raise_floor(tx, new.id, now)


def times_of(schedule: Schedule) -> tuple[object, ...]:
    """Return what says when a schedule runs: time, kind, rule, zone."""
    return (
        schedule.schedule_time,
        schedule.schedule_type,
        schedule.repeat_interval,
        schedule.rrule,
        schedule.timezone,
    )
