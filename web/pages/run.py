"""/runs/{id}: how a run goes, what became of each recipient, and the buttons that stop it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from accounts import store as accounts
from accounts.model import Kind
from delivery import control, decisions, missing, outlines, outlook, reads
from delivery.model import Delivery, DeliveryStatus, RunStatus
from delivery.outlines import RunOutline
from identity.model import Role
from storage.database import Tx
from web import forms
from web.api.runs import DeliveryPage
from web.current import caller_in_words, the_house
from web.decided import DecidedRow, decided_rows
from web.page import Pages, go, show
from web.paging import next_cursor
from web.schedule_rows import RunSummary, summary_of
from web.shown import many, number

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
    """A delivery, and the name of its account."""

    delivery: Delivery
    status: str
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPageData:
    """What the page shows.

    has: who has it; left: who would not get it any more if it were cancelled; missing: to how many it can be sent once
    more, after the end. made_of_it: runs for whom this one did not reach. more: there are older decisions than those.
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
    first: str | None
    next: str | None
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


@pages.get("/runs/<id:run_id>")
def run(run_id: int) -> Response:
    """Show the run."""
    return show("run.html", page=_page(run_id), section="Runs")


@pages.post("/runs/<id:run_id>/pause")
def pause(run_id: int) -> Response:
    """Begin no new message of this run."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        control.pause(tx, run_id, house.clock.now(), by=caller_in_words())
    return go(f"/runs/{run_id}", say="Paused. No new message is begun until you go on.")


@pages.post("/runs/<id:run_id>/resume")
def resume(run_id: int) -> Response:
    """Let a paused or held run go on."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        control.resume(
            tx,
            run_id,
            house.clock.now(),
            retry_refused=forms.ticked("retry_refused"),
            by=caller_in_words(),
        )
    house.scheduler.wake()
    return go(f"/runs/{run_id}", say="It goes on.")


@pages.get("/runs/<id:run_id>/cancel", role=Role.EDITOR)
def ask_cancel(run_id: int) -> Response:
    """Say what cancelling means."""
    return show("run_cancel.html", page=_page(run_id), section="Runs")


@pages.post("/runs/<id:run_id>/cancel")
def cancel(run_id: int) -> Response:
    """Send nothing more of this run; what was not sent becomes skipped."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        cancelled = control.cancel(tx, run_id, house.clock.now(), by=caller_in_words())
    sent = cancelled.counts.sent
    said = f"Cancelled. {many(sent, 'person')} {_have(sent)} it; nobody else gets it."
    return go(f"/runs/{run_id}", say=said)


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _page(run_id: int) -> RunPageData:
    house = the_house()
    now = house.clock.now()
    query = forms.checked(DeliveryPage, _asked())
    with house.database.read() as tx:
        found = outlines.outline(tx, run_id)
        content = reads.run(tx, run_id).content
        deliveries = reads.list_deliveries(
            tx,
            run_id,
            status=DeliveryStatus(query.status) if query.status else None,
            q=query.q,
            after=query.key,
            limit=PAGE + 1,
        )
        made_of_it = outlines.made_for_missing_of(tx, run_id)
        left_out = _count_missing(tx, found)
        expected = outlook.outlooks(tx, now)
        made = decisions.newest_together(tx, run_id, limit=MOST_DECISIONS + 1)
        called = accounts.names(tx)
        kinds = accounts.kinds(tx, content.account_ids)
        unwell = {account.id: account for account in accounts.unwell(tx)}
    summary = summary_of(found, expected, now=now)
    counts = found.counts
    cursor = next_cursor(deliveries, limit=PAGE, key=lambda delivery: delivery.id)
    finished = found.finished_at is not None
    return RunPageData(
        run=found,
        summary=summary,
        campaign=content.name,
        subject=content.subject,
        made_for=MADE_FOR[found.origin],
        headline=_headline(found, summary),
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
            )
            for delivery in deliveries[:PAGE]
        ],
        tabs=[
            {
                "path": _path(run_id, status=status, q=query.q),
                "text": text,
                "count": getattr(counts, counter),
                "current": query.status == status,
            }
            for status, text, counter in _TABS
        ],
        status=query.status,
        q=query.q or "",
        first=_path(run_id, status=query.status, q=query.q) if query.cursor else None,
        next=_path(run_id, status=query.status, q=query.q, cursor=cursor) if cursor else None,
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


def _count_missing(tx: Tx, run: RunOutline) -> int:
    """Return to how many it can be sent once more; looked up only where there may be any."""
    may_be = run.finished_at is not None and (run.counts.failed or run.counts.skipped)
    return missing.count_missing(tx, run.id) if may_be else 0


def _headline(run: RunOutline, summary: RunSummary) -> str:
    """Return the page's first line: how it stands, and what that means for the e-mails."""
    counts = run.counts
    settled = counts.recipients - counts.queued - counts.sending
    match run.status:
        case RunStatus.CLAIMED if run.waits_for is not None:
            return f"Waits for run {run.waits_for} of the same schedule to be through."
        case RunStatus.CLAIMED:
            return "Preparing the list of recipients…"
        case RunStatus.RUNNING:
            return f"Sending: {number(settled)} of {number(counts.recipients)} ({summary.tally.percent} %)"
        case RunStatus.PAUSED:
            return f"Paused{_because(run.reason)} {number(counts.queued)} wait; nothing is sent until you go on."
        case RunStatus.HELD:
            return f"Held{_because(run.reason)} Nothing is sent until you decide."
        case RunStatus.CANCELLED:
            return (
                f"Cancelled. {many(counts.sent, 'person')} {_have(counts.sent)} it,"
                f" {number(counts.skipped)} will not get it."
            )
        case RunStatus.FAILED:
            return f"Failed{_because(run.reason)} Nobody got it."
    if not counts.recipients:
        return "No recipients: the audience was empty. Nothing was sent."
    if counts.skipped == counts.recipients:
        return "Everyone was skipped: suppressed, or removed meanwhile. Nothing was sent."
    return f"Done. The mail server took it for {many(counts.sent, 'person')}."


def _because(reason: str | None) -> str:
    if not reason:
        return "."
    return f": {reason}" if reason.endswith((".", "!", "?")) else f": {reason}."


def _asked() -> dict[str, Any]:
    """Return what the address asks for; an empty search field asks for nothing."""
    return {name: value for name, value in request.args.items() if value}


def _path(run_id: int, **query: object) -> str:
    given = {name: value for name, value in query.items() if value}
    return f"/runs/{run_id}" + ("?" + urlencode(given) if given else "")
