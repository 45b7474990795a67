"""/outbox: what the sandbox mail server received, and who got how much of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, request

from delivery import outlines
from delivery.outlines import RunOutline
from identity.model import Role
from mail.outbox import SCAN_LIMIT, OutboxItem, delete_up_to
from mail.outbox_index import OutboxCount
from web import audited, forms
from web.api.outbox import OutboxPage as Asked
from web.current import the_house
from web.page import Pages, go, show
from web.paging import next_cursor
from web.received import the_outbox
from web.schedule_rows import Names, names_of
from web.shown import many

pages = Pages("outbox")

PAGE = 50
_READ_BESIDE = 1_500
"""Messages that the plain list reads for its count. Where there are more it does not count by itself."""


class _Asked(Asked):
    """What the address may hold beside what the API's has. count: all, to go on counting."""

    count: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A message in the list. run: the run that sent it, where the ledger knows one; campaign: of that."""

    item: OutboxItem
    to: str
    others: int
    run_id: int | None
    campaign: str | None
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRun:
    """The run whose messages alone are shown. sent: what the ledger says; None where it knows no such run."""

    id: int
    campaign: str | None
    sent: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxPage:
    """What the page shows."""

    rows: Sequence[Row]
    count: OutboxCount
    q: str
    run: OfRun | None
    everything: str
    go_on: str
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClearPage:
    """What would be deleted: the messages up to the newest that was there when the page was made."""

    messages: int
    through: int | None


@pages.get("/outbox")
def outbox() -> Response:
    """List what the sandbox received, newest first."""
    house = the_house()
    query = forms.checked(_Asked, request.args.to_dict())
    q = (query.q or "").strip()
    looks_far = bool(q or query.run_id or query.count)
    index = (
        the_outbox(read=SCAN_LIMIT) if looks_far else the_outbox(read=_READ_BESIDE, or_nothing=True)
    )
    found = index.find(q=q, run_id=query.run_id, before=query.key, limit=PAGE + 1)
    names = names_of(house)
    wanted = {item.run_id for item in found if item.run_id} | {query.run_id or 0}
    with house.database.read() as tx:
        runs = outlines.by_id(tx, wanted)
    filters = {"q": q or None, "run_id": query.run_id}
    cursor = next_cursor(found, limit=PAGE, key=lambda item: item.id)
    page = OutboxPage(
        rows=[_row(item, runs, names, of_run=query.run_id) for item in found[:PAGE]],
        count=index.count(run_id=query.run_id),
        q=q,
        run=_of_run(query.run_id, runs, names),
        everything=_path(q=q or None),
        go_on=_path(**filters, count="all"),
        first=_path(**filters) if query.cursor else None,
        next=_path(**filters, cursor=cursor) if cursor else None,
    )
    return show("outbox.html", page=page, section="Outbox")


@pages.get("/outbox/clear", role=Role.ADMIN)
def ask_to_clear() -> Response:
    """Ask before everything is deleted."""
    newest, messages = the_outbox(read=0).newest()
    page = ClearPage(messages=messages, through=newest)
    return show("outbox_clear.html", page=page, section="Outbox")


@pages.post("/outbox/clear", role=Role.ADMIN)
def clear() -> Response:
    """Delete what was there when the question was asked; what came since stays."""
    through = forms.whole("through")
    deleted = delete_up_to(the_house().outbox, through) if isinstance(through, int) else 0
    if deleted:
        before = {"messages": deleted}
        audited.note_alone("clear", "outbox:messages", label="The outbox", before=before)
    else:
        audited.nothing_to_note()
    return go("/outbox", say=f"Deleted {many(deleted, 'message')} from the outbox.")


def _row(item: OutboxItem, runs: dict[int, RunOutline], names: Names, *, of_run: int | None) -> Row:
    run = runs.get(item.run_id or 0)
    return Row(
        item=item,
        to=item.rcpt_to[0] if item.rcpt_to else "nobody",
        others=max(0, len(item.rcpt_to) - 1),
        run_id=run.id if run else None,
        campaign=names.campaign(run.campaign_id) if run else None,
        path=f"/outbox/{item.id}" + (f"?run_id={of_run}" if of_run else ""),
    )


def _of_run(run_id: int | None, runs: dict[int, RunOutline], names: Names) -> OfRun | None:
    if run_id is None:
        return None
    run = runs.get(run_id)
    return OfRun(
        id=run_id,
        campaign=names.campaign(run.campaign_id) if run else None,
        sent=run.counts.sent if run else None,
    )


def _path(**query: object) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return "/outbox" + ("?" + urlencode(given) if given else "")
