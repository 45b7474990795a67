"""An entry of the schedule file <-> a Schedule.

A person may have written the entry: keys that can be left out may be missing, keys we do not know are kept, but a
value of the wrong type is never guessed at. The ledger's four fields (last_run, next_run, total_runs, status) are
ours: what makes no sense there is ignored, the next tick writes them anew.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import attrgetter
from types import MappingProxyType
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from foundation.errors import FieldError, Invalid
from scheduler import fields
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Status

Entry = dict[str, Any]

NO_ID = 0
"""The id of a Schedule whose entry has none yet."""

HIGHEST = 2**31 - 1
"""What an id, a version or a count may be at most: all of them fit every database's integer."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some editors begin every file with it

# Everything a person decides; the version counts its changes, the rest is the ledger's.
_definition = attrgetter(
    "campaign_id",
    "schedule_time",
    "schedule_type",
    "repeat_interval",
    "rrule",
    "timezone",
    "enabled",
    "ends_at",
    "max_runs",
    "catch_up",
    "overlap",
    "note",
    "created_at",
    "unknown",
)


class Damaged(Exception):
    """The bytes are no schedule file at all."""


def parse(data: bytes) -> list[Any]:
    """Return the entries of the file as they are written; raises Damaged."""
    if not data.strip():
        raise Damaged("it is empty")
    try:
        content = orjson.loads(data.removeprefix(_BYTE_ORDER_MARK))
        if not isinstance(content, list):
            raise Damaged("it is not a list of schedules in [ ]")
        orjson.dumps(content)  # what is nested too deep to be written again would block every save
    except orjson.JSONDecodeError as error:
        raise Damaged(str(error)) from None
    except orjson.JSONEncodeError as error:
        raise Damaged(f"it is nested too deep ({error})") from None
    return content


