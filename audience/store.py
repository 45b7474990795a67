"""Audiences and their recipients. The counter of an audience changes in the transaction that changes its recipients."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from audience.model import Added, Audience, NewRecipient, Recipient, Rejected
from audience.tables import audiences, recipients
from foundation.errors import Conflict, Invalid, NotFound, Stale
from mail.address import normalise, normalise_fast
from storage.database import Refused, Tx, insert_into

MAX_NAME = 200
MAX_ATTRIBUTES_BYTES = 16 * 1024
MAX_DEPTH = 20
_IN_LIST = 500
_NAMED = 5
_LAST_CHARACTER = "\U0010ffff"
_T = TypeVar("_T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def create_audience(tx: Tx, name: str, now: datetime) -> Audience:
    """Make an audience without recipients. Raises Invalid on name."""
    values = {"version": 1, "name": _checked_name(name), "recipients": 0, "created_at": now}
    row = tx.execute(insert(audiences).values(**values).returning(audiences)).one()
    return _audience(row)


def get_audience(tx: Tx, audience_id: int) -> Audience:
    """Raises NotFound."""
    row = tx.execute(select(audiences).where(audiences.c.id == audience_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no audience {audience_id}.")
    return _audience(row)


def list_audiences(tx: Tx, *, after: int | None, limit: int) -> list[Audience]:
    """Return a page of audiences, by id, after the one that ended the page before."""
    query = select(audiences).where(audiences.c.id > (after or 0))
    rows = tx.execute(query.order_by(audiences.c.id).limit(limit))
    return [_audience(row) for row in rows]


def by_id(tx: Tx) -> dict[int, Audience]:
    """Return all audiences, by id."""
    return {
        row.id: _audience(row) for row in tx.execute(select(audiences).order_by(audiences.c.id))
    }


def find_by_name(tx: Tx, id_or_name: str) -> Audience:
    """Return the audience that a person means by an id or by a name.

    Raises NotFound, and Conflict when several have the name.
    """
    if id_or_name.isascii() and id_or_name.isdigit() and len(id_or_name) < 19:
        by_id = select(audiences).where(audiences.c.id == int(id_or_name))
        row = tx.execute(by_id).one_or_none()
        if row is not None:
            return _audience(row)
    named = select(audiences).where(audiences.c.name == id_or_name.strip())
    rows = tx.execute(named.order_by(audiences.c.id).limit(10)).all()
    if len(rows) > 1:
        ids = ", ".join(str(row.id) for row in rows)
        raise Conflict(f"Several audiences are called {id_or_name!r}. Say which by id: {ids}.")
    if not rows:
        raise NotFound(f'There is no audience "{id_or_name}". {_which_there_are(tx)}')
    return _audience(rows[0])


def _which_there_are(tx: Tx) -> str:
    names = tx.scalars(select(audiences.c.name).order_by(audiences.c.id).limit(_NAMED + 1)).all()
    if not names:
        return 'Make one with POST /api/audiences, as {"name": "Readers"}.'
    more = ", and more" if len(names) > _NAMED else ""
    return f"These are there: {', '.join(names[:_NAMED])}{more}."


def rename_audience(
    tx: Tx, audience_id: int, name: str, *, expected_version: int | None
) -> Audience:
    """The name that it has makes no new version. Raises NotFound, Stale, Invalid on name."""
    name = _checked_name(name)
    found = get_audience(tx, audience_id)
    if found.name == name and expected_version in (None, found.version):
        return found
    changed = update(audiences).where(_is_at(audience_id, expected_version))
    values = {"name": name, "version": audiences.c.version + 1}
    row = tx.execute(changed.values(**values).returning(audiences)).one_or_none()
    if row is None:
        raise _stale(found, expected_version)
    return _audience(row)


def delete_audience(
    tx: Tx, audience_id: int, *, expected_version: int | None, kept_by: str | None = None
) -> None:
    """Delete an audience with its recipients.

    kept_by is a sentence that says what needs it just now, as a run that is being materialised.
    Raises NotFound, Stale, and Conflict when something needs it or a campaign uses it.
    """
    found = get_audience(tx, audience_id)
    if expected_version is not None and found.version != expected_version:
        raise _stale(found, expected_version)
    if kept_by is not None:
        raise Conflict(kept_by)
    try:
        tx.execute(delete(audiences).where(audiences.c.id == audience_id))
    except Refused:
        raise Conflict(
            f"A campaign uses the audience {found.name!r}. Take it out of the campaign first."
        ) from None


def missing(tx: Tx, ids: Sequence[int]) -> list[int]:
    """Return those of the ids that no audience has, in the order given."""
    known: set[int] = set()
    for some in _pieces(sorted(set(ids))):
        known.update(tx.execute(select(audiences.c.id).where(audiences.c.id.in_(some))).scalars())
    return [audience_id for audience_id in ids if audience_id not in known]


# Recipients


def add_recipients(tx: Tx, audience_id: int, new: Sequence[NewRecipient], now: datetime) -> Added:
    """Put recipients into an audience; who is in it already is brought up to date and keeps the id.

    What a row does not say stays: an empty name keeps the one there was, and the attributes given are put over those
    there were, key by key. So does a second row with the same address. Each row counts as added, updated or rejected.
    Raises NotFound.
    """
    get_audience(tx, audience_id)
    accepted, rejected = _sort_out(new)
    there = _there(tx, audience_id, accepted)
    rows, too_large = _brought_up_to_date(accepted, there)
    added = len(rows.keys() - there.keys())
    _upsert(tx, audience_id, list(rows.values()), now)
    _count(tx, audience_id, added)
    return _added(added, accepted, rejected, too_large)


def would_add(tx: Tx, audience_id: int, new: Sequence[NewRecipient], seen: set[int]) -> Added:
    """Say what add_recipients would do, without doing it.

    seen holds what earlier calls of the same dry run would have added, and is added to: a number for each address,
    so a count may be off by one in ten million million; nothing is kept by it.
    """
    accepted, rejected = _sort_out(new)
    there = _there(tx, audience_id, accepted)
    rows, too_large = _brought_up_to_date(accepted, there)
    fresh = {hash(key) for key in rows.keys() - there.keys()} - seen
    seen |= fresh
    return _added(len(fresh), accepted, rejected, too_large)


def list_recipients(
    tx: Tx, audience_id: int, *, q: str | None, after: int | None, limit: int
) -> list[Recipient]:
    """Return a page of an audience's recipients, by id; q is looked for in address and name. Raises NotFound."""
    get_audience(tx, audience_id)
    query = select(recipients).where(
        recipients.c.audience_id == audience_id, recipients.c.id > (after or 0)
    )
    if q:
        query = query.where(_contains(q))
    rows = tx.execute(query.order_by(recipients.c.id).limit(limit))
    return [_recipient(row) for row in rows]


