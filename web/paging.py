"""Lists in pages: ?limit=&cursor=, answered {"items", "next_cursor"}.

A cursor is the key of a page's last item, and a mark of the list that it was given out for.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, TypeVar

from flask import request
from pydantic import AfterValidator, Field

from web.fields import GREATEST_ID, Query, QueryNumber, parse_time

DEFAULT_LIMIT = 50
GREATEST_LIMIT = 500

_KEY = re.compile(r"k(0|[1-9][0-9]{0,18})", re.ASCII)
_UNKNOWN = "is not a cursor that was given out for this list: begin without one"

T = TypeVar("T")


def _read_key(cursor: str) -> str:
    match = _KEY.fullmatch(_decoded(cursor))
    if match is None or int(match[1]) > GREATEST_ID:
        raise ValueError(_UNKNOWN)
    return match[1]


def _read_instant(cursor: str) -> str:
    text = _decoded(cursor)
    try:
        aware = parse_time(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise ValueError(_UNKNOWN)
    return text


def _decoded(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        raise ValueError(_UNKNOWN) from None
    mark, _, key = text.partition(" ")
    if mark != _mark():
        raise ValueError(_UNKNOWN)
    return key


def _encoded(key: str) -> str:
    text = f"{_mark()} {key}"
    return base64.urlsafe_b64encode(text.encode("ascii")).decode("ascii").rstrip("=")


def _mark() -> str:
    """Return what tells the list that is asked for from every other."""
    return hashlib.sha256(request.path.encode(errors="replace")).hexdigest()[:8]


_Cursor = Annotated[str, Field(max_length=100)]


class Limited(Query):
    """A list's size."""

    limit: Annotated[QueryNumber, Field(ge=1, le=GREATEST_LIMIT)] = DEFAULT_LIMIT


class Page(Limited):
    """Which part of a list is wanted; the key is an id."""

    cursor: Annotated[_Cursor, AfterValidator(_read_key)] | None = None

    @property
    def key(self) -> int | None:
        return None if self.cursor is None else int(self.cursor)


class TimedPage(Limited):
    """Which part of a list is wanted; the key is an instant."""

    cursor: Annotated[_Cursor, AfterValidator(_read_instant)] | None = None

    @property
    def key(self) -> datetime | None:
        return None if self.cursor is None else parse_time(self.cursor)


def next_cursor(
    items: Sequence[T], *, limit: int, key: Callable[[T], int | datetime]
) -> str | None:
    """Return where the next page begins, for a list that was asked for one item more than the limit."""
    if len(items) <= limit:
        return None
    return cursor_at(key(items[limit - 1]))


def cursor_at(key: int | datetime) -> str:
    """Return the cursor of this list that names a key."""
    return _encoded(key.isoformat() if isinstance(key, datetime) else f"k{key}")
