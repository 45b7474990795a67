"""/api/calendar: the slots of all schedules, past and to come."""

from datetime import timedelta

from pydantic import Field

from delivery.model import Decision
from foundation.errors import Invalid
from scheduler import desk
from web.current import the_house
from web.fields import Answer, Id, Instant, Query, QueryInstant
from web.openapi import Resource

LONGEST = timedelta(days=400)

resource = Resource("calendar", "The slots of all schedules, past and to come")

_A_MONTH = timedelta(days=31)


class Span(Query):
    """From when to when; where nothing is said, from a month ago to a month from now."""

    start: QueryInstant | None = Field(None, alias="from")
    to: QueryInstant | None = None


class CalendarItemAnswer(Answer):
    """A slot; one to come has no decision yet."""

    schedule_id: Id
    campaign_id: int | None
    slot: Instant
    local: str
    decision: Decision | None
    run_id: int | None
    reason: str | None


class CalendarAnswer(Answer):
    """Slots, oldest first."""

    items: list[CalendarItemAnswer]


@resource.get("/api/calendar", CalendarAnswer)
def calendar(query: Span) -> CalendarAnswer:
    """Show the slots of all schedules between two times."""
    house = the_house()
    now = house.clock.now()
    start = query.start or (query.to or now) - _A_MONTH
    end = query.to or (query.start or now) + _A_MONTH
    if end < start:
        raise Invalid.field("to", "is before from")
    if end - start > LONGEST:
        raise Invalid.field("to", f"is more than {LONGEST.days} days after from")
    items = desk.calendar(house.scheduler, start, end)
    return CalendarAnswer(items=[CalendarItemAnswer.model_validate(item) for item in items])
