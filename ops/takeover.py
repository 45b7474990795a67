"""Take over the schedule file of the older tool: integer ids, naive local times, repeat_interval in minutes.

Every entry gets a new id; what the older tool knew of it stays under keys that begin with imported_. Nothing that is
past is ever sent: a schedule begins at the moment it is taken over.
"""

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from foundation.errors import FieldError, Invalid
from identity.audit import SENDONCE, Author
from scheduler.entries import Entry, check, to_schedule
from scheduler.model import Schedule, ScheduleType, Status
from scheduler.recurrence import calculate_next_run
from scheduler.store import ScheduleStore

_OURS_NOW = ("id", "version", "created_at", "last_run", "next_run", "total_runs", "status")
_PLANNED_BY = ("id", "campaign_id", "schedule_time", "schedule_type", "repeat_interval")
_KINDS = [kind for kind in ScheduleType if kind is not ScheduleType.RRULE]
_OVER = {"cancelled", "canceled", "paused", "disabled"}
_RAN = {"completed", "failed", "running", "sent"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """An entry that can't be taken over: where it stands in the file, its old id as it was written, what is wrong."""

    index: int
    old_id: object
    errors: tuple[FieldError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Takeover:
    """What became of the file's entries.

    imported: all that are schedules now; unknown_campaign: those of them that came in disabled because there is no such
    campaign; already: indexes of entries that were taken over before.
    """

    imported: tuple[Schedule, ...]
    unknown_campaign: tuple[Schedule, ...]
    already: tuple[int, ...]
    rejected: tuple[Rejected, ...]


def import_schedules(
    store: ScheduleStore,
    data: bytes,
    *,
    timezone: str,
    known_campaigns: Collection[int],
    now: datetime,
    by: Author = SENDONCE,
) -> Takeover:
    """Add the schedules of the older tool's file, in one save; times without a zone are meant in timezone.

    The same file taken over again adds nothing. by: who does it, for the audit log. Raises Invalid when it is no such
    file or there is no such zone, Unavailable when the store can't be changed.
    """
    _refuse_unknown_zone(timezone)
    raws = _read(data)
    ready: list[tuple[int, Schedule]] = []
    rejected = []
    for index, raw in enumerate(raws):
        try:
            ready.append((index, _translate(raw, timezone=timezone, now=now)))
        except Invalid as invalid:
            old_id = raw.get("id") if isinstance(raw, dict) else None
            rejected.append(Rejected(index=index, old_id=old_id, errors=invalid.errors))
    imported, already = [], []
    with store.edit(by=by) as book:
        there = {_digest_of(s) for s in (*book.schedules.values(), *book.gone.values())}
        for index, schedule in ready:
            if _digest_of(schedule) in there:
                already.append(index)
                continue
            there.add(_digest_of(schedule))
            has_campaign = schedule.campaign_id in known_campaigns
            begun = _begin(schedule, has_campaign=has_campaign, now=now)
            imported.append(book.add(_with_id(begun)))
    return Takeover(
        imported=tuple(imported),
        unknown_campaign=tuple(s for s in imported if s.campaign_id not in known_campaigns),
        already=tuple(already),
        rejected=tuple(rejected),
    )


def _read(data: bytes) -> list[Any]:
    try:
        content = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
        orjson.dumps(content)
    except orjson.JSONDecodeError as error:
        raise Invalid.field("file", f"The file is not JSON: {error}.") from None
    except orjson.JSONEncodeError:
        raise Invalid.field(
            "file", "The file is nested too deep to be a list of schedules."
        ) from None
    if isinstance(content, dict):
        content = content.get("scheduled_campaigns", content.get("schedules"))
    if not isinstance(content, list):
        raise Invalid.field(
            "file",
            "The file holds no list of schedules, neither by itself nor under scheduled_campaigns or schedules.",
        )
    return content


def _refuse_unknown_zone(timezone: str) -> None:
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        raise Invalid.field(
            "timezone", f"{timezone!r} is not a time zone: use a name as Europe/Berlin or UTC."
        ) from None


def _translate(raw: object, *, timezone: str, now: datetime) -> Schedule:
    """Return the schedule that the entry describes, without an id. Raises Invalid naming every wrong field."""
    if not isinstance(raw, dict):
        raise Invalid.field("entry", "must be an object")
    entry: Entry = {key: value for key, value in raw.items() if key not in _OURS_NOW}
    entry |= {f"imported_{key}": raw[key] for key in _OURS_NOW if raw.get(key) is not None} | {
        "imported_digest": _digest(raw)
    }
    if entry.get("timezone") is None:
        entry["timezone"] = timezone
    errors = _translate_values(entry)
    try:
        schedule = to_schedule(entry, known=None, now=now)
        if not errors:
            check(schedule, known=None)
    except Invalid as invalid:
        named = {error.field for error in errors}
        errors += [error for error in invalid.errors if error.field not in named]
    if errors:
        raise Invalid(errors)
    return schedule


def _translate_values(entry: Entry) -> list[FieldError]:
    """Put our values in the place of the older tool's; return what can't be understood."""
    errors = []
    for field, read in _READERS.items():
        if field not in entry:
            continue
        try:
            entry[field] = read(entry[field], entry)
        except ValueError as error:
            errors.append(FieldError(field, str(error)))
    if entry.get("schedule_type") != ScheduleType.CUSTOM:
        interval = entry.pop("repeat_interval", None)
        if interval:
            entry["imported_repeat_interval"] = interval
    return errors


def _read_number(value: object, entry: Entry) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"\s*[0-9]{1,10}\s*", value):
            raise ValueError(f"must be a whole number; it is {value[:40]!r}")
        return int(value)
    return value


def _read_interval(value: object, entry: Entry) -> object:
    is_custom = entry.get("schedule_type") == ScheduleType.CUSTOM
    return _read_number(value, entry) if is_custom else value


def _read_kind(value: object, entry: Entry) -> object:
    kind = value.strip().lower() if isinstance(value, str) else value
    if kind not in _KINDS:
        raise ValueError(f"must be one of {', '.join(_KINDS)}; it is {str(value)[:40]!r}")
    return kind


_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})?"
)


