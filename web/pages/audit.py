"""/audit: the audit log, for admins: who did what, to what, when and from where; and the same as CSV."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from flask import Response, request
from pydantic import BeforeValidator

from foundation.errors import Invalid
from identity import audit
from identity.audit import Entry
from identity.model import Role
from web import forms
from web.api.audit import names_of
from web.csv_answers import PAGE as CSV_PAGE
from web.csv_answers import Cell, csv_answer
from web.csv_answers import pages as all_pages
from web.current import the_house
from web.deeds_told import KINDS, DeedRow, rows_of
from web.fields import QueryText, rfc3339
from web.forms import Filled
from web.page import Pages, show
from web.paging import Page, next_cursor
from web.shown import viewers_zone

pages = Pages("audit")

PAGE = 50
SECTION = "Audit log"

_LABELS = {"actor": "Who", "object": "To what", "since": "From", "until": "To"}
_COLUMNS = ("id", "at", "actor", "by", "action", "object", "label", "before", "after", "address")
_FIRST_YEAR, _LAST_YEAR = 1970, 2399


def _day(given: object) -> date | None:
    if given in (None, ""):
        return None
    try:
        day = date.fromisoformat(str(given))
    except ValueError:
        raise ValueError("must be a day as 2026-11-24") from None
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"must lie between {_FIRST_YEAR} and {_LAST_YEAR}")
    return day


_Day = Annotated[date | None, BeforeValidator(_day)]
_Kind = Literal[
    "", "schedule", "run", "campaign", "audience", "recipient", "account", "user", "token"
]


class AuditQuery(Page):
    """What the form asks for. since and until are days of the viewer's zone, both of them meant."""

    actor: QueryText = ""
    object: QueryText = ""
    kind: _Kind = ""
    since: _Day = None
    until: _Day = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPage:
    """What the page shows. is_filtered: by more than a kind; everything: the page without filters."""

    form: Filled
    kind: str
    rows: Sequence[DeedRow]
    chips: Sequence[dict[str, object]]
    is_filtered: bool
    zone: str
    export: str
    first: str | None
    next: str | None


@pages.get("/audit", role=Role.ADMIN)
def log() -> Response:
    """Show what was done, newest first, a page at a time."""
    typed = request.args.to_dict()
    try:
        query = forms.checked(AuditQuery, typed)
    except Invalid as error:
        kept = {name: value for name, value in typed.items() if name in _LABELS}
        form = Filled(values=kept, mistakes=forms.mistakes_of(error, _LABELS))
        return _show(AuditQuery(), form, [], cursor=None, status=422)
    house = the_house()
    with house.database.read() as tx:
        found = audit.entries(tx, **_wanted(query), before=query.key, limit=PAGE + 1)
        rows = rows_of(house, tx, found[:PAGE])
    cursor = next_cursor(found, limit=PAGE, key=lambda entry: entry.id)
    return _show(query, Filled(values=_asked(query)), rows, cursor=cursor)


@pages.get("/audit.csv", role=Role.ADMIN)
def export() -> Response:
    """Give what the filters let through, newest first, as CSV."""
    house = the_house()
    wanted = _wanted(forms.checked(AuditQuery, request.args.to_dict()))

    def read(before: int | None) -> list[Entry]:
        with house.database.read() as tx:
            return audit.entries(tx, **wanted, before=before, limit=CSV_PAGE)

    rows = (_cells(entry) for entry in all_pages(read, key=lambda entry: entry.id))
    return csv_answer("audit-log", _COLUMNS, rows)


def _wanted(query: AuditQuery) -> dict[str, Any]:
    """Return what the filters mean to audit.entries."""
    return {
        "actor": query.actor.strip() or None,
        "object_": query.object.strip() or None,
        "names": names_of(query.object),
        "kind": query.kind or None,
        "since": _begins(query.since),
        "until": _begins(query.until + timedelta(days=1) if query.until else None),
    }


def _begins(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), ZoneInfo(viewers_zone()))


def _cells(entry: Entry) -> Sequence[Cell]:
    deed = entry.deed
    return (
        entry.id,
        rfc3339(entry.at),
        deed.actor,
        deed.by,
        deed.action,
        deed.object,
        deed.label,
        _json(deed.before),
        _json(deed.after),
        deed.address,
    )


def _json(values: object) -> str | None:
    return None if values is None else json.dumps(values, ensure_ascii=False, sort_keys=True)


def _show(
    query: AuditQuery,
    form: Filled,
    rows: Sequence[DeedRow],
    *,
    cursor: str | None,
    status: int = 200,
) -> Response:
    asked = _asked(query)
    filters = {name: value for name, value in asked.items() if name != "kind"}
    page = AuditPage(
        form=form,
        kind=query.kind,
        rows=rows,
        chips=[
            {
                "path": _path("/audit", filters | {"kind": kind}),
                "text": text,
                "count": None,
                "current": query.kind == kind,
            }
            for kind, text in (("", "All"), *KINDS)
        ],
        is_filtered=any(filters.values()),
        zone=viewers_zone(),
        export=_path("/audit.csv", asked),
        first=_path("/audit", asked) if query.cursor else None,
        next=_path("/audit", asked | {"cursor": cursor}) if cursor else None,
    )
    return show("audit.html", status=status, page=page, section=SECTION)


def _asked(query: AuditQuery) -> dict[str, str]:
    return {
        "actor": query.actor.strip(),
        "object": query.object.strip(),
        "kind": query.kind,
        "since": query.since.isoformat() if query.since else "",
        "until": query.until.isoformat() if query.until else "",
    }


def _path(where: str, query: dict[str, str]) -> str:
    given = {name: value for name, value in query.items() if value}
    return where + ("?" + urlencode(given) if given else "")
