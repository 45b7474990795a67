"""/status: whether e-mails go, and if not, why not and what to do."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from assembly import Sendonce
from delivery import reads
from delivery.model import RunStatus
from foundation.errors import SendonceError
from foundation.version import VERSION
from scheduler.model import Status
from storage.aliveness import newest_leader
from web.checks import Check, Look, look_around
from web.current import the_house
from web.page import Pages, show
from web.probes import notices
from web.shown import many

pages = Pages("status")

_DELIVERIES = ("sent", "failed", "skipped", "in_doubt", "sending", "queued")


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of a kind there are, by status, of those that there are; total None: that can't be read."""

    what: str
    path: str
    total: int | None
    by_status: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that was found in the schedule file. detail: the texts it is about."""

    at: datetime
    says: str
    schedule_id: int | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusPage:
    """What the page shows. look: of the worst check."""

    look: str
    says: str
    last_tick: datetime | None
    interval: float
    buffer: float
    checks: Sequence[Check]
    counts: Sequence[Count]
    found: Sequence[Found]
    version: str


@pages.get("/status")
def status() -> Response:
    """Show how everything does that sending rests on."""
    house = the_house()
    now = house.clock.now()
    checks = look_around(house, now)
    with house.database.read() as tx:
        leader = newest_leader(tx)
        runs = reads.totals_by_run_status(tx)
        deliveries = reads.totals_by_delivery_status(tx)
    look, says = _verdict(checks)
    page = StatusPage(
        look=look,
        says=says,
        last_tick=leader.last_tick if leader else None,
        interval=house.settings.scheduler_check_interval.total_seconds(),
        buffer=house.settings.execution_buffer.total_seconds(),
        checks=checks,
        counts=[
            _schedules(house),
            _count("Runs", "/runs", {s: runs.get(s, 0) for s in RunStatus}),
            _count("Deliveries", "/runs", {s: deliveries.get(s, 0) for s in _DELIVERIES}),
        ],
        found=[
            Found(
                at=notice.at,
                says=notice.message,
                schedule_id=notice.schedule_id,
                detail=json.dumps(notice.detail, indent=2, ensure_ascii=False, default=str),
            )
            for notice in notices(house)
        ],
        version=VERSION,
    )
    return show("status.html", page=page)


def _verdict(checks: Sequence[Check]) -> tuple[Look, str]:
    """Return what the page says first."""
    wrong = sum(check.look is Look.BAD for check in checks)
    warnings = sum(check.look is Look.WARN for check in checks)
    if wrong:
        return Look.BAD, f"{many(wrong, 'thing')} {'is' if wrong == 1 else 'are'} wrong."
    if warnings:
        return Look.WARN, f"Nothing is wrong. {many(warnings, 'thing')} to look at."
    return Look.OK, "Everything is well."


def _schedules(house: Sendonce) -> Count:
    try:
        statuses = [schedule.status for schedule in house.store.read()]
    except SendonceError:  # a check says why
        return Count(what="Schedules", path="/automation", total=None, by_status=())
    return _count("Schedules", "/automation", {s: statuses.count(s) for s in Status})


def _count(what: str, path: str, by_status: Mapping[str, int]) -> Count:
    return Count(
        what=what,
        path=path,
        total=sum(by_status.values()),
        by_status=[(status, count) for status, count in by_status.items() if count],
    )
