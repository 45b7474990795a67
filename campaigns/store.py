"""Campaigns, and which audiences and accounts each one uses.

Everything that can be known about a campaign by itself is checked when it is saved. Whether its audiences and accounts
exist is the database's word (a foreign key); whether its accounts go together, sandbox or real, is for the caller to
say, who knows accounts.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy import ColumnElement, Row, Table, select

from campaigns import files
from campaigns.model import Attachment, Campaign, InDoubtRule, Snapshot
from campaigns.render import compile_content
from campaigns.tables import campaign_accounts, campaign_audiences, campaigns
from foundation.errors import Conflict, FieldError, Invalid, NotFound, Stale
from mail.address import normalise
from storage.database import Refused, Tx

MAX_NAME = 200
MAX_USED = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFields:
    """What a person gives for a campaign. text None or blank means that it is made from the HTML."""

    name: str
    subject: str
    html: str
    text: str | None
    audience_ids: tuple[int, ...]
    account_ids: tuple[int, ...]
    from_name: str | None
    reply_to: str | None
    in_doubt: InDoubtRule


_NAMES = tuple(field.name for field in fields(CampaignFields))
_COLUMNS = tuple(name for name in _NAMES if name not in ("audience_ids", "account_ids"))


def check(given: CampaignFields) -> CampaignFields:
    """Return the fields as they are kept. Raises Invalid that names everything that is wrong with them."""
    kept = replace(
        given,
        name=given.name.strip(),
        text=given.text if given.text and given.text.strip() else None,
        audience_ids=tuple(dict.fromkeys(given.audience_ids)),
        account_ids=tuple(dict.fromkeys(given.account_ids)),
        from_name=(given.from_name or "").strip() or None,
        reply_to=(given.reply_to or "").strip() or None,
    )
    errors = [
        *_line("name", kept.name, "Give the campaign a name."),
        *_line("subject", kept.subject, "Write a subject.", longest=None),
        *(_line("from_name", kept.from_name, "") if kept.from_name else ()),
        *_mail_address(kept.reply_to),
        *_used("audience_ids", kept.audience_ids, "audience"),
        *_used("account_ids", kept.account_ids, "account"),
    ]
    try:
        compile_content(_snapshot(0, kept))
    except Invalid as invalid:
        named = {error.field for error in errors}
        errors += [error for error in invalid.errors if error.field not in named]
    if errors:
        raise Invalid(errors)
    return kept


def create(tx: Tx, given: CampaignFields, now: datetime) -> Campaign:
    """Make a campaign. Raises Invalid."""
    kept = check(given)
    values = {name: getattr(kept, name) for name in _COLUMNS}
    campaign_id = tx.execute(
        sql.insert(campaigns)
        .values(**values, version=1, created_at=now, updated_at=now)
        .returning(campaigns.c.id)
    ).scalar_one()
    _use(tx, campaign_id, kept)
    return get(tx, campaign_id)


def get(tx: Tx, campaign_id: int) -> Campaign:
    """Raises NotFound."""
    row = tx.execute(select(campaigns).where(campaigns.c.id == campaign_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no campaign {campaign_id}.")
    return _with_uses(tx, [row])[0]


def list_(tx: Tx, *, after: int | None, limit: int) -> list[Campaign]:
    """Return a page of campaigns, by id, after the one that ended the page before."""
    query = select(campaigns).where(campaigns.c.id > (after or 0))
    return _with_uses(tx, tx.execute(query.order_by(campaigns.c.id).limit(limit)).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A campaign, in short: whom it goes to and through what, without what it says."""

    id: int
    name: str
    subject: str
    audience_ids: tuple[int, ...]
    account_ids: tuple[int, ...]
    updated_at: datetime


def outlines(tx: Tx) -> dict[int, Outline]:
    """Return all campaigns in short, by id, newest first."""
    return {outline.id: outline for outline in _outlines(tx, _in_short())}


def search(tx: Tx, *, q: str, before: int | None, limit: int) -> list[Outline]:
    """Return a page of campaigns in short, newest first; q is looked for in name and subject, before is an id."""
    query = _in_short().limit(limit)
    if q:
        query = query.where(
            sql.or_(*_contains(campaigns.c.name, q), *_contains(campaigns.c.subject, q))
        )
    if before is not None:
        query = query.where(campaigns.c.id < before)
    return _outlines(tx, query)


