"""The audit log: who did what, to what, when and from where, and how it was before and after.

Entries are only ever added. Each one's seal is an HMAC over the entry and the seal before it, and the head's is one
over how many there are and the last seal: an entry that was changed, taken out or put in, at the end too, no longer
fits, unless whoever did it has the installation's key, which seals the key of the log. Who puts the whole database
back to what it was earlier is seen by the witness (storage.witness), not here.

What never stands in it: secrets, and the address of a recipient, since nothing of an entry can be taken out when a
person is erased. person() names them by a keyed hash.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select, update

from foundation.errors import Unavailable
from identity.tables import audit_entries, audit_head
from storage.database import Tx, insert_into
from storage.sealed import SecretKey

_FIRST = "0" * 64
_BROKEN = "broken"
_USE_FOR_PEOPLE = "recipients in the audit log"
_LONGEST_LABEL = 320
_LONGEST_ADDRESS = 64
_LONGEST_TEXT = 500
_SHOWN_OF_A_LONG_TEXT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """Who does something. actor is stable ("user:3", "token:2", "command line"), by is for people.

    address: where the request came from; None where there was none.
    """

    actor: str
    by: str
    address: str | None = None

    def did(
        self,
        action: str,
        object_: str,
        *,
        label: str = "",
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> "Deed":
        """Return what is to be noted of it; see Deed."""
        return Deed(
            actor=self.actor,
            by=self.by,
            action=action,
            object=object_,
            label=label,
            before=before,
            after=after,
            address=self.address,
        )


SCHEDULER = Author(actor="scheduler", by="the scheduler")
SCHEDULE_FILE = Author(actor="schedule file", by="scheduled_campaigns.json")
RECIPIENT = Author(actor="recipient", by="the recipient")
"""Without an address: who unsubscribes is to leave as little behind as can be."""
SENDONCE = Author(actor="sendonce", by="Sendonce itself")
"""A program on this machine that uses the rooms directly, as the demo does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What is to be noted; actor, by and address are its author's.

    action is a verb; object names what it was done to as kind and id ("campaign:7"), label for people. before and after
    hold what differs, or all of it where something was made or deleted. Of a text longer than 500 characters only the
    beginning, the length and a hash are kept.
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
    record_all(tx, [deed], key=key, now=now)


def record_all(tx: Tx, deeds: Sequence[Deed], *, key: SecretKey, now: datetime) -> None:
    """Add entries, in the transaction of what they tell of, in this order."""
    if not deeds:
        return
    # The update takes the head's lock: two writers never stand on the same entry.
    lock = update(audit_head).values(entries=audit_head.c.entries).returning(audit_head)
    head = tx.execute(lock).one_or_none()
    query = select(audit_entries.c.id, audit_entries.c.seal).order_by(audit_entries.c.id.desc())
    last = tx.execute(query.limit(1)).one_or_none()
    number, seal = (last.id, last.seal) if last is not None else (0, _FIRST)
    sealing = _sealing(key, head)
    if sealing is None or not _is_whole(sealing, head, number, seal):
        # Somebody touched it. What is done now is noted all the same, behind a break that stays to be seen.
        number, seal = max(number, head.entries if head else 0), _BROKEN
    sealing = sealing or secrets.token_bytes(32)
    rows = []
    for deed in deeds:
        number += 1
        values = _as_kept(number, now, deed)
        seal = _seal(sealing, seal, values)
        rows.append(values | {"seal": seal})
    tx.execute(insert(audit_entries), rows)
    new = {"entries": number, "seal": _seal_of_head(sealing, number, seal)}
    if head is None or head.key_sealed is None or _sealing(key, head) is None:
        new["key_sealed"] = key.seal(sealing.hex())
    tx.execute(
        insert_into(tx, audit_head)
        .values(id=1, **new)
        .on_conflict_do_update(index_elements=[audit_head.c.id], set_=new)
    )


def person(key: SecretKey, address_key: str) -> str:
    """Return how a recipient is called as an object of the log: it tells nobody the address who has not the key."""
    return names_of_person(key, address_key)[0]


def names_of_person(key: SecretKey, address_key: str) -> list[str]:
    """Return every name that a recipient may have in the log: under the key of today, and under the one before it."""
    found = [
        hmac.digest(k, address_key.encode(), "sha256") for k in key.derive_each(_USE_FOR_PEOPLE)
    ]
    return [f"recipient:{one.hex()[:32]}" for one in found]


def size(tx: Tx) -> int:
    """Return how many entries were written."""
    return tx.execute(select(audit_head.c.entries)).scalar_one_or_none() or 0


