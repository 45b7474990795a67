"""/api/schedules: when. What the calls do stands in scheduler.desk; here is how they are asked and answered."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, PlainSerializer, WithJsonSchema

from delivery import reads
from delivery.model import Decision, SlotRow
from foundation.errors import Invalid
from identity.model import Role
from scheduler import desk
from scheduler.fields import ScheduleFields
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Slot, Status
from web import audited
from web.api.runs import RunAnswer
from web.current import the_house
from web.fields import (
    NOT_GIVEN,
    Answer,
    Body,
    ById,
    Id,
    Instant,
    InstantIn,
    Line,
    Note,
    Query,
    QueryInstant,
    QueryNumber,
    TimeIn,
    Truth,
    Whole,
)
from web.forecast import MOST_LOOKED_AT, Forecast, forecast
from web.openapi import Resource
from web.paging import Page, TimedPage, next_cursor
from web.replays import expected_version, may_repeat, request_key

resource = Resource("schedules", "When")

_Interval = Annotated[Whole, Field(ge=1, description="Minutes, for custom")]
_Rule = Annotated[Line, Field(min_length=1, max_length=500, description="RFC 5545, for rrule")]
_Zone = Annotated[Line, Field(max_length=100, description="An IANA name")]
_MaxRuns = Annotated[Whole, Field(ge=1, le=2**31 - 1)]
_WallTime = Annotated[
    datetime,
    PlainSerializer(lambda time: time.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "description": "Wall-clock time in timezone"}),
]
_Local = Annotated[
    datetime,
    PlainSerializer(lambda time: time.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class NewSchedule(Body):
    """When a campaign is sent. schedule_time is wall-clock time in timezone; an offset is converted."""

    campaign_id: Id
    schedule_time: TimeIn
    schedule_type: ScheduleType = ScheduleType.ONCE
    repeat_interval: _Interval | None = None
    rrule: _Rule | None = None
    timezone: _Zone = "UTC"
    enabled: Truth = True
    ends_at: InstantIn | None = None
    max_runs: _MaxRuns | None = None
    catch_up: CatchUp = CatchUp.HOLD
    overlap: Overlap = Overlap.WAIT
    note: Note | None = None


class ScheduleChanges(Body):
    """The fields to change. again_today lets a day that was decided run again."""

    campaign_id: Id = NOT_GIVEN
    schedule_time: TimeIn = NOT_GIVEN
    schedule_type: ScheduleType = NOT_GIVEN
    repeat_interval: _Interval | None = None
    rrule: _Rule | None = None
    timezone: _Zone = NOT_GIVEN
    enabled: Truth = NOT_GIVEN
    ends_at: InstantIn | None = None
    max_runs: _MaxRuns | None = None
    catch_up: CatchUp = NOT_GIVEN
    overlap: Overlap = NOT_GIVEN
    note: Note | None = None
    again_today: Truth = False


class ScheduleAnswer(Answer):
    """A schedule."""

    id: Id
    version: int
    campaign_id: Id
    schedule_time: _WallTime
    schedule_type: ScheduleType
    repeat_interval: int | None
    rrule: str | None
    timezone: str
    enabled: bool
    ends_at: Instant | None
    max_runs: int | None
    catch_up: CatchUp
    overlap: Overlap
    note: str | None
    created_at: Instant
    last_run: Instant | None
    next_run: Instant | None
    total_runs: int
    status: Status


class ScheduleList(Answer):
    """A page of schedules."""

    items: list[ScheduleAnswer]
    next_cursor: str | None


class SlotAnswer(Answer):
    """A slot to come; note says why it is not at its nominal time."""

    slot: Instant
    local: _Local
    note: str | None


class SlotList(Answer):
    """Slots to come."""

    items: list[SlotAnswer]


class PastSlotAnswer(Answer):
    """A slot that was decided. until and slots are for many missed ones in one row."""

    slot: Instant
    local: str
    decision: Decision
    reason: str | None
    run_id: int | None
    until: Instant | None
    slots: int
    decided_at: Instant


class PastSlotList(Answer):
    """A page of decided slots, newest first."""

    items: list[PastSlotAnswer]
    next_cursor: str | None


class LackingAnswer(Answer):
    """How many of the recipients that were looked at lack an attribute that the campaign uses."""

    attribute: str
    recipients: int


class CollisionAnswer(Answer):
    """Another schedule that sends through the same account at about the same time."""

    schedule_id: Id
    campaign_id: Id
    slot: Instant
    account_ids: list[Id]


class SchedulePreviewAnswer(Answer):
    """What a schedule that is not saved yet would do."""

    items: list[SlotAnswer]
    recipients: int = Field(description="How many people would get it, each counted once")
    suppressed: int = Field(description="How many more are on these lists, and suppressed")
    lacking: list[LackingAnswer]
    recipients_looked_at: int = Field(
        description=f"How many of the recipients lacking was made from: at most {MOST_LOOKED_AT:,}"
    )
    expected_seconds: float | None = Field(
        description="How long sending would take by the limits and rates of the accounts, or the pace of the last runs;"
        " null where there is nothing to go by"
    )
    collisions: list[CollisionAnswer]


class Coming(Query):
    """How many slots are wanted."""

    count: Annotated[QueryNumber, Field(ge=1, le=500)] = 10


class PastPage(TimedPage):
    """Which decided slots are wanted: those earlier than before."""

    before: QueryInstant | None = None


class NoteIn(Body):
    """Why."""

    note: Note | None = None


class SkipNext(Body):
    """The slot that is meant: the next one."""

    slot: InstantIn


class Missed(Body):
    """What becomes of the slots that are held; through is the newest that is meant."""

    action: Literal["send", "skip"]
    through: InstantIn | None = None


@resource.get("/api/schedules", ScheduleList)
def list_schedules(query: Page) -> ScheduleList:
    """List the schedules by id."""
    after = query.key or 0
    every = sorted(desk.list_schedules(the_house().scheduler), key=_id)
    found = [schedule for schedule in every if schedule.id > after]
    return ScheduleList(
        items=[_answer(schedule) for schedule in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=_id),
    )


@resource.post("/api/schedules", ScheduleAnswer, status=201)
def create_schedule(body: NewSchedule) -> ScheduleAnswer:
    """Make a schedule."""
    house = the_house()
    return _answer(desk.create(house.scheduler, fields_of(body), by=audited.author()))


@resource.post("/api/schedules/preview", SchedulePreviewAnswer, role=Role.VIEWER)
@audited.leaves_no_trace
def preview_schedule(body: NewSchedule) -> SchedulePreviewAnswer:
    """Show what a schedule would do, without saving it."""
    house = the_house()
    fields = fields_of(body)
    slots = desk.preview(house.scheduler, fields, count=10)
    return _preview(slots, forecast(house, fields.campaign_id, slots))


@resource.get("/api/schedules/<id:id>", ScheduleAnswer)
def get_schedule(path: ById) -> ScheduleAnswer:
    """Show a schedule."""
    return _answer(desk.get(the_house().scheduler, path.id))


@resource.patch("/api/schedules/<id:id>", ScheduleAnswer)
def change_schedule(path: ById, body: ScheduleChanges) -> ScheduleAnswer:
    """Change fields of a schedule, for its later slots."""
    changed = desk.edit(
        the_house().scheduler,
        path.id,
        changes_of(path.id, body),
        expected_version=expected_version(),
        again_today=body.again_today,
        by=audited.author(),
    )
    return _answer(changed)


@resource.delete("/api/schedules/<id:id>")
def delete_schedule(path: ById) -> None:
    """Delete a schedule; the runs that it made stay."""
    desk.delete(
        the_house().scheduler, path.id, expected_version=expected_version(), by=audited.author()
    )


@resource.get("/api/schedules/<id:id>/upcoming", SlotList)
def upcoming_slots(path: ById, query: Coming) -> SlotList:
    """Show the next slots of a schedule."""
    slots = desk.upcoming(the_house().scheduler, path.id, count=query.count)
    return SlotList(items=[_slot(slot) for slot in slots])


@resource.get("/api/schedules/<id:id>/slots", PastSlotList)
def past_slots(path: ById, query: PastPage) -> PastSlotList:
    """Show the decided slots of a schedule, newest first."""
    house = the_house()
    desk.get(house.scheduler, path.id)
    before = min((t for t in (query.before, query.key) if t is not None), default=None)
    with house.database.read() as tx:
        found = reads.past_slots(tx, path.id, before=before, limit=query.limit + 1)
    return PastSlotList(
        items=[_past_slot(row) for row in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda row: row.at),
    )


@resource.post("/api/schedules/<id:id>/run-now", RunAnswer, status=202)
@may_repeat
def run_now(path: ById) -> RunAnswer:
    """Send the campaign now, once, whatever the schedule says."""
    house = the_house()
    run = desk.run_now(house.scheduler, path.id, request_key=request_key(), by=audited.author())
    with house.database.read() as tx:
        return RunAnswer.of(tx, run, house.clock.now())


@resource.post("/api/schedules/<id:id>/pause", ScheduleAnswer)
def pause_schedule(path: ById, body: NoteIn) -> ScheduleAnswer:
    """Let no slot of this schedule run until it is resumed."""
    house = the_house()
    return _answer(desk.pause(house.scheduler, path.id, note=body.note, by=audited.author()))


@resource.post("/api/schedules/<id:id>/resume", ScheduleAnswer)
def resume_schedule(path: ById, body: NoteIn) -> ScheduleAnswer:
    """Let the slots from now on run again."""
    house = the_house()
    return _answer(desk.resume(house.scheduler, path.id, note=body.note, by=audited.author()))


@resource.post("/api/schedules/<id:id>/skip-next", ScheduleAnswer)
def skip_next(path: ById, body: SkipNext) -> ScheduleAnswer:
    """Leave the next slot out."""
    house = the_house()
    return _answer(desk.skip_next(house.scheduler, path.id, slot=body.slot, by=audited.author()))


@resource.post("/api/schedules/<id:id>/missed", ScheduleAnswer)
def decide_missed(path: ById, body: Missed) -> ScheduleAnswer:
    """Say what becomes of the slots that were missed and are held."""
    decided = desk.missed(
        the_house().scheduler,
        path.id,
        action=body.action,
        through=body.through,
        by=audited.author(),
    )
    return _answer(decided)


def fields_of(body: NewSchedule) -> ScheduleFields:
    """Return what a body means: its time as wall-clock time in its zone. Raises Invalid."""
    given = dict(body)
    time = _wall_time(body.schedule_time, zone=body.timezone, kind=body.schedule_type)
    return ScheduleFields(**(given | {"schedule_time": time}))


def changes_of(schedule_id: int, body: ScheduleChanges) -> dict[str, Any]:
    """Return the fields that a body changes: a time as wall-clock time in the schedule's zone. Raises Invalid."""
    changes = body.changes()
    changes.pop("again_today", None)
    if "schedule_time" in changes:
        changes["schedule_time"] = _new_wall_time(schedule_id, changes)
    return changes