def remove_recipient(tx: Tx, audience_id: int, email: str) -> None:
    """Take one recipient out of an audience. Raises NotFound, Invalid on email."""
    get_audience(tx, audience_id)
    gone = tx.execute(
        delete(recipients).where(
            recipients.c.audience_id == audience_id,
            recipients.c.address_key == normalise(email).key,
        )
    )
    if not gone.rowcount:
        raise NotFound(f"{email} is not in audience {audience_id}.")
    _count(tx, audience_id, -gone.rowcount)


def find(tx: Tx, audience_ids: Sequence[int], email: str) -> Recipient | None:
    """Return the recipient with this address whom a run over these audiences would write to."""
    return _first(
        tx,
        select(recipients).where(
            recipients.c.address_key == normalise(email).key,
            recipients.c.audience_id.in_(audience_ids),
        ),
    )


def find_everywhere(tx: Tx, address_key: str) -> list[Recipient]:
    """Return the person's entries in all audiences."""
    query = select(recipients).where(recipients.c.address_key == address_key)
    return [_recipient(row) for row in tx.execute(query.order_by(recipients.c.id))]


def look_for(tx: Tx, q: str, *, limit: int) -> list[Recipient]:
    """Return an entry of each of the first people whose address begins with q, then of those in which it stands."""
    q = q.strip().casefold()
    if not q:
        return []
    key = recipients.c.address_key
    begins = key.between(q, q + _LAST_CHARACTER)
    found = _people(tx, begins, limit)
    if len(found) < limit:
        within = key.contains(q, autoescape=True) & ~begins
        found |= _people(tx, within, limit - len(found))
    return list(found.values())


def _people(tx: Tx, where: ColumnElement[bool], limit: int) -> dict[str, Recipient]:
    # The keys alone first: they stand in an index, which a search that finds nobody reads to its end.
    keys = select(recipients.c.address_key).where(where).distinct().order_by("address_key")
    entries = select(recipients).where(
        recipients.c.address_key.in_(tx.scalars(keys.limit(limit)).all())
    )
    rows = tx.execute(entries.order_by(recipients.c.address_key, recipients.c.id.desc()))
    return {row.address_key: _recipient(row) for row in rows}


def first_member(tx: Tx, audience_ids: Sequence[int]) -> Recipient | None:
    """Return the first recipient of these audiences."""
    found = members(tx, audience_ids, after=0, ceiling=2**63 - 1, limit=1)
    return found[0] if found else None