def _read_time(value: object, entry: Entry) -> object:
    found = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"must be a time as 2025-01-05T09:00; it is {str(value)[:40]!r}")
    day, time, offset = found.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{offset or ''}")
        if moment.tzinfo is not None:
            moment = moment.astimezone(ZoneInfo(str(entry["timezone"]))).replace(tzinfo=None)
    except (KeyError, ValueError, OverflowError, OSError):
        raise ValueError(f"is a day, a time or a zone that does not exist: {value!r}") from None
    return moment.isoformat(timespec="seconds")


def _read_switch(value: object, entry: Entry) -> object:
    text = str(value).strip().lower()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no"):
        return False
    raise ValueError(f"must be true or false; it is {str(value)[:40]!r}")


# In this order: the interval's meaning depends on the kind.
_READERS: Mapping[str, Callable[[object, Entry], object]] = {
    "campaign_id": _read_number,
    "schedule_type": _read_kind,
    "repeat_interval": _read_interval,
    "schedule_time": _read_time,
    "enabled": _read_switch,
}


def _begin(schedule: Schedule, *, has_campaign: bool, now: datetime) -> Schedule:
    """Say how the schedule stands on its first day here; what is over for the older tool is never run again."""
    next_run = calculate_next_run(schedule, now)
    if next_run is None:
        return replace(schedule, enabled=False, status=Status.COMPLETED)
    if not has_campaign or not schedule.enabled or _is_over(schedule):
        return replace(schedule, enabled=False, status=Status.PAUSED)
    return replace(schedule, next_run=next_run)


def _is_over(schedule: Schedule) -> bool:
    status = str(schedule.unknown.get("imported_status", "")).lower()
    is_once = schedule.schedule_type is ScheduleType.ONCE
    return status in _OVER or (is_once and status in _RAN)


def _with_id(schedule: Schedule) -> Callable[[int], Schedule]:
    return lambda id_: replace(schedule, id=id_)


def _digest(raw: Mapping[str, Any]) -> str:
    """Name what the older tool planned, whatever it has run since and however it is edited here."""
    planned = orjson.dumps([raw.get(key) for key in _PLANNED_BY])
    return hashlib.sha256(planned).hexdigest()[:16]


def _digest_of(schedule: Schedule) -> object:
    return schedule.unknown.get("imported_digest")
