"""/runs/{id}: how a run goes, what became of each recipient, and the buttons that stop it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode

from flask import Response, request

from accounts import store as accounts
from accounts.model import Kind
from delivery import decisions, missing, outlines, outlook, reads
from delivery.decisions import Action
from delivery.erasure import ERASED
from delivery.model import Counts, Delivery, DeliveryStatus, RunStatus
from delivery.outlines import RunOutline
from identity.model import Role
from storage.database import Tx
from web import forms
from web.api import runs as deeds
from web.api.runs import DeliveryPage
from web.current import the_house
from web.decided import DecidedRow, decided_rows
from web.held_back import why_skipped
from web.page import Pages, go, show
from web.paging import cursor_at
from web.person import path_of
from web.run_told import has, headline
from web.schedule_rows import RunSummary, summary_of
from web.shown import number

pages = Pages("run")

PAGE = 50
MOST_DECISIONS = 10

_TABS = (
    (None, "All", "recipients"),
    ("sending", "Sending", "sending"),
    ("sent", "Sent", "sent"),
    ("failed", "Failed", "failed"),
    ("skipped", "Skipped", "skipped"),
    ("in_doubt", "In doubt", "in_doubt"),
    ("queued", "Queued", "queued"),
)
MADE_FOR = {
    "run-now": "Run now, at",
    "missed": "Missed, newest",
    "slot": "Slot",
    "send-missing": "Made",
}
"""What a run was made for, as the name of its slot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account that the run sends through."""

    id: int
    name: str
    state: str
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """A delivery, its account's name, why nothing was sent, in words, and the person's page, where there is one."""

    delivery: Delivery
    status: str
    account: str
    why: str | None
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPageData:
    """What the page shows.

    shown: how many are listed, of how many. has: who has it; left: who would not get it any more if it were cancelled;
    missing: to how many it can be sent once more, after the end. made_of_it: runs for whom this one did not reach.
    more_decided: there are older decisions than those.
    """

    run: RunOutline
    summary: RunSummary
    campaign: str
    subject: str
    made_for: str
    headline: str
    accounts: Sequence[Account]
    rows: Sequence[DeliveryRow]
    tabs: Sequence[dict[str, object]]
    status: str | None
    q: str
    previous: str | None
    next: str | None
    shown: str | None
    can_pause: bool
    can_resume: bool
    can_cancel: bool
    has: int
    left: int
    has_refused: bool
    is_sandbox: bool
    doubts: int
    missing: int
    made_of_it: Sequence[int]
    decided: Sequence[DecidedRow]
    more_decided: bool


class _Asked(DeliveryPage):
    """What the address may hold beside what the API's has. back: those before the cursor."""

    back: Literal["1"] | None = None


@pages.get("/runs/<id:run_id>")
def run(run_id: int) -> Response:
    """Show the run."""
    return show("run.html", page=_page(run_id), section="Runs")


@pages.post("/runs/<id:run_id>/pause")
def pause(run_id: int) -> Response:
    """Begin no new message of this run."""
    counts = deeds.pause(run_id).counts
    waits = f"{number(counts.queued)} {'waits' if counts.queued == 1 else 'wait'} until you go on."
    return go(f"/runs/{run_id}", say=f"Paused. {has(counts.sent)} it, {waits}")


@pages.post("/runs/<id:run_id>/resume")
def resume(run_id: int) -> Response:
    """Let a paused or held run go on."""
    deeds.resume(run_id, retry_refused=forms.ticked("retry_refused"))
    return go(f"/runs/{run_id}", say="It goes on.")


@pages.get("/runs/<id:run_id>/cancel", role=Role.EDITOR)
def ask_cancel(run_id: int) -> Response:
    """Say what cancelling means."""
    return show("run_cancel.html", page=_page(run_id), section="Runs")


@pages.post("/runs/<id:run_id>/cancel")
def cancel(run_id: int) -> Response:
    """Send nothing more of this run; what was not sent becomes skipped."""
    sent = deeds.cancel(run_id).counts.sent
    return go(f"/runs/{run_id}", say=f"Cancelled. {has(sent)} it; nobody else gets it.")