def members(
    tx: Tx, audience_ids: Sequence[int], *, after: int, ceiling: int, limit: int
) -> list[Recipient]:
    """Return the next recipients of these audiences, after < id <= ceiling, ordered by id.

    One person on two lists comes twice, with two ids and the same address_key.
    """
    if not audience_ids:
        return []
    # One walk along the index for each audience: a single IN would sort all that is left for every page.
    walks = [
        select(
            select(recipients)
            .where(
                recipients.c.audience_id == audience_id,
                recipients.c.id > after,
                recipients.c.id <= ceiling,
            )
            .order_by(recipients.c.id)
            .limit(limit)
            .subquery()
        )
        for audience_id in sorted(set(audience_ids))
    ]
    together = union_all(*walks).subquery()
    rows = tx.execute(select(together).order_by(together.c.id).limit(limit))
    return [_recipient(row) for row in rows]


def highest_recipient_id(tx: Tx, audience_ids: Sequence[int]) -> int:
    """Return the id that freezes these audiences: who comes later has a higher one. 0 when nobody is in them."""
    if not audience_ids:
        return 0
    highest = [
        select(func.max(recipients.c.id).label("id")).where(recipients.c.audience_id == audience_id)
        for audience_id in sorted(set(audience_ids))
    ]
    together = union_all(*highest).subquery()
    found: int | None = tx.execute(select(func.max(together.c.id))).scalar_one()
    return found or 0


def count_people(tx: Tx, audience_ids: Sequence[int]) -> int:
    """Count the people in these audiences; one who is in two of them counts once."""
    if len(set(audience_ids)) == 1:
        return get_audience(tx, audience_ids[0]).recipients
    people = select(func.count(recipients.c.address_key.distinct()))
    in_them = recipients.c.audience_id.in_(audience_ids)
    found: int = tx.execute(people.where(in_them)).scalar_one()
    return found


@dataclass(frozen=True, slots=True)
class _Accepted:
    row: int
    email: str
    address_key: str
    name: str
    attributes: Mapping[str, Any]
    encoded: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What is kept of a recipient already."""

    name: str
    attributes: Mapping[str, Any]


def _sort_out(new: Sequence[NewRecipient]) -> tuple[list[_Accepted], list[Rejected]]:
    accepted: list[_Accepted] = []
    rejected: list[Rejected] = []
    for row in new:
        checked = _checked(row)
        if isinstance(checked, str):
            rejected.append(Rejected(row=row.row, email=row.email[:320], reason=checked))
        else:
            accepted.append(checked)
    return accepted, rejected


def _checked(row: NewRecipient) -> _Accepted | str:
    """Return the row as it is kept, or the reason why it is not."""
    address = normalise_fast(row.email)
    if isinstance(address, str):
        return address
    name = row.name.strip()
    if len(name) > MAX_NAME:
        return f"The name is longer than {MAX_NAME} characters."
    if not name.isprintable() and _CONTROL.search(name):
        return "The name holds a line break or another control character."
    if not name.isascii() and not _is_unicode(name):
        return "The name holds half a character (a lone surrogate)."
    attributes = _encoded(row.attributes) if row.attributes else b"{}"
    if isinstance(attributes, str):
        return attributes
    return _Accepted(
        row.row, address.written, address.key, name, row.attributes, attributes.decode()
    )


def _added(
    added: int,
    accepted: Sequence[_Accepted],
    rejected: Sequence[Rejected],
    too_large: Sequence[Rejected],
) -> Added:
    left_out = {row.row for row in too_large}
    keys = tuple(row.address_key for row in accepted if row.row not in left_out)
    in_order = tuple(sorted([*rejected, *too_large], key=lambda row: row.row))
    return Added(added=added, updated=len(keys) - added, rejected=in_order, keys=keys)


def _brought_up_to_date(
    accepted: Sequence[_Accepted], there: Mapping[str, _Known]
) -> tuple[dict[str, _Accepted], list[Rejected]]:
    """Return the rows to write, by address key, and those that would make a recipient too large."""
    rows: dict[str, _Accepted] = {}
    too_large: list[Rejected] = []
    for row in accepted:
        before = rows.get(row.address_key) or there.get(row.address_key)
        together = row if before is None else _over(before, row)
        if isinstance(together, str):
            too_large.append(Rejected(row=row.row, email=row.email, reason=together))
        else:
            rows[row.address_key] = together
    return rows, too_large


def _over(before: _Accepted | _Known, row: _Accepted) -> _Accepted | str:
    """Return the row with what it does not say from before, or the reason why they can't be kept together."""
    name = row.name or before.name
    if not before.attributes:
        return replace(row, name=name)
    attributes = {**before.attributes, **row.attributes}
    encoded = _encoded(attributes)
    if isinstance(encoded, str):
        return f"{encoded} That is with those the recipient has already."
    return replace(row, name=name, attributes=attributes, encoded=encoded.decode())


