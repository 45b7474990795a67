"""Audiences and their recipients. The counter of an audience changes in the transaction that changes its recipients."""

from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)

from audience.checking import (
    CONTROL,
    MAX_NAME,
    Accepted,
    Checked,
    Known,
    brought_up_to_date,
    check,
    is_unicode,
)
from audience.model import Added, Audience, NewRecipient, Recipient, Rejected
from audience.tables import audiences, recipients
from foundation.errors import Conflict, Invalid, NotFound, Stale
from mail.address import normalise
from storage.database import Refused, Tx, insert_into
from storage.many import as_kept, insert_many, is_one_of

_NAMED = 5
_LAST_CHARACTER = "\U0010ffff"
_LISTS_OF_ONE = 5


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
    known = set(tx.scalars(select(audiences.c.id).where(is_one_of(audiences.c.id, ids))))
    return [audience_id for audience_id in ids if audience_id not in known]


# Recipients


def add_recipients(tx: Tx, audience_id: int, new: Sequence[NewRecipient], now: datetime) -> Added:
    """Put recipients into an audience; who is in it already is brought up to date and keeps the id.

    What a row does not say stays: an empty name keeps the one there was, and the attributes given are put over those
    there were, key by key. So does a second row with the same address. Each row counts as added, updated or rejected.
    Raises NotFound.
    """
    return add_checked(tx, audience_id, check(new), now)


def add_checked(tx: Tx, audience_id: int, new: Checked, now: datetime) -> Added:
    """Do what add_recipients does with rows that were checked before the transaction began."""
    get_audience(tx, audience_id)
    there = _there(tx, audience_id, new.accepted)
    rows, too_large = brought_up_to_date(new.accepted, there)
    changed = [row for key, row in rows.items() if not ((t := there.get(key)) and t.is_as(row))]
    _upsert(tx, audience_id, changed, now)
    added = len(rows.keys() - there.keys())
    _count(tx, audience_id, added)
    return _added(added, new, too_large)


def would_add(tx: Tx, audience_id: int, new: Checked, seen: Container[int]) -> Added:
    """Say what add_checked would do, without doing it.

    seen holds a number for each address that earlier calls of the same dry run were given, or would have added: a count
    may be off by one in ten million million; nothing is kept by it.
    """
    there = _there(tx, audience_id, new.accepted)
    rows, too_large = brought_up_to_date(new.accepted, there)
    fresh = sum(hash(key) not in seen for key in rows.keys() - there.keys())
    return _added(fresh, new, too_large)


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


def look_for_names(tx: Tx, q: str, *, limit: int) -> list[Recipient]:
    """Return an entry of each of some people in whose name q stands: it walks along all names where few have it."""
    q = q.strip()
    if not q:
        return []
    # One person may be on several lists under one name; who is on more lists than this stands for some others too.
    query = select(recipients).where(recipients.c.name.contains(q, autoescape=True))
    rows = tx.execute(query.limit(limit * _LISTS_OF_ONE))
    found: dict[str, Recipient] = {}
    for row in rows:
        found.setdefault(row.address_key, _recipient(row))
    return list(found.values())[:limit]


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


def _added(added: int, new: Checked, too_large: Sequence[Rejected]) -> Added:
    left_out = {row.row for row in too_large}
    keys = tuple(row.address_key for row in new.accepted if row.row not in left_out)
    in_order = tuple(sorted([*new.rejected, *too_large], key=lambda row: row.row))
    return Added(added=added, updated=len(keys) - added, rejected=in_order, keys=keys)


def _there(tx: Tx, audience_id: int, rows: Sequence[Accepted]) -> dict[str, Known]:
    """Return what is kept already of those of the rows that are in the audience, by address key."""
    c = recipients.c
    # Text: what is not changed need not be read.
    query = select(c.address_key, c.email, c.name, type_coerce(c.attributes, Text)).where(
        c.audience_id == audience_id, is_one_of(c.address_key, [row.address_key for row in rows])
    )
    return {key: Known(*kept) for key, *kept in tx.execute(query)}


def _upsert(tx: Tx, audience_id: int, rows: Sequence[Accepted], now: datetime) -> None:
    if not rows:
        return
    statement = insert_into(tx, recipients)
    statement = statement.on_conflict_do_update(
        index_elements=[recipients.c.audience_id, recipients.c.address_key],
        set_={name: statement.excluded[name] for name in ("email", "name", "attributes")},
    )
    created_at = as_kept(tx, recipients.c.created_at, now)
    insert_many(
        tx,
        statement,
        ("audience_id", "email", "address_key", "name", "attributes", "created_at"),
        [(audience_id, r.email, r.address_key, r.name, r.encoded, created_at) for r in rows],
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


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name:
        raise Invalid.field("name", "is empty. Give the audience a name.")
    if len(name) > MAX_NAME:
        raise Invalid.field("name", f"is longer than {MAX_NAME} characters. Shorten it.")
    if CONTROL.search(name) or not is_unicode(name):
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
