"""/calendar.ics: the slots of the calendar as a file for another one."""

from flask import Response

from delivery.model import Decision
from web.bookings import Booking
from web.calendar_window import Seen, asked_for, look
from web.current import the_house
from web.ics import Event, calendar_file
from web.page import Pages
from web.shown import in_words, many

pages = Pages("calendar-export")


@pages.get("/calendar.ics")
def export() -> Response:
    """Return what is to come and what went in those days as a file for a calendar; what was skipped is left out."""
    house = the_house()
    now = house.clock.now()
    seen = look(house, asked_for(now), now)
    events = [
        _event(booking, seen, house.public_url)
        for booking in seen.booked
        if booking.item.decision in (None, Decision.CLAIMED)
    ]
    return Response(
        calendar_file(events, made_at=now),
        content_type="text/calendar; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="sendonce.ics"'},
    )


def _event(booking: Booking, seen: Seen, public_url: str) -> Event:
    item = booking.item
    schedule = seen.schedules.get(item.schedule_id)
    when = in_words(item.slot, schedule.timezone if schedule else "UTC")
    to_whom = f"To {'up to ' if booking.is_bound else ''}{many(booking.people, 'person')}"
    where = f"/automation/{item.schedule_id}" if item.run_id is None else f"/runs/{item.run_id}"
    said = [f"{to_whom}, {when}.", item.reason]
    return Event(
        uid=f"slot-{item.schedule_id}-{item.slot:%Y%m%dT%H%M%SZ}@sendonce",
        starts_at=item.slot,
        seconds=booking.seconds,
        summary=seen.called(item.schedule_id),
        description="\n".join(part for part in said if part),
        url=f"{public_url}{where}",
    )
