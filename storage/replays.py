"""Answers already given, by Idempotency-Key: a repeat of a request returns the first answer.

Whoever asks first writes the row and does the work; others wait for its answer. A row without an answer belongs to a
request that is still in work, or to a process that died in it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Integer, LargeBinary, Row, String, Table, delete, select, update

from storage.database import Tx, insert_into
from storage.metadata import Instant, metadata

KEPT = timedelta(hours=24)

replays = Table(
    "replays",
    metadata,
    Column("caller", String(80), primary_key=True),
    Column("path", String(400), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("started_at", Instant, nullable=False, index=True),  # serves: forget
    Column("status", Integer),
    Column("content_type", String(100)),
    Column("body", LargeBinary),
    Column("location", String(2000)),  # where a form's answer leads
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What names a request that may be repeated.

    bodies: the mark of its body, then those that it had under keys of the installation that were changed since.
    """

    caller: str
    path: str
    key: str
    bodies: Sequence[bytes]

    @property
    def body_sha256s(self) -> list[str]:
        return [hashlib.sha256(body).hexdigest() for body in self.bodies]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer as it went out."""

    status: int
    content_type: str
    body: bytes
    location: str | None


class OtherBody(Exception):
    """The key was used before, with another body."""


class InWork(Exception):
    """The first request with this key has no answer yet."""


def begin(tx: Tx, request: Request, now: datetime) -> Answer | None:
    """Take the key for this request, or return the answer that was given under it before.

    None means that the caller is the first and must end with finish or forget. Raises OtherBody, InWork.
    """
    tx.execute(delete(replays).where(replays.c.started_at < now - KEPT))
    taken = tx.execute(
        insert_into(tx, replays)
        .values(
            caller=request.caller,
            path=request.path,
            key=request.key,
            body_sha256=request.body_sha256s[0],
            started_at=now,
        )
        .on_conflict_do_nothing()
    )
    if taken.rowcount:
        return None
    return _answer(tx.execute(select(replays).where(_is(request))).one(), request)


def look(tx: Tx, request: Request) -> Answer | None:
    """Return the answer given under the key; None when nobody has the key any more. Raises OtherBody, InWork."""
    row = tx.execute(select(replays).where(_is(request))).one_or_none()
    return None if row is None else _answer(row, request)


def finish(tx: Tx, request: Request, answer: Answer) -> None:
    """Keep the answer for whoever repeats the request."""
    tx.execute(
        update(replays)
        .where(_is(request))
        .values(
            status=answer.status,
            content_type=answer.content_type,
            body=answer.body,
            location=answer.location,
        )
    )


def forget(tx: Tx, request: Request) -> None:
    """Let the key be used again: nothing has happened under it."""
    tx.execute(delete(replays).where(_is(request)).where(replays.c.status.is_(None)))


def _answer(row: Row[Any], request: Request) -> Answer:
    if row.body_sha256 not in request.body_sha256s:
        raise OtherBody
    if row.status is None:
        raise InWork
    return Answer(
        status=row.status, content_type=row.content_type, body=row.body, location=row.location
    )


def _is(request: Request):  # type: ignore[no-untyped-def]  # SQLAlchemy's clause type says nothing to a reader
    c = replays.c
    return (c.caller == request.caller) & (c.path == request.path) & (c.key == request.key)
