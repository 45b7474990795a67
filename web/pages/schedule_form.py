"""/automation/new and /automation/{id}/edit: one form for when a campaign goes, and the check of what that means."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, request

from accounts import store as accounts
from foundation.errors import Conflict, FieldError, Invalid, SendonceError, Stale
from identity.model import Role
from scheduler import desk
from scheduler.fields import is_zone, zone_names
from scheduler.model import Schedule, ScheduleType, Slot
from web import forms
from web.api.schedules import NewSchedule, ScheduleChanges, changes_of, fields_of
from web.current import the_house
from web.forecast import Forecast, forecast
from web.forms import Filled
from web.page import Pages, go, show
from web.schedule_rows import Names, names_of
from web.shown import in_words, viewers_zone

pages = Pages("schedule-form")

SLOTS_SHOWN = 5

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
_PICKS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulePage:
    """The form. schedule: the one that is edited, None for a new one."""

    form: Filled
    schedule: Schedule | None
    campaigns: Sequence[tuple[int, str]]
    types: Sequence[tuple[str, str]]
    zones: Sequence[str]
    has_runs: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPage:
    """What the form means as it stands: the first slot, the next ones, how many people, how long, what collides.

    fill: date and time that a quick pick has chosen.
    """

    first: str | None
    first_utc: str | None
    slot: datetime | None
    slots: Sequence[Slot]
    zone: str
    found: Forecast | None
    accounts: str
    collisions: Sequence[str]
    mistake: str | None
    fill: datetime | None


@pages.get("/automation/new", role=Role.EDITOR)
def new() -> Response:
    """Show the form for a new schedule."""
    names = names_of(the_house())
    chosen = request.args.get("campaign_id") or next(iter(names.campaigns), "")
    zone = viewers_zone()
    at = _rounded(the_house().clock.now() + _AHEAD, zone)
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
        schedule = desk.create(house.scheduler, fields_of(forms.checked(NewSchedule, _given())))
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
    return _show(Filled(values=_values_of(schedule)), names_of(house), schedule=schedule)


@pages.post("/automation/<id:schedule_id>/edit")
def change(schedule_id: int) -> Response:
    """Change the schedule, for its later slots."""
    house = the_house()
    schedule = desk.get(house.scheduler, schedule_id)
    try:
        body = forms.checked(
            ScheduleChanges, _given() | {"again_today": forms.ticked("again_today")}
        )
        changed = desk.edit(
            house.scheduler,
            schedule_id,
            changes_of(schedule_id, body),
            expected_version=forms.version(),
            again_today=body.again_today,
        )
    except (Invalid, Conflict, Stale) as error:
        form = forms.as_typed(error, _LABELS)
        status = 422 if isinstance(error, Invalid) else 409
        return _show(form, names_of(house), schedule=schedule, status=status)
    when = in_words(changed.next_run, changed.timezone) if changed.next_run else "no slot left"
    return go(f"/automation#s{schedule_id}", say=f"Saved. Next: {when}.")


@pages.post("/automation/check", shows_only=True)
def check() -> Response:
    """Say what the form means as it stands, without saving anything."""
    house = the_house()
    fill = _picked(request.args.get("pick", ""))
    zone = forms.text("timezone")
    try:
        fields = fields_of(forms.checked(NewSchedule, _given(fill)))
        slots = desk.preview(house.scheduler, fields, count=SLOTS_SHOWN)
        found = forecast(house, fields.campaign_id, slots)
    except SendonceError as error:
        message = error.errors[0].message if isinstance(error, Invalid) else error.message
        return _show_check(_nothing(message, zone, fill))
    names = names_of(house)
    outline = names.campaigns[fields.campaign_id]
    with house.database.read() as tx:
        called = accounts.names(tx)
    first = slots[0] if slots else None
    page = CheckPage(
        first=f"{first.local:%a} {first.local.day} {first.local:%b %Y %H:%M %Z}" if first else None,
        first_utc=f"{first.at:%H:%M} UTC" if first and fields.timezone != "UTC" else None,
        slot=first.at if first else None,
        slots=slots,
        zone=fields.timezone,
        found=found,
        accounts=", ".join(called.get(i, f"account {i}") for i in outline.account_ids),
        collisions=[
            f"{names.campaign(c.campaign_id)}, {in_words(c.slot, fields.timezone)}"
            for c in found.collisions
        ],
        mistake=None,
        fill=fill,
    )
    return _show_check(page)


def _show_check(page: CheckPage) -> Response:
    return show("schedule_check.html", page=page)


def _nothing(mistake: str, zone: str, fill: datetime | None) -> CheckPage:
    return CheckPage(
        first=None,
        first_utc=None,
        slot=None,
        slots=(),
        zone=zone,
        found=None,
        accounts="",
        collisions=(),
        mistake=mistake,
        fill=fill,
    )


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


def _given(fill: datetime | None = None) -> dict[str, Any]:
    """Return the form's fields as the API has them: what the chosen kind does not use is left out. Raises Invalid."""
    kind = forms.text("schedule_type")
    repeats = kind != ScheduleType.ONCE
    ends = forms.text("ends") if repeats else "never"
    if left_out := _left_out(kind, ends, is_filled=fill is not None):
        raise Invalid(left_out)
    return {
        "campaign_id": forms.whole("campaign_id"),
        "schedule_type": kind,
        "schedule_time": f"{fill:%Y-%m-%dT%H:%M}"
        if fill
        else f"{forms.text('date')}T{forms.text('time')}",
        "timezone": forms.text("timezone").strip(),
        "repeat_interval": forms.whole("repeat_interval") if kind == ScheduleType.CUSTOM else None,
        "rrule": forms.text_or_none("rrule") if kind == ScheduleType.RRULE else None,
        "ends_at": _end_of_day() if ends == "on" else None,
        "max_runs": forms.whole("max_runs") if ends == "after" else None,
        "catch_up": forms.text("catch_up"),
        "overlap": forms.text("overlap") or "wait",
    }