def _contains(column: ColumnElement[str], q: str) -> tuple[ColumnElement[bool], ...]:
    # SQLite makes only ASCII letters small: a text with others is found as it is written.
    return (
        column.contains(q, autoescape=True),
        sql.func.lower(column).contains(q.lower(), autoescape=True),
    )


def _in_short() -> sql.Select[Any]:
    columns = campaigns.c
    return select(columns.id, columns.name, columns.subject, columns.updated_at).order_by(
        columns.id.desc()
    )


def _outlines(tx: Tx, query: sql.Select[Any]) -> list[Outline]:
    rows = tx.execute(query).all()
    ids = [row.id for row in rows]
    audience_ids = _ids_used(tx, campaign_audiences, campaign_audiences.c.audience_id, ids)
    account_ids = _ids_used(tx, campaign_accounts, campaign_accounts.c.account_id, ids)
    return [
        Outline(
            id=row.id,
            name=row.name,
            subject=row.subject,
            audience_ids=audience_ids(row.id),
            account_ids=account_ids(row.id),
            updated_at=row.updated_at,
        )
        for row in rows
    ]


def update(
    tx: Tx,
    campaign_id: int,
    changes: Mapping[str, Any],
    *,
    expected_version: int | None,
    now: datetime,
) -> Campaign:
    """Change some fields, named as in CampaignFields; where nothing differs there is no new version.

    Raises NotFound, Stale, Invalid.
    """
    found = get(tx, campaign_id)
    if expected_version is not None and found.version != expected_version:
        raise _stale(found, expected_version)
    kept = check(replace(_fields_of(found), **changes))
    if kept == _fields_of(found):
        return found
    values = {name: getattr(kept, name) for name in _COLUMNS}
    changed = tx.execute(
        sql.update(campaigns)
        .where(campaigns.c.id == campaign_id, campaigns.c.version == found.version)
        .values(**values, version=found.version + 1, updated_at=now)
    )
    if not changed.rowcount:
        raise _stale(get(tx, campaign_id), found.version)
    for table in (campaign_audiences, campaign_accounts):
        tx.execute(sql.delete(table).where(table.c.campaign_id == campaign_id))
    _use(tx, campaign_id, kept)
    return get(tx, campaign_id)


def delete(
    tx: Tx, campaign_id: int, *, expected_version: int | None, kept_by: str | None = None
) -> None:
    """Delete a campaign. kept_by is a sentence that says what needs it, as a schedule.

    Raises NotFound, Stale, Conflict.
    """
    found = get(tx, campaign_id)
    if expected_version is not None and found.version != expected_version:
        raise _stale(found, expected_version)
    if kept_by is not None:
        raise Conflict(kept_by)
    tx.execute(sql.delete(campaigns).where(campaigns.c.id == campaign_id))
    files.drop_unnamed(tx, [one.sha256 for one in found.attachments])


def duplicate(tx: Tx, campaign_id: int, now: datetime) -> Campaign:
    """Make another campaign like this one, called "Copy of …". Raises NotFound."""
    given = _fields_of(get(tx, campaign_id))
    made = create(tx, replace(given, name=f"Copy of {given.name}"[:MAX_NAME]), now)
    files.copy(tx, campaign_id, to=made.id)
    return get(tx, made.id)


def mark_changed(tx: Tx, found: Campaign, *, expected_version: int | None, now: datetime) -> None:
    """Give a campaign a new version, for a change of what belongs to it. Raises Stale."""
    if expected_version is not None and found.version != expected_version:
        raise _stale(found, expected_version)
    changed = tx.execute(
        sql.update(campaigns)
        .where(campaigns.c.id == found.id, campaigns.c.version == found.version)
        .values(version=found.version + 1, updated_at=now)
    )
    if not changed.rowcount:
        raise _stale(get(tx, found.id), found.version)


def missing(tx: Tx, ids: Sequence[int]) -> list[int]:
    """Return those of the ids that no campaign has, in the order given."""
    known: set[int] = set()
    for start in range(0, len(ids), 500):
        some = campaigns.c.id.in_(ids[start : start + 500])
        known.update(tx.execute(select(campaigns.c.id).where(some)).scalars())
    return [campaign_id for campaign_id in ids if campaign_id not in known]


def freeze(tx: Tx, campaign_id: int) -> Snapshot:
    """Return the campaign's content as a run keeps it. Raises NotFound."""
    found = get(tx, campaign_id)
    snapshot = _snapshot(campaign_id, _fields_of(found))
    return replace(snapshot, attachments=files.frozen(found.attachments))


