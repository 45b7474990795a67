"""/automation/new and /automation/{id}/edit: one form for when a campaign goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Response, request

from foundation.errors import Conflict, Invalid, Stale
from identity.model import Role
from scheduler import desk
from scheduler.fields import zone_names
from scheduler.model import Schedule, ScheduleType
from web import audited, forms
from web.api.schedules import NewSchedule, ScheduleChanges, changes_of, fields_of
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.schedule_fields import given, rounded, unchanged_ends, values_of
from web.schedule_rows import Names, names_of
from web.shown import in_words, viewers_zone

pages = Pages("schedule-form")

_LABELS = {
    "campaign_id": "Campaign",
    "schedule_time": "Date and time",
    "timezone": "Zone",
    "repeat_interval": "Minutes",
    "rrule": "Calendar rule",
    "ends_at": "Ends on",
    "max_runs": "Runs",
    "catch_up": "If missed",
    "overlap": "If still busy",
}
_TYPES = (
    ("once", "Once"),
    ("hourly", "Hourly"),
    ("daily", "Daily"),
    ("weekly", "Weekly"),
    ("monthly", "Monthly"),
    ("custom", "Every … minutes"),
    ("rrule", "Calendar rule"),
)
_AHEAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePage:
    """The form. schedule: the one that is edited, None for a new one."""

    form: Filled
    schedule: Schedule | None
    campaigns: Sequence[tuple[int, str]]
    types: Sequence[tuple[str, str]]
    zones: Sequence[str]
    has_runs: bool


@pages.get("/automation/new", role=Role.EDITOR)
def new() -> Response:
    """Show the form for a new schedule; ?like=17: as that one is, at its time where that is still to come."""
    names = names_of(the_house())
    if like := request.args.get("like", type=int):
        return _show(Filled(values=_like(like)), names)
    chosen = request.args.get("campaign_id") or next(iter(names.campaigns), "")
    zone = viewers_zone()
    at = rounded(the_house().clock.now() + _AHEAD, zone)
    values = {
        "campaign_id": chosen,
        "schedule_type": "once",
        "date": f"{at:%Y-%m-%d}",
        "time": f"{at:%H:%M}",
        "timezone": zone,
        "ends": "never",
        "catch_up": "hold",
        "overlap": "wait",
    }
    return _show(Filled(values=values), names)


@pages.post("/automation/new")
def create() -> Response:
    """Make the schedule; the page with all of them then shows it."""
    house = the_house()
    try:
        fields = fields_of(forms.checked(NewSchedule, given()))
        schedule = desk.create(house.scheduler, fields, by=audited.author())
    except Invalid as error:
        return _show(forms.as_typed(error, _LABELS), names_of(house), status=422)
    name = names_of(house).campaign(schedule.campaign_id)
    when = in_words(schedule.next_run, schedule.timezone) if schedule.next_run else "no slot left"
    return go(f"/automation#s{schedule.id}", say=f"Scheduled: {name}, {when}.")


@pages.get("/automation/<id:schedule_id>/edit", role=Role.EDITOR)
def edit(schedule_id: int) -> Response:
    """Show the form of a schedule."""
    house = the_house()
    schedule = desk.get(house.scheduler, schedule_id)
    return _show(Filled(values=values_of(schedule)), names_of(house), schedule=schedule)


@pages.post("/automation/<id:schedule_id>/edit")
def change(schedule_id: int) -> Response:
    """Change the schedule, for its later slots."""
    house = the_house()
    schedule = desk.get(house.scheduler, schedule_id)
    try:
        fields = given() | {"again_today": forms.ticked("again_today")}
        for name in unchanged_ends(schedule):
            del fields[name]
        body = forms.checked(ScheduleChanges, fields)
        changed = desk.edit(
            house.scheduler,
            schedule_id,
            changes_of(schedule_id, body),
            expected_version=forms.version(),
            again_today=body.again_today,
            by=audited.author(),
        )
    except (Invalid, Conflict, Stale) as error:
        form = forms.as_typed(error, _LABELS)
        status = 422 if isinstance(error, Invalid) else 409
        return _show(form, names_of(house), schedule=schedule, status=status)
    when = in_words(changed.next_run, changed.timezone) if changed.next_run else "no slot left"
    return go(f"/automation#s{schedule_id}", say=f"Saved. Next: {when}.")


def _like(schedule_id: int) -> dict[str, Any]:
    house = the_house()
    schedule = desk.get(house.scheduler, schedule_id)
    values = values_of(schedule)
    now = house.clock.now()
    if schedule.schedule_type is ScheduleType.ONCE and not (
        schedule.next_run and schedule.next_run > now
    ):
        at = rounded(now + _AHEAD, schedule.timezone)
        values |= {"date": f"{at:%Y-%m-%d}", "time": f"{at:%H:%M}"}
    return values


def _show(
    form: Filled, names: Names, *, schedule: Schedule | None = None, status: int = 200
) -> Response:
    page = SchedulePage(
        form=form,
        schedule=schedule,
        campaigns=[
            (outline.id, f"{outline.name} · {_to_whom(names, outline.id)}")
            for outline in names.campaigns.values()
        ],
        types=_TYPES,
        zones=zone_names(),
        has_runs=schedule is not None and schedule.total_runs > 0,
    )
    return show("schedule_form.html", status=status, page=page, section="Automation")


def _to_whom(names: Names, campaign_id: int) -> str:
    return ", ".join(f"{a.name} ({a.recipients:,})" for a in names.of_audiences(campaign_id))
