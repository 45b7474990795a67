"""/automation: what goes when, what went, and stopping it in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, request

from identity.model import Role
from identity.roles import may
from scheduler import desk
from scheduler.model import Schedule, Status
from web.current import the_caller, the_house
from web.first_steps import FirstSteps, are_hidden, first_steps
from web.page import Pages, show
from web.schedule_rows import (
    OVER,
    SOON,
    Names,
    Row,
    display_status,
    in_order,
    names_of,
    rows_of,
)

pages = Pages("automation")

PAGE = 50

_TABS = (
    ("all", "All"),
    ("soon", "Due soon"),
    ("planned", "Planned"),
    ("running", "Running"),
    ("held", "Held"),
    ("paused", "Paused"),
    ("done", "Done"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """A part of the list."""

    path: str
    text: str
    count: int
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationPage:
    """What the page shows. upcoming: the next slot of all; next_page: where the list goes on."""

    upcoming: Row | None
    holding: Sequence[Row]
    rows: Sequence[Row]
    tabs: Sequence[Tab]
    q: str
    tab: str
    has_audiences: bool
    has_campaigns: bool
    has_schedules: bool
    first_steps: FirstSteps | None
    next_page: str | None


@pages.get("/automation")
def automation() -> Response:
    """Show all schedules: what is about to be sent on top."""
    house = the_house()
    now = house.clock.now()
    names = names_of(house)
    every = in_order(desk.list_schedules(house.scheduler), now=now)
    tab = request.args.get("show", "all")
    q = request.args.get("q", "").strip()
    start = _start()
    found = [s for s in every if _is_in(s, tab) and _is_named(s, q, names)]
    shown = found[start : start + PAGE]
    rows = rows_of(house, shown, names, now=now)
    holding = [row for row in rows if row.status == "holding"]
    upcoming = next(
        (s for s in every if s.enabled and s.next_run and display_status(s, now=now) == "pending"),
        None,
    )
    page = AutomationPage(
        upcoming=rows_of(house, [upcoming], names, now=now)[0] if upcoming else None,
        holding=holding,
        rows=[row for row in rows if row.status != "holding"],
        tabs=[
            Tab(
                path=f"/automation?{urlencode({'show': name})}" if name != "all" else "/automation",
                text=text,
                count=sum(_is_in(s, name) for s in every),
                current=name == tab,
            )
            for name, text in _TABS
        ],
        q=q,
        tab=tab,
        has_audiences=bool(names.audiences),
        has_campaigns=bool(names.campaigns),
        has_schedules=bool(every),
        first_steps=_first_steps(names, every),
        next_page=_next_page(start, len(found)),
    )
    return show("automation.html", page=page, section="Automation")


def _is_in(schedule: Schedule, tab: str) -> bool:
    now = the_house().clock.now()
    match tab:
        case "soon":
            upcoming = schedule.next_run
            return bool(schedule.enabled and upcoming and upcoming - now <= SOON)
        case "planned":
            return schedule.status is Status.PENDING
        case "done":
            return schedule.status in OVER
        case "running" | "held" | "paused":
            return schedule.status == tab
    return True


def _is_named(schedule: Schedule, q: str, names: Names) -> bool:
    return q.casefold() in names.campaign(schedule.campaign_id).casefold()


def _start() -> int:
    given = request.args.get("from", "0")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 8 else 0


def _next_page(start: int, found: int) -> str | None:
    if start + PAGE >= found:
        return None
    given = {name: value for name, value in request.args.items() if name != "from"}
    return "/automation?" + urlencode(given | {"from": start + PAGE})


def _first_steps(names: Names, every: Sequence[Schedule]) -> FirstSteps | None:
    """Return the first steps, where there are some left and the caller can take them."""
    if are_hidden() or not may(the_caller(), Role.EDITOR):
        return None
    steps = first_steps(the_house(), names, every)
    return None if steps.are_over else steps
