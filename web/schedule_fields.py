"""The fields of the schedule form: its texts as the API has them, and a schedule as the form has it."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from foundation.errors import FieldError, Invalid
from scheduler.model import Schedule, ScheduleType
from web import forms


def given(fill: datetime | None = None) -> dict[str, Any]:
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


def values_of(schedule: Schedule) -> dict[str, Any]:
    """Return what stands in the form of a schedule."""
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


def unchanged_ends(schedule: Schedule) -> tuple[str, ...]:
    """Return the fields of a schedule's end where the form has them as it was made.

    It shows a day where the schedule has an instant, and one limit where it may have two: neither is to be lost by
    saving what nobody touched.
    """
    before = values_of(schedule)
    shown = ("ends", "ends_on", "max_runs", "timezone")
    as_it_was = all(forms.text(name) == str(before[name] or "") for name in shown)
    return ("ends_at", "max_runs") if as_it_was else ()


def rounded(instant: datetime, zone: str) -> datetime:
    """Return the wall-clock time of the next full minute: the one that runs now is past already."""
    local = instant.astimezone(ZoneInfo(zone))
    if local.second or local.microsecond:
        local += timedelta(minutes=1)
    return local.replace(second=0, microsecond=0, tzinfo=None)


def _left_out(kind: str, ends: str, *, is_filled: bool) -> list[FieldError]:
    """Return what the choices that were made ask for and was not typed, in the form's words."""
    asked = {
        "schedule_time": (
            not is_filled and not (forms.text("date") and forms.text("time")),
            "Choose a date and a time.",
        ),
        "repeat_interval": (
            kind == ScheduleType.CUSTOM and not forms.text_or_none("repeat_interval"),
            "Say how many minutes lie between two runs.",
        ),
        "rrule": (
            kind == ScheduleType.RRULE and not forms.text_or_none("rrule"),
            "Write a rule, as FREQ=WEEKLY;BYDAY=MO.",
        ),
        "ends_at": (ends == "on" and not forms.text("ends_on"), "Choose the last day."),
        "max_runs": (
            ends == "after" and not forms.text_or_none("max_runs"),
            "Say after how many runs it ends.",
        ),
    }
    return [FieldError(name, says) for name, (is_missing, says) in asked.items() if is_missing]


def _end_of_day() -> str:
    """Return the last second of the day that was typed, in the zone that was typed; as typed where there is none."""
    try:
        day = date.fromisoformat(forms.text("ends_on"))
        zone = ZoneInfo(forms.text("timezone").strip())
    except (ValueError, OSError, LookupError):
        return forms.text("ends_on")
    local = datetime.combine(day, time(23, 59, 59), tzinfo=zone)
    return local.astimezone(UTC).isoformat()