def _encoded(attributes: Mapping[str, Any]) -> bytes | str:
    """Return the attributes as JSON, or the reason why they can't be kept."""
    attributes = dict(attributes)
    wrong = _wrong_inside(attributes)
    if wrong is not None:
        return wrong
    try:
        encoded = orjson.dumps(attributes)
    except TypeError as error:  # half a character, an integer of more than 64 bits
        return f"The attributes can't be kept as JSON: {error}."
    if len(encoded) > MAX_ATTRIBUTES_BYTES:
        return (
            f"The attributes take {len(encoded):,} bytes as JSON;"
            f" at most {MAX_ATTRIBUTES_BYTES:,} are kept."
        )
    return encoded


def _wrong_inside(attributes: dict[str, Any]) -> str | None:
    level: list[Any] = [attributes]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for group in level:
            for value in group.values() if isinstance(group, dict) else group:
                if isinstance(value, str):
                    continue
                if isinstance(value, dict | list | tuple):
                    inner.append(value)
                elif isinstance(value, float) and not math.isfinite(value):
                    return "The attributes hold a number that JSON has not (NaN or infinity)."
        if not inner:
            return None
        level = inner
    return f"The attributes are nested deeper than {MAX_DEPTH} levels."


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _there(tx: Tx, audience_id: int, rows: Sequence[_Accepted]) -> dict[str, _Known]:
    """Return what is kept already of those of the rows that are in the audience, by address key."""
    c = recipients.c
    there: dict[str, _Known] = {}
    for keys in _pieces(list({row.address_key for row in rows})):
        query = select(c.address_key, c.name, c.attributes).where(
            c.audience_id == audience_id, c.address_key.in_(keys)
        )
        there |= {key: _Known(name, attributes) for key, name, attributes in tx.execute(query)}
    return there


def _upsert(tx: Tx, audience_id: int, rows: Sequence[_Accepted], now: datetime) -> None:
    if not rows:
        return
    statement = insert_into(tx, recipients).values(
        audience_id=bindparam("audience"),
        # Text: it is JSON already.
        attributes=bindparam("attributes", type_=Text),
    )
    statement = statement.on_conflict_do_update(
        index_elements=[recipients.c.audience_id, recipients.c.address_key],
        set_={name: statement.excluded[name] for name in ("email", "name", "attributes")},
    )
    tx.execute(
        statement,
        [
            {
                "audience": audience_id,
                "created_at": now,
                "email": row.email,
                "address_key": row.address_key,
                "name": row.name,
                "attributes": row.encoded,
            }
            for row in rows
        ],
    )


def _count(tx: Tx, audience_id: int, difference: int) -> None:
    if difference:
        change = update(audiences).where(audiences.c.id == audience_id)
        tx.execute(change.values(recipients=audiences.c.recipients + difference))


def _contains(q: str) -> ColumnElement[bool]:
    return or_(
        recipients.c.address_key.contains(q.strip().casefold(), autoescape=True),
        func.lower(recipients.c.name).contains(q.strip().lower(), autoescape=True),
    )


def _first(tx: Tx, query: Select[Any]) -> Recipient | None:
    row = tx.execute(query.order_by(recipients.c.id).limit(1)).one_or_none()
    return None if row is None else _recipient(row)


def _pieces(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + _IN_LIST] for start in range(0, len(items), _IN_LIST))


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise Invalid.field("name", "is empty. Give the audience a name.")
    if len(name) > MAX_NAME:
        raise Invalid.field("name", f"is longer than {MAX_NAME} characters. Shorten it.")
    if _CONTROL.search(name) or not _is_unicode(name):
        raise Invalid.field("name", "holds a line break or another control character.")
    return name


def _is_at(audience_id: int, version: int | None) -> ColumnElement[bool]:
    same = audiences.c.id == audience_id
    return same if version is None else same & (audiences.c.version == version)


def _stale(found: Audience, expected: int | None) -> Stale:
    return Stale(
        f"Audience {found.id} was changed meanwhile: it is at version {found.version},"
        f" not {expected}. Read it again."
    )


def _audience(row: Row[Any]) -> Audience:
    return Audience(
        id=row.id,
        version=row.version,
        name=row.name,
        recipients=row.recipients,
        created_at=row.created_at,
    )


def _recipient(row: Row[Any]) -> Recipient:
    return Recipient(
        id=row.id,
        audience_id=row.audience_id,
        email=row.email,
        address_key=row.address_key,
        name=row.name,
        attributes=row.attributes,
        created_at=row.created_at,
    )
