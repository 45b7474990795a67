"""Takes over an older tool's schedule file from the command line, and says what became of every entry."""

from datetime import datetime
from pathlib import Path

import click

from assembly import Sendonce
from campaigns import store as campaign_store
from foundation.errors import Unavailable
from ops.deeds import command_line
from ops.takeover import Takeover, import_schedules
from scheduler.model import Schedule
from scheduler.recurrence import next_slot

_PAGE = 500


def take_over_file(house: Sendonce, file: Path, *, timezone: str) -> None:
    """Take over the file's schedules. A server may run on the data directory meanwhile.

    Raises Unavailable where the file can't be read, or an entry of it could not be taken over.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise Unavailable(f"{file} can't be read ({error.strerror}). Check the path.") from None
    names = _campaigns(house)
    taken = import_schedules(
        house.store,
        data,
        timezone=timezone,
        known_campaigns=set(names),
        now=house.clock.now(),
        by=command_line(),
    )
    _report(taken, names, house.clock.now())
    if taken.rejected:
        raise Unavailable(f"{len(taken.rejected)} entries were not taken over; the others were.")


def _campaigns(house: Sendonce) -> dict[int, str]:
    found: dict[int, str] = {}
    after: int | None = None
    with house.database.read() as tx:
        while page := campaign_store.list_(tx, after=after, limit=_PAGE):
            found |= {campaign.id: campaign.name for campaign in page}
            after = page[-1].id
    return found


def _report(taken: Takeover, names: dict[int, str], now: datetime) -> None:
    click.echo(
        f"{len(taken.imported)} schedules taken over, {len(taken.already)} were there already,"
        f" {len(taken.rejected)} rejected."
    )
    for schedule in taken.imported:
        if schedule.campaign_id in names:
            click.echo(
                f'  schedule {schedule.id}: campaign {schedule.campaign_id} "{names[schedule.campaign_id]}",'
                f" {schedule.schedule_type}, {_next(schedule, now)}"
            )
    for schedule in taken.unknown_campaign:
        click.echo(
            f"  schedule {schedule.id} is disabled: there is no campaign {schedule.campaign_id}."
            " Give it one, then enable it."
        )
    for entry in taken.rejected:
        what = "; ".join(f"{e.field}: {e.message}" for e in entry.errors)
        click.echo(f"  entry {entry.index} (id {entry.old_id}) rejected: {what}")


def _next(schedule: Schedule, now: datetime) -> str:
    """Say when it runs next: whoever takes schedules over should see what they have armed."""
    slot = next_slot(schedule, now)
    if slot is None:
        return "over"
    when = f"{slot.local:%Y-%m-%d %H:%M %Z}"
    return f"next at {when}" if schedule.enabled else f"disabled (else next at {when})"
