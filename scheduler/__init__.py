"""When: each slot of a schedule runs once."""

from foundation.settings import EXECUTION_BUFFER, SCHEDULER_CHECK_INTERVAL
from scheduler.json_store import save_scheduled_campaigns
from scheduler.parts import scheduler_lock
from scheduler.recurrence import calculate_next_run
from scheduler.thread import scheduler_thread
from scheduler.tick import check_and_execute_scheduled_campaigns

__all__ = [
    "EXECUTION_BUFFER",
    "SCHEDULER_CHECK_INTERVAL",
    "calculate_next_run",
    "check_and_execute_scheduled_campaigns",
    "save_scheduled_campaigns",
    "scheduler_lock",
    "scheduler_thread",
]
