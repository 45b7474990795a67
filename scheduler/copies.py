"""The database's side of the schedule store: the copy of the definitions, and the notices."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Text, bindparam, cast, insert, select, update

from scheduler.entries import to_entry, to_schedule
from scheduler.model import Schedule
from scheduler.reconcile import Copy, Finding, Gone, Kind
from scheduler.store import Notice
from scheduler.tables import schedule_copies, schedule_notices
from storage.database import Tx, insert_into

_NOTICES_LOOKED_AT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A copy together with the text it was read from, so that an unchanged text need not be read again."""

    text: str
    copy: Copy


def read_copies(tx: Tx, *, known: Mapping[int, Kept]) -> dict[int, Kept]:
    """Return all copies by id, those that are gone too; known are those of an earlier reading."""
    table = schedule_copies.c
    rows = tx.execute(
        select(
            table.id,
            cast(table.entry, Text).label("text"),
            table.saved_at,
            table.gone_at,
            table.gone_why,
        ).order_by(table.id)
    )
    kept = {}
    for row in rows:
        last = known.get(row.id)
        if last is not None and last.text == row.text:
            schedule = last.copy.schedule
        else:
            schedule = to_schedule(orjson.loads(row.text), known=None, now=row.saved_at)
        why = Gone(row.gone_why) if row.gone_why else None
        copy = Copy(schedule=schedule, gone_at=row.gone_at, gone_why=why)
        kept[row.id] = Kept(text=row.text, copy=copy)
    return kept


def keep_copies(tx: Tx, schedules: Iterable[Schedule], now: datetime) -> None:
    """Take over these definitions; one that was gone is there again."""
    rows = [
        {
            "id": schedule.id,
            "version": schedule.version,
            "entry": to_entry(schedule),
            "saved_at": now,
            "gone_at": None,
            "gone_why": None,
        }
        for schedule in schedules
    ]
    if rows:
        statement = insert_into(tx, schedule_copies)
        new = statement.excluded
        tx.execute(
            statement.on_conflict_do_update(
                index_elements=[schedule_copies.c.id],
                set_={name: new[name] for name in rows[0] if name != "id"},
            ),
            rows,
        )


def mark_gone(tx: Tx, ids: Sequence[int], why: Gone, now: datetime) -> None:
    """Say that these have no entry any more."""
    if ids:
        tx.execute(
            update(schedule_copies)
            .where(schedule_copies.c.id == bindparam("gone_id"))
            .values(gone_at=now, gone_why=str(why)),
            [{"gone_id": id_} for id_ in ids],
        )


def tell(tx: Tx, findings: Sequence[Finding], now: datetime) -> None:
    """Write a notice for each finding."""
    if findings:
        tx.execute(
            insert(schedule_notices),
            [
                {
                    "at": now,
                    "kind": str(finding.kind),
                    "schedule_id": finding.schedule_id,
                    "message": finding.message,
                    "detail": dict(finding.detail) | _mark(finding),
                }
                for finding in findings
            ],
        )


def open_bad_entries(tx: Tx) -> list[Notice]:
    """Return the notices of bad entries that are not over."""
    rows = tx.execute(
        select(schedule_notices)
        .where(schedule_notices.c.kind == str(Kind.BAD_ENTRY))
        .order_by(schedule_notices.c.id.desc())
        .limit(_NOTICES_LOOKED_AT)
    )
    return [n for n in map(_notice, rows) if "resolved_at" not in n.detail]


def untold(findings: Iterable[Finding], told: Iterable[Notice]) -> list[Finding]:
    """Return the findings without the bad entries that stand, unchanged, in an open notice already."""
    digests = {notice.detail["digest"] for notice in told}
    return [f for f in findings if f.kind is not Kind.BAD_ENTRY or _digest(f) not in digests]


def over(findings: Iterable[Finding], told: Iterable[Notice]) -> list[Notice]:
    """Return the open notices of entries that are not bad any more, or are not there."""
    digests = {_digest(f) for f in findings if f.kind is Kind.BAD_ENTRY}
    return [notice for notice in told if notice.detail["digest"] not in digests]


def close_notices(tx: Tx, notices: Sequence[Notice], now: datetime) -> None:
    """Say in the notices that what they tell is over."""
    if notices:
        tx.execute(
            update(schedule_notices)
            .where(schedule_notices.c.id == bindparam("notice_id"))
            .values(detail=bindparam("new_detail")),
            [
                {"notice_id": n.id, "new_detail": n.detail | {"resolved_at": now.isoformat()}}
                for n in notices
            ],
        )


def list_notices(tx: Tx, *, since: datetime | None) -> list[Notice]:
    """Return what was found since then, newest first; None: since ever."""
    query = select(schedule_notices).order_by(schedule_notices.c.id.desc())
    if since is not None:
        query = query.where(schedule_notices.c.at >= since)
    return [_notice(row) for row in tx.execute(query.limit(_NOTICES_LOOKED_AT))]


def _mark(finding: Finding) -> dict[str, str]:
    return {"digest": _digest(finding)} if finding.kind is Kind.BAD_ENTRY else {}


def _digest(finding: Finding) -> str:
    """Name the text of a bad entry, wherever it stands in the file."""
    text = orjson.dumps(finding.detail["entry"], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()


def _notice(row: Any) -> Notice:
    return Notice(
        id=row.id,
        at=row.at,
        kind=Kind(row.kind),
        schedule_id=row.schedule_id,
        message=row.message,
        detail=row.detail or {},
    )