def first_fault(tx: Tx, key: SecretKey) -> str | None:
    """Read all of the log; return a sentence about the first place where it is not as it was written, if any."""
    head = tx.execute(select(audit_head)).one_or_none()
    if head is None:
        return "The audit log's head is missing."
    sealing = _sealing(key, head)
    if sealing is None:
        return "The audit log was sealed under another secret key, so nobody can say whether it is whole."
    seal, number = _FIRST, 0
    for row in tx.execute(select(audit_entries).order_by(audit_entries.c.id)):
        number += 1
        if row.id != number:
            return f"Entry {number} of the audit log is missing."
        values = {name: getattr(row, name) for name in _KEPT}
        if not hmac.compare_digest(row.seal, _seal(sealing, seal, values)):
            return f"Entry {number} of the audit log, or the one before it, was changed."
        seal = row.seal
    if head.entries > number:
        return f"The audit log ends with entry {number}; {head.entries} were written."
    if head.entries < number:
        return "The audit log has entries that Sendonce did not write."
    if not _is_whole(sealing, head, number, seal):
        return (
            f"Entries behind entry {number} of the audit log are missing, or its head was changed."
        )
    return None


def entries(
    tx: Tx,
    *,
    actor: str | None = None,
    object_: str | None = None,
    names: Sequence[str] = (),
    kind: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: int | None = None,
    limit: int,
) -> list[Entry]:
    """Return entries, newest first.

    actor: the stable name or, in any spelling, part of what it is called. object_: "campaign:7", or "campaign" for all
    of them, or part of what it is called; names: objects that are meant by it too. kind: "campaign", beside all that.
    since and until bound the time (until is not in it); before: only entries with a smaller id.
    """
    query = select(audit_entries).order_by(audit_entries.c.id.desc()).limit(limit)
    if actor:
        told = audit_entries.c.by.icontains(actor, autoescape=True)
        query = query.where((audit_entries.c.actor == actor) | told)
    if object_:
        of_kind = audit_entries.c.object.startswith(f"{object_}:", autoescape=True)
        called = audit_entries.c.label.icontains(object_, autoescape=True)
        named = audit_entries.c.object.in_([object_, *names])
        query = query.where(named | of_kind | called)
    if kind:
        query = query.where(audit_entries.c.object.startswith(f"{kind}:", autoescape=True))
    if since is not None:
        query = query.where(audit_entries.c.at >= since)
    if until is not None:
        query = query.where(audit_entries.c.at < until)
    if before is not None:
        query = query.where(audit_entries.c.id < before)
    return [_entry(row) for row in tx.execute(query)]


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
        "address": deed.address and deed.address[:_LONGEST_ADDRESS],
    }


def _text(values: Mapping[str, Any] | None) -> str | None:
    if values is None:
        return None
    return json.dumps(_shortened(values), default=str, ensure_ascii=False, sort_keys=True)


def _shortened(value: Any) -> Any:
    match value:
        case Mapping():
            return {str(name): _shortened(one) for name, one in value.items()}
        case list() | tuple():
            return [_shortened(one) for one in value]
        case str() if len(value) > _LONGEST_TEXT:
            mark = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
            return f"{value[:_SHOWN_OF_A_LONG_TEXT]}… ({len(value):,} characters, SHA-256 {mark})"
    return value


def _sealing(key: SecretKey, head: Row[Any] | None) -> bytes | None:
    """Return what the log is sealed with: of a new log nothing yet, so anything; None where it can't be had."""
    if head is None or (head.key_sealed is None and head.entries):
        return None
    if head.key_sealed is None:
        return secrets.token_bytes(32)
    try:
        return bytes.fromhex(key.unseal(head.key_sealed))
    except Unavailable:
        return None


def _seal(sealing: bytes, before: str, values: Mapping[str, Any]) -> str:
    kept = json.dumps([before, {**values, "at": values["at"].isoformat()}], sort_keys=True)
    return hmac.digest(sealing, kept.encode(errors="surrogatepass"), "sha256").hex()


def _is_whole(sealing: bytes, head: Row[Any] | None, number: int, seal: str) -> bool:
    """Say whether the head is the one that was written when this was the last entry."""
    if head is None or head.entries != number:
        return False
    expected = (
        _seal_of_head(sealing, number, seal) if number else _FIRST
    )  # as the migration made it
    return hmac.compare_digest(head.seal, expected)


def _seal_of_head(sealing: bytes, count: int, seal: str) -> str:
    return hmac.digest(sealing, f"head {count} {seal}".encode(), "sha256").hex()


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
