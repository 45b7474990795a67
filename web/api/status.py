"""/api/status: how the scheduler stands, in one look."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from delivery import reads, recovery, slots
from foundation.version import VERSION
from storage import installation
from storage.aliveness import newest_leader
from web import audited
from web.current import caller_in_words, the_house
from web.fields import Answer, Body, Instant
from web.openapi import Resource
from web.probes import notices, unready

resource = Resource("status", "How the scheduler stands")


class SchedulerAnswer(Answer):
    """leader: this process leads; last_tick is the leader's, whichever process it is; seconds."""

    leader: bool
    last_tick: Instant | None
    interval: float
    buffer: float
    oldest_due: Instant | None


class ClockAnswer(Answer):
    """now is the time that is believed. blocked: the clock has jumped, and nothing is claimed until it is right again
    or accepted; step_seconds is how far."""

    now: Instant
    blocked: bool
    step_seconds: float


class NoticeAnswer(Answer):
    """Something that was found in the schedule file: damage, an edit made on an old version, a missing entry …"""

    at: Instant
    kind: str
    schedule_id: int | None
    message: str


class StatusAnswer(Answer):
    """doubted is null or the reason why this data directory is doubted; problems is what keeps it from being ready.

    notices are what was found in the schedule file in the last seven days, newest first.
    """

    scheduler: SchedulerAnswer
    clock: ClockAnswer
    doubted: str | None
    version: str
    counts: dict[str, dict[str, int]]
    problems: list[str]
    notices: list[NoticeAnswer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What went on: how many runs; and how many schedules still have slots that wait for an answer."""

    runs: int
    schedules_held: int


class Accept(Body):
    """What a person says: it is right as it is, go on."""

    action: Literal["accept"]


@resource.get("/api/status", StatusAnswer)
def status() -> StatusAnswer:
    """Show how the scheduler stands."""
    return _status()


@resource.post("/api/clock", StatusAnswer)
def accept_clock(body: Accept) -> StatusAnswer:
    """Say that the clock that jumped is right: claims go on by it within a tick."""
    believe_clock()
    return _status()


@resource.post("/api/doubt", StatusAnswer)
def accept_doubt(body: Accept) -> StatusAnswer:
    """Say that this data directory is the one that goes on: held runs go on, held slots keep their question."""
    go_on()
    return _status()


def believe_clock() -> None:
    """Take the clock that jumped for right, and note it."""
    with the_house().database.write(durable=True) as tx:
        step = installation.read(tx).clock_step_seconds
        installation.accept_clock(tx)
        audited.note(
            tx, "accept", "installation:clock", label="The clock", before={"step_seconds": step}
        )


def go_on() -> Released:
    """Let this data directory be the one that goes on, and note it. Raises Conflict where it is not in doubt."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        why = installation.read(tx).doubted_reason
        run_ids = recovery.trust(tx, by=caller_in_words(), now=house.clock.now())
        held = len(slots.schedules_with_held(tx))
        audited.note(
            tx,
            "accept",
            "installation:data directory",
            label="The data directory",
            before={"doubted": why},
            after={"runs_released": len(run_ids)},
        )
    house.scheduler.wake()
    return Released(runs=len(run_ids), schedules_held=held)


def _status() -> StatusAnswer:
    house = the_house()
    now = house.clock.now()
    schedules = house.store.read()
    with house.database.read() as tx:
        leader = newest_leader(tx)
        here = installation.read(tx)
        runs = reads.totals_by_run_status(tx)
        deliveries = reads.totals_by_delivery_status(tx)
    by_status: dict[str, int] = {}
    for schedule in schedules:
        by_status[schedule.status] = by_status.get(schedule.status, 0) + 1
    due: list[datetime] = [
        s.next_run for s in schedules if s.enabled and s.next_run and s.next_run <= now
    ]
    return StatusAnswer(
        scheduler=SchedulerAnswer(
            leader=house.scheduler.epoch() is not None,
            last_tick=leader.last_tick if leader else None,
            interval=house.settings.scheduler_check_interval.total_seconds(),
            buffer=house.settings.execution_buffer.total_seconds(),
            oldest_due=min(due, default=None),
        ),
        clock=ClockAnswer(
            now=now,
            blocked=here.clock_step_seconds is not None,
            step_seconds=here.clock_step_seconds or 0.0,
        ),
        doubted=here.doubted_reason,
        version=VERSION,
        counts={"schedules": by_status, "runs": runs, "deliveries": deliveries},
        problems=unready(house),
        notices=[
            NoticeAnswer(at=n.at, kind=n.kind, schedule_id=n.schedule_id, message=n.message)
            for n in notices(house)
        ],
    )
