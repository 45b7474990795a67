"""Slots as a calendar file (iCalendar, RFC 5545). Pure: events come in, bytes go out.

Written here and not by a library: events with a time, a length and a few texts need two rules of the RFC, how a text is
escaped and how a line is folded, and no calendar is ever read.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_LONGEST_LINE = 75
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that begins at a time. uid is the same in every file that tells of it; seconds: None for no length."""

    uid: str
    starts_at: datetime
    seconds: float | None
    summary: str
    description: str
    url: str


def calendar_file(events: Iterable[Event], *, made_at: datetime) -> bytes:
    """Return the file."""
    lines = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//Sendonce//Calendar//EN",
        "CALSCALE:GREGORIAN",
        *(line for event in events for line in _event(event, made_at)),
        "END:VCALENDAR",
    ]
    return b"".join(piece + b"\r\n" for line in lines for piece in _folded(line))


def _event(event: Event, made_at: datetime) -> Iterator[str]:
    yield "BEGIN:VEVENT"
    yield f"UID:{event.uid}"
    yield f"DTSTAMP:{_utc(made_at)}"
    yield f"DTSTART:{_utc(event.starts_at)}"
    if event.seconds:
        yield f"DURATION:PT{max(1, round(event.seconds))}S"
    yield f"SUMMARY:{_text(event.summary)}"
    yield f"DESCRIPTION:{_text(event.description)}"
    yield f"URL:{event.url}"
    yield "TRANSP:TRANSPARENT"  # a mail that goes out keeps nobody busy
    yield "END:VEVENT"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _text(value: str) -> str:
    """Escape a text (RFC 5545 3.3.11); a control character can stand in none."""
    one_kind = value.replace("\r\n", "\n").replace("\r", "\n")
    escaped = re.sub(r"([\\;,])", r"\\\1", one_kind).replace("\n", "\\n")
    return _UNPRINTABLE.sub("", escaped)


def _folded(line: str) -> Iterator[bytes]:
    """Yield a line in pieces of at most 75 octets, each but the first begun by a blank (RFC 5545 3.1).

    No character is torn in two: the RFC would allow it, and programs would not.
    """
    piece = b""
    for character in line:
        octets = character.encode()
        if len(piece) + len(octets) > _LONGEST_LINE:
            yield piece
            piece = b" "
        piece += octets
    yield piece