def render(entries: list[Any]) -> bytes:
    """Return the file's bytes."""
    return orjson.dumps(entries, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def written_id(raw: object) -> int | None:
    """Return the entry's id, None if it has none or one that no schedule can have."""
    value = raw.get("id") if isinstance(raw, dict) else None
    # type: True is an int for isinstance.
    return value if type(value) is int and 1 <= value <= HIGHEST else None


def same_definition(one: Schedule, other: Schedule) -> bool:
    """Return whether a person would say that both plan the same: all but id, version and the ledger's fields."""
    return bool(_definition(one) == _definition(other))


def to_entry(schedule: Schedule) -> Entry:
    """Return the schedule as it is written, keys we do not know last."""
    return {
        "id": schedule.id,
        "version": schedule.version,
        "campaign_id": schedule.campaign_id,
        "schedule_time": schedule.schedule_time.isoformat(timespec="seconds"),
        "schedule_type": str(schedule.schedule_type),
        "repeat_interval": schedule.repeat_interval,
        "rrule": schedule.rrule,
        "timezone": schedule.timezone,
        "enabled": schedule.enabled,
        "created_at": _write_instant(schedule.created_at),
        "ends_at": _write_instant(schedule.ends_at),
        "max_runs": schedule.max_runs,
        "catch_up": str(schedule.catch_up),
        "overlap": str(schedule.overlap),
        "note": schedule.note,
        "last_run": _write_instant(schedule.last_run),
        "next_run": _write_instant(schedule.next_run),
        "total_runs": schedule.total_runs,
        "status": str(schedule.status),
        **schedule.unknown,
    }


def to_schedule(raw: object, *, known: Schedule | None, now: datetime) -> Schedule:
    """Return what the entry says; its id is NO_ID where none is written.

    known is the last good schedule of that id: it fills in version, created_at and the ledger's fields where they are
    left out. Only types are looked at; whether the schedule makes sense is check()'s. Raises Invalid naming every wrong
    field.
    """
    if not isinstance(raw, dict):
        raise Invalid.field("entry", f"must be an object in {{ }}, not {_short(raw)}")
    try:
        text = _Written.model_validate(raw)
    except ValidationError as error:
        raise Invalid(
            [_explain(raw, e["loc"], e["type"], e["msg"]) for e in error.errors()]
        ) from None
    ledger = _read_ledger_fields(raw, known)
    return Schedule(
        id=text.id or NO_ID,
        version=text.version or (known.version if known else 1),
        campaign_id=text.campaign_id,
        schedule_time=text.schedule_time,
        schedule_type=text.schedule_type,
        repeat_interval=text.repeat_interval,
        rrule=text.rrule,
        timezone=text.timezone,
        enabled=text.enabled,
        ends_at=text.ends_at,
        max_runs=text.max_runs,
        catch_up=text.catch_up,
        overlap=text.overlap,
        note=text.note,
        created_at=text.created_at or (known.created_at if known else now),
        last_run=ledger.last_run,
        next_run=ledger.next_run,
        total_runs=ledger.total_runs,
        status=ledger.status,
        unknown=_unknown(raw),
    )


def check(schedule: Schedule, *, known: Schedule | None) -> None:
    """Raise Invalid naming every field that makes no sense.

    What is as in known was good once, and stays good: a stricter rule of a later version stops no schedule.
    """
    if known is None or not same_definition(schedule, known):
        fields.check(schedule)


def _write_instant(instant: datetime | None) -> str | None:
    if instant is None:
        return None
    return instant.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


_WALL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def read_wall_time(value: object) -> datetime:
    """Read "2026-11-24T09:00:00"; raises ValueError with a sentence."""
    if not isinstance(value, str) or not _WALL_TIME.fullmatch(value):
        raise ValueError("must be wall-clock time without an offset, as 2026-11-24T09:00:00")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is a day or a time that does not exist") from None


def read_instant(value: object) -> datetime:
    """Read "2026-11-24T09:00:00Z" into UTC; raises ValueError with a sentence."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise ValueError("must be an instant as 2026-11-24T09:00:00Z")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("is a day or a time that does not exist") from None


def _optional_instant(value: object) -> datetime | None:
    return None if value is None else read_instant(value)


_Positive = Annotated[int, Field(ge=1, le=HIGHEST)]
_Instant = Annotated[datetime | None, BeforeValidator(_optional_instant)]


class _Written(BaseModel):
    """An entry as a person may write it, without the ledger's fields and the keys we do not know."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    id: _Positive | None = None
    version: _Positive | None = None
    campaign_id: _Positive
    schedule_time: Annotated[datetime, BeforeValidator(read_wall_time)]
    schedule_type: Annotated[ScheduleType, Field(strict=False)]
    repeat_interval: _Positive | None = None
    rrule: str | None = None
    timezone: str = "UTC"
    enabled: bool = True
    created_at: _Instant = None
    ends_at: _Instant = None
    max_runs: _Positive | None = None
    catch_up: Annotated[CatchUp, Field(strict=False)] = CatchUp.HOLD
    overlap: Annotated[Overlap, Field(strict=False)] = Overlap.WAIT
    note: str | None = None


class _LedgerFields(BaseModel):
    """What the ledger knows better."""

    model_config = ConfigDict(strict=True, frozen=True)

    last_run: _Instant = None
    next_run: _Instant = None
    total_runs: Annotated[int, Field(ge=0, le=HIGHEST)] = 0
    status: Annotated[Status, Field(strict=False)] = Status.PENDING


_KEYS = frozenset(_Written.model_fields) | frozenset(_LedgerFields.model_fields)


def _read_ledger_fields(raw: Entry, known: Schedule | None) -> _LedgerFields:
    written = {name: raw[name] for name in _LedgerFields.model_fields if name in raw}
    if known is not None:
        last = {name: getattr(known, name) for name in _LedgerFields.model_fields}
        written = {
            name: _write_instant(v) if isinstance(v, datetime) else v for name, v in last.items()
        } | written
    try:
        return _LedgerFields.model_validate(written)
    except ValidationError as error:
        for name in {e["loc"][0] for e in error.errors()}:
            del written[str(name)]
        return _LedgerFields.model_validate(written)


def _unknown(raw: Entry) -> Mapping[str, Any]:
    return MappingProxyType({key: value for key, value in raw.items() if key not in _KEYS})


_SENTENCES = {
    "missing": "is missing",
    "int_type": "must be a whole number without quotes",
    "bool_type": "must be true or false, without quotes",
    "string_type": "must be a text in quotes",
}


def _explain(raw: Entry, loc: tuple[int | str, ...], kind: str, message: str) -> FieldError:
    field = str(loc[0])
    if kind == "missing":
        return FieldError(field, _SENTENCES[kind])
    sentence = _SENTENCES.get(kind) or message.removeprefix("Value error, ").replace(
        "Input should be", "must be"
    )
    return FieldError(field, f"{sentence}; it is {_short(raw[field])}")


def _short(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
