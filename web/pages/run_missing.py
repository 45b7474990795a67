"""/runs/{id}/send-missing: the same mail once more, to those whom a run has not reached and to nobody else."""

from dataclasses import dataclass

from flask import Response

from delivery import missing, outlines, reads
from delivery.outlines import RunOutline
from identity.model import Role
from web.api.runs import send_to_missing
from web.current import the_house
from web.page import Pages, go, show
from web.replays import may_repeat
from web.shown import many

pages = Pages("run-missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPage:
    """Whom it would go to: so many; has: who has it, and gets nothing."""

    run: RunOutline
    campaign: str
    subject: str
    people: int
    has: int


@pages.get("/runs/<id:run_id>/send-missing", role=Role.EDITOR)
def ask(run_id: int) -> Response:
    """Say whom it would go to, before it is done."""
    with the_house().database.read() as tx:
        run = outlines.outline(tx, run_id)
        content = reads.run(tx, run_id).content
        people = missing.count_missing(tx, run_id)
    page = MissingPage(
        run=run,
        campaign=content.name,
        subject=content.subject,
        people=people,
        has=run.counts.sent,
    )
    return show("run_missing.html", page=page, section="Runs")


@pages.post("/runs/<id:run_id>/send-missing")
@may_repeat
def send(run_id: int) -> Response:
    """Make a run for them, once."""
    run = send_to_missing(run_id)
    said = f"This is the run for those whom run {run_id} did not reach: {many(run.counts.recipients, 'person')}."
    return go(f"/runs/{run.id}", say=said)