def users_of_audience(tx: Tx, audience_id: int) -> list[Campaign]:
    """Return the campaigns that use this audience."""
    used = select(campaign_audiences.c.campaign_id).where(
        campaign_audiences.c.audience_id == audience_id
    )
    query = select(campaigns).where(campaigns.c.id.in_(used)).order_by(campaigns.c.id)
    return _with_uses(tx, tx.execute(query).all())


def _line(
    field: str, text: str, how: str, *, longest: int | None = MAX_NAME
) -> Iterable[FieldError]:
    if not text.strip():
        yield FieldError(field, f"is empty. {how}")
    elif longest is not None and len(text) > longest:
        yield FieldError(field, f"is longer than {longest} characters. Shorten it.")
    elif _CONTROL.search(text):
        yield FieldError(field, "holds a line break or another control character. Take it out.")
    elif not _is_unicode(text):
        yield FieldError(field, "holds half a character (a lone surrogate). Take it out.")


def _mail_address(reply_to: str | None) -> Iterable[FieldError]:
    if reply_to is None:
        return
    try:
        normalise(reply_to)
    except Invalid as invalid:
        yield FieldError("reply_to", invalid.errors[0].message)


def _used(field: str, ids: Sequence[int], what: str) -> Iterable[FieldError]:
    if not ids:
        yield FieldError(field, f"is empty. Name at least one {what}.")
    elif len(ids) > MAX_USED:
        yield FieldError(field, f"names more than {MAX_USED} {what}s.")
    elif any(not 0 < one < 2**63 for one in ids):
        yield FieldError(field, f"names an {what} that does not exist.")


def _use(tx: Tx, campaign_id: int, kept: CampaignFields) -> None:
    _use_some(tx, campaign_audiences, campaign_id, "audience", kept.audience_ids)
    _use_some(tx, campaign_accounts, campaign_id, "account", kept.account_ids)


def _use_some(tx: Tx, table: Table, campaign_id: int, what: str, ids: Sequence[int]) -> None:
    rows = [
        {"campaign_id": campaign_id, "position": position, f"{what}_id": one}
        for position, one in enumerate(ids)
    ]
    try:
        tx.execute(sql.insert(table), rows)
    except Refused:
        listed = ", ".join(map(str, ids))
        sentence = (
            f"There is no {what} {listed}." if len(ids) == 1 else f"One of {listed} does not exist."
        )
        raise Invalid.field(f"{what}_ids", sentence) from None


def _with_uses(tx: Tx, rows: Sequence[Row[Any]]) -> list[Campaign]:
    ids = [row.id for row in rows]
    audience_ids = _ids_used(tx, campaign_audiences, campaign_audiences.c.audience_id, ids)
    account_ids = _ids_used(tx, campaign_accounts, campaign_accounts.c.account_id, ids)
    attached = files.of_campaigns(tx, ids)
    return [
        _campaign(row, audience_ids(row.id), account_ids(row.id), attached.get(row.id, ()))
        for row in rows
    ]


def _ids_used(
    tx: Tx, table: Table, column: ColumnElement[int], ids: Sequence[int]
) -> Callable[[int], tuple[int, ...]]:
    query = select(table.c.campaign_id, column).where(table.c.campaign_id.in_(ids))
    used: dict[int, list[int]] = {}
    for campaign_id, one in tx.execute(query.order_by(table.c.campaign_id, table.c.position)):
        used.setdefault(campaign_id, []).append(one)
    return lambda campaign_id: tuple(used.get(campaign_id, ()))


def _snapshot(campaign_id: int, kept: CampaignFields) -> Snapshot:
    return Snapshot(campaign_id=campaign_id, **{name: getattr(kept, name) for name in _NAMES})


def _fields_of(campaign: Campaign) -> CampaignFields:
    return CampaignFields(**{name: getattr(campaign, name) for name in _NAMES})


def _campaign(
    row: Row[Any],
    audience_ids: tuple[int, ...],
    account_ids: tuple[int, ...],
    attached: tuple[Attachment, ...],
) -> Campaign:
    return Campaign(
        id=row.id,
        version=row.version,
        name=row.name,
        subject=row.subject,
        html=row.html,
        text=row.text,
        audience_ids=audience_ids,
        account_ids=account_ids,
        from_name=row.from_name,
        reply_to=row.reply_to,
        in_doubt=InDoubtRule(row.in_doubt),
        attachments=attached,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _stale(found: Campaign, expected: int) -> Stale:
    return Stale(
        f"Campaign {found.id} was changed meanwhile: it is at version {found.version},"
        f" not {expected}. Read it again."
    )