def _left_out(kind: str, ends: str, *, is_filled: bool) -> list[FieldError]:
    """Return what the choices that were made ask for and was not typed, in the form's words."""
    has_time = bool(forms.text("date") and forms.text("time"))
    asked = [
        (not is_filled and not has_time, "schedule_time", "Choose a date and a time."),
        (
            kind == "custom" and not forms.text_or_none("repeat_interval"),
            "repeat_interval",
            "Say how many minutes lie between two runs.",
        ),
        (
            kind == "rrule" and not forms.text_or_none("rrule"),
            "rrule",
            "Write a rule, as FREQ=WEEKLY;BYDAY=MO.",
        ),
        (ends == "on" and not forms.text("ends_on"), "ends_at", "Choose the last day."),
        (
            ends == "after" and not forms.text_or_none("max_runs"),
            "max_runs",
            "Say after how many runs it ends.",
        ),
    ]
    return [FieldError(name, says) for is_missing, name, says in asked if is_missing]


def _end_of_day() -> str:
    """Return the last second of the day that was typed, in the zone that was typed; as typed where there is none."""
    try:
        day = date.fromisoformat(forms.text("ends_on"))
        zone = ZoneInfo(forms.text("timezone").strip())
    except (ValueError, OSError, LookupError):
        return forms.text("ends_on")
    local = datetime.combine(day, time(23, 59, 59), tzinfo=zone)
    return local.astimezone(UTC).isoformat()


def _values_of(schedule: Schedule) -> dict[str, Any]:
    ends_at = schedule.ends_at
    ends_on = f"{ends_at.astimezone(ZoneInfo(schedule.timezone)):%Y-%m-%d}" if ends_at else ""
    return {
        "campaign_id": schedule.campaign_id,
        "schedule_type": schedule.schedule_type,
        "date": f"{schedule.schedule_time:%Y-%m-%d}",
        "time": schedule.schedule_time.time().isoformat(),
        "timezone": schedule.timezone,
        "repeat_interval": schedule.repeat_interval,
        "rrule": schedule.rrule,
        "ends": "on" if schedule.ends_at else "after" if schedule.max_runs else "never",
        "ends_on": ends_on,
        "max_runs": schedule.max_runs,
        "catch_up": schedule.catch_up,
        "overlap": schedule.overlap,
        "version": schedule.version,
    }


def _picked(pick: str) -> datetime | None:
    """Return the wall-clock time that a quick pick means, in the zone that was typed."""
    zone = forms.text("timezone").strip()
    if not is_zone(zone):
        return None
    now = the_house().clock.now()
    if pick == "tomorrow":
        day = now.astimezone(ZoneInfo(zone)).date() + timedelta(days=1)
        return datetime.combine(day, time(9, 0))
    away = _PICKS.get(pick)
    return _rounded(now + away, zone) if away else None


def _rounded(instant: datetime, zone: str) -> datetime:
    """Return the wall-clock time of the next full minute: the one that runs now is past already."""
    local = instant.astimezone(ZoneInfo(zone))
    if local.second or local.microsecond:
        local += timedelta(minutes=1)
    return local.replace(second=0, microsecond=0, tzinfo=None)
