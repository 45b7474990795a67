"""/runs: every run, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, request

from delivery import outlines, outlook
from delivery.model import RunStatus
from delivery.outlines import RunOutline
from web import forms
from web.api.runs import RunPage
from web.current import the_house
from web.page import Pages, show
from web.paging import next_cursor
from web.schedule_rows import Names, RunSummary, names_of, summary_of

pages = Pages("runs")

PAGE = 50

_TABS = (
    (None, "All"),
    (RunStatus.RUNNING, "Running"),
    (RunStatus.PAUSED, "Paused"),
    (RunStatus.HELD, "Held"),
    (RunStatus.COMPLETED, "Completed"),
    (RunStatus.FAILED, "Failed"),
    (RunStatus.CANCELLED, "Cancelled"),
)
_MADE_FOR = {
    "run-now": "run now",
    "missed": "missed slots, sent late",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """A run in the list. made_for: what made it, where that is neither its slot nor another run."""

    run: RunOutline
    summary: RunSummary
    campaign: str
    made_for: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsPage:
    """What the page shows. schedule: the one whose runs are shown, where it is one's."""

    rows: Sequence[RunRow]
    tabs: Sequence[dict[str, object]]
    schedule_id: int | None
    schedule: str | None
    is_filtered: bool
    first: str | None
    next: str | None


@pages.get("/runs")
def runs() -> Response:
    """List the runs."""
    house = the_house()
    now = house.clock.now()
    query = forms.checked(RunPage, request.args.to_dict())
    names = names_of(house)
    with house.database.read() as tx:
        found = outlines.list_outlines(
            tx,
            schedule_id=query.schedule_id,
            status=query.status,
            before=query.key,
            limit=PAGE + 1,
        )
        expected = outlook.outlooks(tx, now)
    rows = [
        RunRow(
            run=run,
            summary=summary_of(run, expected, now=now),
            campaign=names.campaign(run.campaign_id),
            made_for=_MADE_FOR.get(run.origin),
        )
        for run in found[:PAGE]
    ]
    cursor = next_cursor(found, limit=PAGE, key=lambda run: run.id)
    page = RunsPage(
        rows=rows,
        tabs=[
            {
                "path": _path(schedule_id=query.schedule_id, status=status),
                "text": text,
                "count": None,
                "current": query.status == status,
            }
            for status, text in _TABS
        ],
        schedule_id=query.schedule_id,
        schedule=_schedule(query.schedule_id, names),
        is_filtered=query.status is not None or query.schedule_id is not None,
        first=_path(schedule_id=query.schedule_id, status=query.status) if query.cursor else None,
        next=_path(schedule_id=query.schedule_id, status=query.status, cursor=cursor)
        if cursor
        else None,
    )
    return show("runs.html", page=page, section="Runs")


def _schedule(schedule_id: int | None, names: Names) -> str | None:
    if schedule_id is None:
        return None
    found = next((s for s in the_house().store.read() if s.id == schedule_id), None)
    return names.campaign(found.campaign_id) if found else f"schedule {schedule_id} (deleted)"


def _path(**query: object) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return "/runs" + ("?" + urlencode(given) if given else "")