def _new_wall_time(schedule_id: int, changes: Mapping[str, Any]) -> datetime:
    current = desk.get(the_house().scheduler, schedule_id)
    return _wall_time(
        changes["schedule_time"],
        zone=changes.get("timezone", current.timezone),
        kind=changes.get("schedule_type", current.schedule_type),
    )


def _wall_time(given: datetime, *, zone: str, kind: ScheduleType) -> datetime:
    """Return the wall-clock time in the zone that a time with or without an offset means."""
    given = given.replace(microsecond=0)
    if given.tzinfo is None:
        return given
    try:
        local = given.astimezone(ZoneInfo(zone))
    except (
        LookupError,
        ValueError,
        OSError,
    ):  # the zone's fault, which the check of the fields names
        return given.replace(tzinfo=None)
    if local.fold and kind is ScheduleType.ONCE:
        raise Invalid.field(
            "schedule_time",
            f"{given.isoformat()} is the second {local:%H:%M} of that day in {zone}, and wall-clock time"
            f" means the first. To mean the second, say {given.astimezone(UTC):%Y-%m-%dT%H:%M:%S} with timezone"
            " UTC",
        )
    return local.replace(tzinfo=None, fold=0)


def _answer(schedule: Schedule) -> ScheduleAnswer:
    return ScheduleAnswer.model_validate(schedule)


def _slot(slot: Slot) -> SlotAnswer:
    return SlotAnswer(slot=slot.at, local=slot.local, note=slot.note)


def _past_slot(row: SlotRow) -> PastSlotAnswer:
    return PastSlotAnswer(
        slot=row.at,
        local=row.local,
        decision=row.decision,
        reason=row.reason,
        run_id=row.run_id,
        until=row.until,
        slots=row.slots,
        decided_at=row.decided_at,
    )


def _preview(slots: list[Slot], found: Forecast) -> SchedulePreviewAnswer:
    return SchedulePreviewAnswer(
        items=[_slot(slot) for slot in slots],
        recipients=found.recipients,
        suppressed=found.suppressed,
        lacking=[
            LackingAnswer(attribute=name, recipients=count) for name, count in found.lacking.items()
        ],
        recipients_looked_at=found.looked_at,
        expected_seconds=found.expected_seconds,
        collisions=[CollisionAnswer.model_validate(c) for c in found.collisions],
    )


def _id(schedule: Schedule) -> int:
    return schedule.id