def _page(run_id: int) -> RunPageData:
    house = the_house()
    now = house.clock.now()
    query = forms.checked(_Asked, _asked())
    goes_back = query.back is not None and query.key is not None
    with house.database.read() as tx:
        found = outlines.outline(tx, run_id)
        content = reads.run(tx, run_id).content
        deliveries = reads.list_deliveries(
            tx,
            run_id,
            status=DeliveryStatus(query.status) if query.status else None,
            q=query.q,
            after=None if goes_back else query.key,
            before=query.key if goes_back else None,
            limit=PAGE + 1,
        )
        made_of_it = outlines.made_for_missing_of(tx, run_id)
        left_out = _count_missing(tx, found)
        expected = outlook.outlooks(tx, now)
        made = decisions.newest_together(tx, run_id, limit=MOST_DECISIONS + 1)
        sent_again = 0
        if made and found.finished_at is not None:
            sent_again = len(decisions.times_decided(tx, run_id, Action.RESEND))
        called = accounts.names(tx)
        kinds = accounts.kinds(tx, content.account_ids)
        unwell = {account.id: account for account in accounts.unwell(tx)}
    summary = summary_of(found, expected, now=now)
    counts = found.counts
    is_more = len(deliveries) > PAGE
    listed = deliveries[-PAGE:] if goes_back else deliveries[:PAGE]
    here = partial(_path, run_id, status=query.status, q=query.q)
    previous = (is_more if goes_back else query.key is not None) and bool(listed)
    following = (goes_back or is_more) and bool(listed)
    finished = found.finished_at is not None
    return RunPageData(
        run=found,
        summary=summary,
        campaign=content.name,
        subject=content.subject,
        made_for=MADE_FOR[found.origin],
        headline=headline(found, summary, made, sent_again=sent_again),
        accounts=[
            Account(
                id=i,
                name=called.get(i, f"account {i}"),
                state=str(unwell[i].state) if i in unwell else "ok",
                reason=unwell[i].reason if i in unwell else None,
            )
            for i in content.account_ids
        ],
        rows=[
            DeliveryRow(
                delivery=delivery,
                status="queued" if delivery.status == "leased" else delivery.status,
                account=called.get(delivery.account_id or 0, ""),
                why=why_skipped(delivery.reason),
                path=None if delivery.email.startswith(ERASED) else path_of(delivery.email),
            )
            for delivery in listed
        ],
        tabs=_tabs(run_id, counts, status=query.status, q=query.q),
        status=query.status,
        q=query.q or "",
        previous=here(cursor=cursor_at(listed[0].id), back=1) if previous else None,
        next=here(cursor=cursor_at(listed[-1].id)) if following else None,
        shown=_shown(counts, query.status, len(listed)) if not query.q else None,
        can_pause=found.status in (RunStatus.CLAIMED, RunStatus.RUNNING),
        can_resume=found.status in (RunStatus.PAUSED, RunStatus.HELD),
        can_cancel=not finished,
        has=counts.sent,
        left=counts.queued,
        has_refused=found.was_refused,
        is_sandbox=kinds == {Kind.SANDBOX},
        doubts=counts.in_doubt,
        missing=left_out,
        made_of_it=made_of_it,
        decided=decided_rows(made[:MOST_DECISIONS]),
        more_decided=len(made) > MOST_DECISIONS,
    )


def _tabs(
    run_id: int, counts: Counts, *, status: str | None, q: str | None
) -> list[dict[str, object]]:
    """Return the filters; the key "f" goes from each to the next."""
    at = next(place for place, (name, _, _) in enumerate(_TABS) if name == status)
    following = (at + 1) % len(_TABS)
    return [
        {
            "path": _path(run_id, status=name, q=q),
            "text": text,
            "count": getattr(counts, counter),
            "current": place == at,
            "follows": place == following,
        }
        for place, (name, text, counter) in enumerate(_TABS)
    ]


def _shown(counts: Counts, status: str | None, shown: int) -> str:
    counter = next(counter for name, _, counter in _TABS if name == status)
    return f"{number(shown)} of {number(getattr(counts, counter))}"


def _count_missing(tx: Tx, run: RunOutline) -> int:
    """Return to how many it can be sent once more; looked up only where there may be any."""
    may_be = run.finished_at is not None and (run.counts.failed or run.counts.skipped)
    return missing.count_missing(tx, run.id) if may_be else 0


def _asked() -> dict[str, Any]:
    """Return what the address asks for; an empty search field asks for nothing."""
    return {name: value for name, value in request.args.items() if value}


def _path(run_id: int, **query: object) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"/runs/{run_id}" + ("?" + urlencode(given) if given else "")
