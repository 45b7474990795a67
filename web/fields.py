"""The kinds of field that requests and answers are made of."""

import re
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from foundation.errors import Invalid
from mail.address import normalise

GREATEST_ID = 2**63 - 1
NOT_GIVEN: Any = None
"""The default of a field in a PATCH: never read, since only what was given is (model_fields_set)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DIGITS = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_TIME = re.compile(
    r"(?P<wall>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?\d*)?)"
    r"(?P<offset>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_FIRST_YEAR, _LAST_YEAR = 1970, 2399  # what recurrence reckons with


class Body(BaseModel):
    """What a client sends; a field that we do not know is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, validate_default=False)

    def changes(self) -> dict[str, Any]:
        """Return the fields that were given, by name, as the handler wants them."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Answer(BaseModel):
    """What we send; made from a room's dataclass by its field names."""

    model_config = ConfigDict(from_attributes=True)


def parse_time(text: object) -> datetime:
    """Return the time that an RFC 3339 text names: aware if it has an offset, else naive. Raises ValueError."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError("must be a time as 2026-03-01T09:00:00Z")
    try:
        time = datetime.fromisoformat((match["wall"] + (match["offset"] or "")).upper())
    except ValueError:
        raise ValueError(f"is no time that exists: {text}") from None
    if not _FIRST_YEAR <= time.year <= _LAST_YEAR:
        raise ValueError(f"must lie between {_FIRST_YEAR} and {_LAST_YEAR}: {text}")
    return time


def rfc3339(instant: datetime) -> str:
    """Return an instant as answers have it: UTC with Z."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parse_instant(text: object) -> datetime:
    time = parse_time(text)
    if time.tzinfo is None:
        raise ValueError(f"needs an offset, as 2026-03-01T09:00:00Z: {text}")
    return time.astimezone(UTC)


def _one_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("must be one line without control characters")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


def _no_control(text: str) -> str:
    if _CONTROL_BUT_LINES.search(text):
        raise ValueError("holds control characters")
    return text


def _address(text: str) -> str:
    try:
        return normalise(text).written
    except Invalid as error:
        raise ValueError(error.errors[0].message) from None


def _digits(given: object) -> int:
    # Query parameters are text; what is not plain digits ("5_0", " 5", "5.0") is refused.
    if not isinstance(given, str) or not _DIGITS.fullmatch(given):
        raise ValueError("must be a whole number")
    return int(given)


def _parse_query_instant(text: object) -> datetime:
    # A "+" that was not escaped has become a blank on its way.
    if isinstance(text, str):
        text = text[:11] + text[11:].replace(" ", "+")
    return _parse_instant(text)


_TIME_SCHEMA = WithJsonSchema({"type": "string", "format": "date-time"})

Id = Annotated[int, Field(strict=True, ge=1, le=GREATEST_ID)]
Whole = Annotated[int, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
Text = Annotated[str, Field(strict=True)]
Line = Annotated[Text, AfterValidator(_one_line)]
Name = Annotated[Text, Field(max_length=200), AfterValidator(_one_line), AfterValidator(_not_blank)]
Note = Annotated[Text, Field(max_length=1000), AfterValidator(_no_control)]
Email = Annotated[Text, Field(max_length=320), AfterValidator(_one_line), AfterValidator(_address)]
InstantIn = Annotated[datetime, PlainValidator(_parse_instant), _TIME_SCHEMA]
QueryInstant = Annotated[datetime, PlainValidator(_parse_query_instant), _TIME_SCHEMA]
TimeIn = Annotated[datetime, PlainValidator(parse_time), _TIME_SCHEMA]
Instant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
QueryNumber = Annotated[int, BeforeValidator(_digits)]
QueryId = Annotated[QueryNumber, Field(ge=1, le=GREATEST_ID)]
QueryText = Annotated[str, Field(max_length=320), AfterValidator(_one_line)]


class Query(Body):
    """The parameters of a list or a look-up."""

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return what the library asks for at each request, and makes anew each time: half of a small one's cost."""
        if args or kwargs:
            return super().model_json_schema(*args, **kwargs)
        return _schema_of(cls)


class Nothing(Body):
    """The body of an action that takes none."""


class ById(BaseModel):
    """A path that names one thing."""

    id: int


@cache
def _schema_of(query: type[Query]) -> dict[str, Any]:
    return super(Query, query).model_json_schema()
