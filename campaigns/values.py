"""What a template sees: the recipient, the slot, and the empty value that stands for everything that is not there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from jinja2 import Undefined

RECIPIENT_NAMES = ("email", "name", "attributes")
CAMPAIGN_NAMES = ("name",)


class Missing(Undefined):
    """Something that is not there, at any depth: prints as nothing, is false, holds nothing, compares as empty."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> "Missing":  # type: ignore[override]  # Jinja's own never returns
        return self

    def __eq__(self, other: object) -> bool:
        return other is None or other == "" or isinstance(other, Missing)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash("")

    def _never(self, other: object) -> bool:
        return False

    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = _never  # type: ignore[assignment]  # likewise


class Group(dict[str, Any]):
    """Attributes, or an object inside them: knows where it stands, so that what is lacking has a name."""

    __slots__ = ("_lacking", "_path")

    def __init__(self, items: Mapping[str, Any], path: str, lacking: set[str] | None) -> None:
        super().__init__(
            {
                key: _group(value, f"{path}{key}", lacking)
                if isinstance(value, dict | list)
                else value
                for key, value in items.items()
            }
        )
        self._path = path
        self._lacking = lacking

    def __missing__(self, key: Any) -> Missing:
        if self._lacking is not None:
            self._lacking.add(f"{self._path}{key}")
        return Missing(name=str(key))


def _group(value: Any, path: str, lacking: set[str] | None) -> Any:
    if isinstance(value, dict):
        return Group(value, f"{path}.", lacking)
    if isinstance(value, list):
        return [_group(item, path, lacking) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class Fields:
    """recipient and campaign: a few names, and nothing else."""

    title: str
    values: Mapping[str, Any]


class Method:
    """A method of a text, a time or a loop that a template may call."""

    __slots__ = ("name", "receiver")

    def __init__(self, receiver: Any, name: str) -> None:
        self.receiver = receiver
        self.name = name


class SlotTime(datetime):
    """The slot in the schedule's zone; printed as "2026-03-29 09:00 CEST"."""

    @classmethod
    def of(cls, slot: datetime) -> "SlotTime":
        """Return the same time of day in the same zone."""
        return cls.combine(slot.date(), slot.timetz())

    def __str__(self) -> str:
        return f"{self:%Y-%m-%d %H:%M} {self.tzname()}"


_WIDTH = re.compile(r"%[-_0^#+]*\d")


def strftime(moment: date | time, pattern: str) -> str:
    """Write the moment as the pattern says, which may not ask for widths: the C library would make any."""
    if not isinstance(pattern, str) or len(pattern) > 200 or _WIDTH.search(pattern):
        raise ValueError("strftime takes a short pattern without widths, as '%d %B %Y'")
    return moment.strftime(pattern)


def items_of(value: Any) -> list[Any]:
    """Return what a loop or a filter over the value goes through; nothing is an empty list."""
    if value is None or isinstance(value, Missing):
        return []
    if isinstance(value, str | list | tuple | dict | range):
        return list(value)
    raise TypeError(f"{kind_of(value)} is not a list")


def text_of(value: Any) -> str:
    """Return how the value reads in a mail. The caller has counted its size."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, Missing):
        return ""
    if isinstance(value, bool | int | float | date | time | timedelta):
        return str(value)
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{text_of(key)}: {text_of(item)}" for key, item in value.items())
    raise TypeError(f"{kind_of(value)} can't be shown in a mail; say what of it you mean")


def kind_of(value: Any) -> str:
    """Name the value in a sentence."""
    if isinstance(value, Fields):
        return value.title
    if isinstance(value, Method):
        return f"{value.name} without parentheses"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, Missing):
        return "nothing"
    if isinstance(value, bool | int | float):
        return f"{value}"
    return "this"
