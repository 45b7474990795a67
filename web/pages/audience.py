"""/audiences/{id}: the people on one list, and what can be done with the list as a whole."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from flask import Response, request

from audience import store, suppressions
from audience.model import Audience, Recipient
from campaigns import store as campaigns
from campaigns.store import Outline
from foundation.errors import Conflict, Invalid, Stale
from identity.model import Role
from storage.database import Tx
from web import forms, importing
from web.api import audiences as deeds
from web.api.audiences import AudienceChanges, RecipientPage, kept_by
from web.current import the_house
from web.forms import Filled
from web.importing import Progress
from web.page import Pages, go, is_ours, show
from web.pages.audiences import LABELS, NamePage
from web.paging import next_cursor
from web.person import path_of

pages = Pages("audience")

PAGE = 50
MOST_COLUMNS = 3
MOST_CHOSEN = 8
MOST_TO_CHOOSE = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientRow:
    """A person on the list. cells: the attributes that have a column; others: the rest, as name and value."""

    id: int
    email: str
    path: str
    name: str
    cells: Sequence[str]
    others: Sequence[tuple[str, str]]
    is_suppressed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AudiencePage:
    """What the page shows.

    columns: attributes that have a column, as chosen, else those that most people on this page have; to_choose: those
    that could have one; chosen: what the address says of columns.
    """

    audience: Audience
    campaigns: Sequence[Outline]
    suppressed: int
    imports: Sequence[Progress]
    rows: Sequence[RecipientRow]
    columns: Sequence[str]
    to_choose: Sequence[str]
    chosen: Sequence[str]
    has_others: bool
    q: str
    here: str
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePage:
    """What would go. kept_by: why it can't just now."""

    form: Filled
    audience: Audience
    campaigns: Sequence[Outline]
    kept_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePage:
    """Who would be taken out, and which page to go back to."""

    audience: Audience
    email: str
    back: str


@pages.get("/audiences/<id:audience_id>")
def audience(audience_id: int) -> Response:
    """Show the people on the list, a page at a time."""
    house = the_house()
    query = forms.checked(RecipientPage, _asked())
    q = (query.q or "").strip()
    chosen = _chosen_columns()
    running = [one for one in importing.under_way() if one.audience_id == audience_id]
    with house.database.read() as tx:
        found_audience = store.get_audience(tx, audience_id)
        found = store.list_recipients(tx, audience_id, q=q, after=query.key, limit=PAGE + 1)
        held_back = suppressions.which_suppressed(tx, [r.address_key for r in found[:PAGE]])
        suppressed = suppressions.count_suppressed(tx, [audience_id])
        used_by = _used_by(tx, audience_id)
    columns = _columns(found[:PAGE]) if chosen is None else chosen
    known = dict.fromkeys([*columns, *(key for one in found[:PAGE] for key in one.attributes)])
    here = partial(_path, audience_id, q=q, columns=None if chosen is None else ["", *chosen])
    rows = [_row(one, columns, one.address_key in held_back) for one in found[:PAGE]]
    cursor = next_cursor(found, limit=PAGE, key=lambda recipient: recipient.id)
    page = AudiencePage(
        audience=found_audience,
        campaigns=used_by,
        suppressed=suppressed,
        imports=[importing.progress_of(one) for one in running],
        rows=rows,
        columns=columns,
        to_choose=sorted(known, key=str.casefold)[:MOST_TO_CHOOSE],
        chosen=[] if chosen is None else ["", *chosen],
        has_others=any(row.others for row in rows),
        q=q,
        here=here(cursor=query.cursor and request.args["cursor"]),
        first=here() if query.cursor else None,
        next=here(cursor=cursor) if cursor else None,
    )
    return show("audience.html", page=page, section="Audiences")


@pages.get("/audiences/<id:audience_id>/rename", role=Role.EDITOR)
def ask_new_name(audience_id: int) -> Response:
    """Ask for another name."""
    found = _found(audience_id)
    form = Filled(values={"name": found.name, "version": found.version})
    return _ask_new_name(found, form)


@pages.post("/audiences/<id:audience_id>/rename")
def rename(audience_id: int) -> Response:
    """Call the audience something else."""
    try:
        body = forms.checked(AudienceChanges, {"name": forms.text("name").strip()})
        with the_house().database.write(durable=True) as tx:
            deeds.rename(tx, audience_id, body.name, expected_version=forms.version())
    except (Invalid, Stale) as error:
        form = forms.as_typed(error, LABELS)
        status = 412 if isinstance(error, Stale) else 422
        return _ask_new_name(_found(audience_id), form, status=status)
    return go(f"/audiences/{audience_id}", say=f"It is called {body.name} now.")


