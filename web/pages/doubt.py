"""/doubt: what is held because this data directory may be an older copy of itself, and the one button to go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from delivery import outlines, slots
from delivery.model import RunStatus
from delivery.outlines import RunOutline
from storage import installation
from web.api.status import go_on
from web.current import the_house
from web.page import Pages, go, show
from web.schedule_rows import names_of
from web.shown import many

pages = Pages("doubt")


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRun:
    """A run that is held, and the name of its campaign."""

    run: RunOutline
    campaign: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtPage:
    """Why the directory is in doubt (None: it is not), and what waits for the person who decides."""

    reason: str | None
    since: datetime | None
    runs: Sequence[HeldRun]
    schedules: int


@pages.get("/doubt")
def doubt() -> Response:
    """Say why this data directory is in doubt, and what is held."""
    house = the_house()
    names = names_of(house)
    with house.database.read() as tx:
        here = installation.read(tx)
        on_their_way = outlines.on_their_way(tx, or_ended_since=house.clock.now())
        schedules = len(slots.schedules_with_held(tx))
    held = [run for run in on_their_way if run.status is RunStatus.HELD]
    page = DoubtPage(
        reason=here.doubted_reason,
        since=here.doubted_at,
        runs=[HeldRun(run=run, campaign=names.campaign(run.campaign_id)) for run in held],
        schedules=schedules,
    )
    return show("doubt.html", page=page, section="")


@pages.post("/doubt")
def accept() -> Response:
    """Say that this directory is the one that goes on."""
    released = go_on()
    said = "It goes on."
    if released.runs:
        said += f" {many(released.runs, 'run')} {'is' if released.runs == 1 else 'are'} on the way again."
    if released.schedules_held:
        said += " The slots that were held wait for your answer: send late, or skip."
    return go("/automation", say=said)
