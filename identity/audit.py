"""The audit log: who did what, to what, when and from where, and how it was before and after.

Entries are only ever added. Each one's seal is an HMAC over the entry and the seal before it, and the head keeps how
many there are and the last seal: an entry that was changed, taken out or put in, at the end too, no longer fits,
unless whoever did it has the installation's key.
"""

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from identity.tables import audit_entries, audit_head
from storage.database import Tx, insert_into
from storage.sealed import SecretKey

_FIRST = "0" * 64
_USE = "audit log"
_LONGEST_LABEL = 320


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is to be noted. actor is stable ("user:3", "token:2", "command line", "scheduler"), by is for people.

    object names what it was done to as kind and id ("campaign:7"), label for people. before and after hold what
    differs, or all of it where something was made or deleted; secrets never stand in them.
    """

    actor: str
    by: str
    action: str
    object: str
    label: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A deed as it stands in the log."""

    id: int
    at: datetime
    deed: Deed


def record(tx: Tx, deed: Deed, *, key: SecretKey, now: datetime) -> None:
    """Add an entry, in the transaction of what it tells of."""
    tx.execute(
        insert_into(tx, audit_head)
        .values(id=1, entries=0, seal=_FIRST)
        .on_conflict_do_nothing(index_elements=[audit_head.c.id])
    )
    # The update takes the head's lock: two writers never stand on the same entry.
    head = tx.execute(
        update(audit_head).values(entries=audit_head.c.entries + 1).returning(audit_head)
    ).one()
    values = _as_kept(head.entries, now, deed)
    seal = _seal(key, head.seal, values)
    tx.execute(insert(audit_entries).values(**values, seal=seal))
    tx.execute(update(audit_head).values(seal=seal))


def first_fault(tx: Tx, key: SecretKey) -> str | None:
    """Read all of the log; return a sentence about the first place where it is not as it was written, if any."""
    head = tx.execute(select(audit_head)).one_or_none()
    seal, number = _FIRST, 0
    for row in tx.execute(select(audit_entries).order_by(audit_entries.c.id)):
        number += 1
        if row.id != number:
            return f"Entry {number} of the audit log is missing."
        values = {name: getattr(row, name) for name in _KEPT}
        if not hmac.compare_digest(row.seal, _seal(key, seal, values)):
            return f"Entry {number} of the audit log, or the one before it, was changed, or sealed with another key."
        seal = row.seal
    if head is None:
        return None if number == 0 else "The audit log's head is missing."
    if head.entries > number:
        return f"The audit log ends with entry {number}; {head.entries} were written."
    if head.entries < number or head.seal != seal:
        return "The audit log has entries that Sendonce did not write."
    return None


def entries(
    tx: Tx,
    *,
    actor: str | None = None,
    object_: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> list[Entry]:
    """Return entries, newest first.

    actor: the stable name or, in any spelling, part of what it is called. object_: "campaign:7", or "campaign" for all
    of them. since and until bound the time (until is not in it); before: only entries with a smaller id.
    """
    query = select(audit_entries).order_by(audit_entries.c.id.desc()).limit(limit)
    if actor:
        named = audit_entries.c.by.icontains(actor, autoescape=True)
        query = query.where((audit_entries.c.actor == actor) | named)
    if object_:
        kind = audit_entries.c.object.startswith(f"{object_}:", autoescape=True)
        query = query.where((audit_entries.c.object == object_) | kind)
    if since is not None:
        query = query.where(audit_entries.c.at >= since)
    if until is not None:
        query = query.where(audit_entries.c.at < until)
    if before is not None:
        query = query.where(audit_entries.c.id < before)
    return [_entry(row) for row in tx.execute(query)]


def all_entries(tx: Tx) -> Iterator[Entry]:
    """Yield every entry, oldest first."""
    for row in tx.execute(select(audit_entries).order_by(audit_entries.c.id)):
        yield _entry(row)


_KEPT = ("id", "at", "actor", "by", "action", "object", "label", "before", "after", "address")


def _as_kept(number: int, now: datetime, deed: Deed) -> dict[str, Any]:
    return {
        "id": number,
        "at": now,
        "actor": deed.actor,
        "by": deed.by[:_LONGEST_LABEL],
        "action": deed.action,
        "object": deed.object,
        "label": deed.label[:_LONGEST_LABEL],
        "before": _text(deed.before),
        "after": _text(deed.after),
        "address": deed.address,
    }


def _text(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    return json.dumps(values, default=str, ensure_ascii=False, sort_keys=True)


def _seal(key: SecretKey, before: str, values: Mapping[str, Any]) -> str:
    kept = json.dumps([before, {**values, "at": values["at"].isoformat()}], sort_keys=True)
    return hmac.digest(key.derive(_USE), kept.encode(errors="surrogatepass"), "sha256").hex()


def _entry(row: Row[Any]) -> Entry:
    return Entry(
        id=row.id,
        at=row.at,
        deed=Deed(
            actor=row.actor,
            by=row.by,
            action=row.action,
            object=row.object,
            label=row.label,
            before=None if row.before is None else json.loads(row.before),
            after=None if row.after is None else json.loads(row.after),
            address=row.address,
        ),
    )