@pages.get("/audiences/<id:audience_id>/delete", role=Role.EDITOR)
def ask_delete(audience_id: int) -> Response:
    """Say what goes and what stays."""
    return _ask_delete(audience_id, Filled(values={}))


@pages.post("/audiences/<id:audience_id>/delete")
def delete(audience_id: int) -> Response:
    """Delete the list and everybody on it; what was sent stays in Runs."""
    try:
        with the_house().database.write(durable=True) as tx:
            name = deeds.delete(tx, audience_id, expected_version=forms.version())
    except (Conflict, Stale) as error:
        status = 412 if isinstance(error, Stale) else 409
        return _ask_delete(audience_id, forms.as_typed(error, {}), status=status)
    return go("/audiences", say=f"{name} is deleted.")


@pages.get("/audiences/<id:audience_id>/remove", role=Role.EDITOR)
def ask_remove(audience_id: int) -> Response:
    """Say what taking somebody out means."""
    page = RemovePage(
        audience=_found(audience_id),
        email=request.args.get("email", ""),
        back=_back(audience_id, request.args.get("back")),
    )
    return show("audience_remove.html", page=page, section="Audiences")


@pages.post("/audiences/<id:audience_id>/remove")
def remove(audience_id: int) -> Response:
    """Take somebody out of the audience."""
    email = forms.text("email")
    with the_house().database.write(durable=True) as tx:
        name = deeds.remove(tx, audience_id, email)
    back = _back(audience_id, request.form.get("back"))
    return go(back, say=f"{email} is not in {name} any more.")


def _found(audience_id: int) -> Audience:
    with the_house().database.read() as tx:
        return store.get_audience(tx, audience_id)


def _used_by(tx: Tx, audience_id: int) -> list[Outline]:
    every = campaigns.outlines(tx).values()
    return [one for one in every if audience_id in one.audience_ids]


def _asked() -> dict[str, str]:
    """Return what the address asks for, beside columns, which it may name many times."""
    return {name: value for name, value in request.args.items() if name != "columns"}


def _chosen_columns() -> list[str] | None:
    """Return the attributes that are to have a column; None where nobody has chosen. Raises Invalid on columns."""
    if "columns" not in request.args:
        return None
    chosen = [name for name in dict.fromkeys(request.args.getlist("columns")) if name]
    if len(chosen) > MOST_CHOSEN:
        raise Invalid.field("columns", f"At most {MOST_CHOSEN} attributes can have a column.")
    return chosen


def _columns(found: Sequence[Recipient]) -> list[str]:
    """Return the attributes that most of them have, in the order in which they first come."""
    counts = Counter(key for recipient in found for key in recipient.attributes)
    often = {key for key, _ in counts.most_common(MOST_COLUMNS)}
    return [key for key in counts if key in often]


def _row(found: Recipient, columns: Sequence[str], is_suppressed: bool) -> RecipientRow:
    values = {key: as_text(value) for key, value in found.attributes.items()}
    return RecipientRow(
        id=found.id,
        email=found.email,
        path=path_of(found.email),
        name=found.name,
        cells=[values.get(column, "") for column in columns],
        others=[(key, value) for key, value in values.items() if key not in columns],
        is_suppressed=is_suppressed,
    )


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _ask_new_name(found: Audience, form: Filled, *, status: int = 200) -> Response:
    page = NamePage(form=form, audience=found)
    return show("audience_name.html", status=status, page=page, section="Audiences")


def _ask_delete(audience_id: int, form: Filled, *, status: int = 200) -> Response:
    with the_house().database.write(durable=False) as tx:  # imports whose process died end here
        page = DeletePage(
            form=form,
            audience=store.get_audience(tx, audience_id),
            campaigns=_used_by(tx, audience_id),
            kept_by=kept_by(tx, audience_id),
        )
    return show("audience_delete.html", status=status, page=page, section="Audiences")


def _back(audience_id: int, given: str | None) -> str:
    """Return the page of this audience that a button was on, or of the person whom it was about."""
    ours = (f"/audiences/{audience_id}?", "/recipients/")
    return str(given) if is_ours(given) and str(given).startswith(ours) else _path(audience_id)


def _path(audience_id: int, **query: str | Sequence[str] | None) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"/audiences/{audience_id}" + ("?" + urlencode(given, doseq=True) if given else "")
