"""/automation/{id}: one schedule, its slots to come, and every past slot with what was decided about it and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from flask import Response, request

from accounts import store as accounts
from delivery import outlines, outlook, reads
from delivery.model import SlotRow
from foundation.errors import NotFound
from scheduler import desk
from scheduler.model import Schedule, Slot
from storage.database import Tx
from web.current import the_house
from web.fields import parse_time
from web.page import Pages, show
from web.schedule_rows import Row, RunSummary, names_of, rows_of, summary_of

pages = Pages("schedule")

SLOTS_AHEAD = 10
PAGE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSlot:
    """A decided slot; its run where there is one."""

    row: SlotRow
    run: RunSummary | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailPage:
    """What the page shows. older: where the past slots go on."""

    row: Row
    schedule: Schedule
    accounts: str
    upcoming: Sequence[Slot]
    past: Sequence[PastSlot]
    older: str | None
    newest: str | None


@pages.get("/automation/<id:schedule_id>")
def detail(schedule_id: int) -> Response:
    """Show the schedule."""
    house = the_house()
    now = house.clock.now()
    schedule = desk.get(house.scheduler, schedule_id)
    names = names_of(house)
    before = _before()
    with house.database.read() as tx:
        slots = reads.past_slots(tx, schedule_id, before=before, limit=PAGE + 1)
        past = _with_runs(tx, slots[:PAGE], now)
        called = accounts.names(tx)
    campaign = names.campaigns.get(schedule.campaign_id)
    page = DetailPage(
        row=rows_of(house, [schedule], names, now=now)[0],
        schedule=schedule,
        accounts=", ".join(called.get(i, "") for i in campaign.account_ids) if campaign else "",
        upcoming=desk.upcoming(house.scheduler, schedule_id, count=SLOTS_AHEAD),
        past=past,
        older="?" + urlencode({"before": slots[PAGE - 1].at.isoformat()})
        if len(slots) > PAGE
        else None,
        newest=request.path if before else None,
    )
    return show("schedule.html", page=page, section="Automation")


def _before() -> datetime | None:
    given = request.args.get("before")
    if given is None:
        return None
    try:
        before = parse_time(given)
    except ValueError:
        before = None
    if before is None or before.tzinfo is None:
        raise NotFound("This page of past slots does not exist. Begin with the newest.")
    return before


def _with_runs(tx: Tx, slots: Sequence[SlotRow], now: datetime) -> list[PastSlot]:
    runs = outlines.by_id(tx, {slot.run_id for slot in slots if slot.run_id is not None})
    expected = outlook.outlooks(tx, now)
    return [
        PastSlot(
            row=slot,
            run=summary_of(runs[slot.run_id], expected, now=now) if slot.run_id in runs else None,
        )
        for slot in slots
    ]
