"""When: schedules as the file has them, and the slots they plan."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class ScheduleType(StrEnum):
    """How slots follow each other. The first six count from schedule_time; rrule has an RFC 5545 rule of its own."""

    ONCE = "once"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    CUSTOM = "custom"
    RRULE = "rrule"


class CatchUp(StrEnum):
    """What becomes of a slot that was missed by more than CATCH_UP_WINDOW."""

    HOLD = "hold"
    SEND = "send"
    SKIP = "skip"


class Overlap(StrEnum):
    """What becomes of a slot that is due while an earlier run of the schedule is still on its way."""

    WAIT = "wait"
    SKIP = "skip"


class Status(StrEnum):
    """How a schedule stands; of several the first of running, held, paused, pending holds."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    HELD = "held"
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One entry of the schedule store.

    schedule_time is naive: wall-clock time in `timezone` (an IANA name). ends_at is an instant, inclusive.
    repeat_interval is in minutes (custom only), rrule an RFC 5545 rule without DTSTART (rrule only). last_run,
    next_run, total_runs and status are the ledger's, written here for people; they never decide. unknown keeps the
    keys that we do not know, as they were.
    """

    id: int
    version: int
    campaign_id: int
    schedule_time: datetime
    schedule_type: ScheduleType
    repeat_interval: int | None
    rrule: str | None
    timezone: str
    enabled: bool
    ends_at: datetime | None
    max_runs: int | None
    catch_up: CatchUp
    overlap: Overlap
    note: str | None
    created_at: datetime
    last_run: datetime | None
    next_run: datetime | None
    total_runs: int
    status: Status
    unknown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One planned instant of a schedule.

    at is in UTC; local is the same instant with the zone's offset; key names the slot for good (nominal wall-clock
    time for daily and longer rules, the UTC instant for shorter ones, with its kind); note says why the slot is not
    at its nominal time, or None.
    """

    key: str
    at: datetime
    local: datetime
    note: str | None
