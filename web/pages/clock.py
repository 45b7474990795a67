"""/clock: what the clock says that has jumped, what it should say, and the one button to believe it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Response

from storage import installation
from web.api.status import believe_clock
from web.current import the_house
from web.page import Pages, go, show

pages = Pages("clock")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPage:
    """What the clock says, and what it should say. step_seconds None: they agree."""

    says: datetime
    should_say: datetime
    step_seconds: float | None
    window: timedelta


@pages.get("/clock")
def clock() -> Response:
    """Say what the clock says, and what it should say."""
    house = the_house()
    with house.database.read() as tx:
        step = installation.read(tx).clock_step_seconds
    page = ClockPage(
        says=house.clock.unchecked(),
        should_say=house.clock.now(),
        step_seconds=step,
        window=house.settings.catch_up_window,
    )
    return show("clock.html", page=page, section="")


@pages.post("/clock")
def accept() -> Response:
    """Say that the clock is right."""
    believe_clock()
    return go("/automation", say="The time is taken as it is. What is due by it is claimed.")
