"""/automation/check: what the schedule form means as it stands. Shown beside its fields while it is filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from flask import Response, request

from accounts import store as accounts
from foundation.errors import Invalid, SendonceError
from scheduler import desk
from scheduler.fields import is_zone
from scheduler.model import Slot
from web import forms
from web.api.schedules import NewSchedule, fields_of
from web.current import the_house
from web.forecast import Forecast, forecast
from web.page import Pages, show
from web.schedule_fields import given, rounded
from web.schedule_rows import names_of
from web.shown import in_words

pages = Pages("schedule-check")

SLOTS_SHOWN = 5

_PICKS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}


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


@pages.post("/automation/check", shows_only=True)
def check() -> Response:
    """Say what the form means as it stands, without saving anything."""
    house = the_house()
    fill = _picked(request.args.get("pick", ""))
    zone = forms.text("timezone")
    try:
        fields = fields_of(forms.checked(NewSchedule, given(fill)))
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
            if str(c.schedule_id) != request.args.get("schedule")  # the one that is edited
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
    return rounded(now + away, zone) if away else None
