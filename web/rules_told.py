"""How a schedule repeats, in words."""

from scheduler.model import Schedule, ScheduleType
from web.shown import duration

_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd", 21: "21st", 22: "22nd", 23: "23rd", 31: "31st"}


def rule_in_words(schedule: Schedule) -> str:
    """Return "Every Tuesday 09:00", and when it ends where it does."""
    return f"{_rule(schedule)}{_end(schedule)}"


def _rule(schedule: Schedule) -> str:
    time = schedule.schedule_time
    match schedule.schedule_type:
        case ScheduleType.ONCE:
            return "Once"
        case ScheduleType.HOURLY:
            return f"Every hour from {time:%H:%M}"
        case ScheduleType.DAILY:
            return f"Every day {time:%H:%M}"
        case ScheduleType.WEEKLY:
            return f"Every {time:%A} {time:%H:%M}"
        case ScheduleType.MONTHLY:
            day = _ORDINALS.get(time.day, f"{time.day}th")
            return f"Every month on the {day} {time:%H:%M}"
        case ScheduleType.CUSTOM:
            return f"Every {duration((schedule.repeat_interval or 0) * 60)}"
        case ScheduleType.RRULE:
            return f"Rule {schedule.rrule}, {time:%H:%M}"


def _end(schedule: Schedule) -> str:
    if schedule.max_runs is not None:
        return f", {schedule.max_runs} runs at most"
    if schedule.ends_at is not None:
        return f", until {schedule.ends_at:%-d %b %Y}"
    return ""
