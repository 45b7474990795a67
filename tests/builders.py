"""Builders for what tests speak of; every argument is optional."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import accounts.tables  # noqa: F401 - tables refer to tables of other rooms
import audience.tables  # noqa: F401 - tables refer to tables of other rooms
import campaigns.tables  # noqa: F401 - tables refer to tables of other rooms
import delivery.tables  # noqa: F401 - tables refer to tables of other rooms
import identity.tables  # noqa: F401 - tables refer to tables of other rooms
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Status
from storage.database import Database
from storage.metadata import metadata

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def a_database(folder: Path) -> Database:
    """Return a real SQLite file with the tables of every room."""
    database = Database(folder / "sendonce.db")
    with database.write(durable=False) as tx:
        metadata.create_all(tx)
    return database


def a_schedule(**changes: Any) -> Schedule:
    """Return a daily schedule at 09:00 in Berlin that began on 1 March 2026."""
    fields: dict[str, Any] = {
        "id": 1,
        "version": 1,
        "campaign_id": 1,
        "schedule_time": datetime(2026, 3, 1, 9, 0),
        "schedule_type": ScheduleType.DAILY,
        "repeat_interval": None,
        "rrule": None,
        "timezone": "Europe/Berlin",
        "enabled": True,
        "ends_at": None,
        "max_runs": None,
        "catch_up": CatchUp.HOLD,
        "overlap": Overlap.WAIT,
        "note": None,
        "created_at": datetime(2026, 2, 28, 12, 0, tzinfo=UTC),
        "last_run": None,
        "next_run": None,
        "total_runs": 0,
        "status": Status.PENDING,
    }
    return Schedule(**(fields | changes))
