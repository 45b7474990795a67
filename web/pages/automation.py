"""/automation: what goes when, what went, and stopping it in time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
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
MOST_HOLDING = 20

_TABS = (
    ("all", "All"),
    ("soon", "Due soon"),
    ("planned", "Planned"),
    ("running", "Running"),
    ("held", "Held"),
    ("paused", "Paused"),
    ("done", "Done"),
)
_PART_OF = {status: status.value for status in Status} | {
    Status.PENDING: "planned",
    **dict.fromkeys(OVER, "done"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tab:
    """A part of the list."""

    path: str
    text: str
    count: int
    current: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomationPage:
    """What the page shows.

    upcoming: the next slot of all. more_holding: how many more are due than fit into the card. next_page: where the
    list goes on.
    """

    upcoming: Row | None
    holding: Sequence[Row]
    more_holding: int
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
    every = desk.list_schedules(house.scheduler)
    tab = request.args.get("show", "all")
    q = request.args.get("q", "").strip()
    start = _start()
    parts = _in_parts(every, now=now)
    # What can still be taken back is on top, whichever part of the list is looked at.
    due = _called(parts["holding"], q, names)
    on_top = {schedule.id for schedule in parts["holding"]}
    below = (s for s in parts.get(tab, parts["all"]) if s.id not in on_top)
    listed = in_order(_called(below, q, names), now=now)
    upcoming = min(parts["next"], key=_next_slot, default=None)
    rows = rows_of(
        house,
        [
            *([upcoming] if upcoming else []),
            *sorted(due, key=_next_slot)[:MOST_HOLDING],
            *listed[start : start + PAGE],
        ],
        names,
        now=now,
    )
    first = rows.pop(0) if upcoming else None
    holding = [rows.pop(0) for _ in due[:MOST_HOLDING]]
    page = AutomationPage(
        upcoming=first,
        holding=holding,
        more_holding=len(due) - len(holding),
        rows=rows,
        tabs=[
            Tab(
                path=f"/automation?{urlencode({'show': name})}" if name != "all" else "/automation",
                text=text,
                count=len(parts[name]),
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
        next_page=_next_page(start, len(listed)),
    )
    return show("automation.html", page=page, section="Automation")


def _in_parts(every: Sequence[Schedule], *, now: datetime) -> dict[str, list[Schedule]]:
    """Return the parts of the list by the names of their tabs.

    "holding": what is due and can still be taken back. "next": what has a slot to come.
    """
    names = (*(name for name, _ in _TABS), "holding", "next")
    parts: dict[str, list[Schedule]] = {name: [] for name in names}
    for schedule in every:
        status = display_status(schedule, now=now)
        if status == "holding":
            parts["holding"].append(schedule)
        parts["all"].append(schedule)
        upcoming = schedule.next_run if schedule.enabled else None
        if upcoming and upcoming - now <= SOON:
            parts["soon"].append(schedule)
        if status == "pending" and upcoming:
            parts["next"].append(schedule)
        parts[_PART_OF[schedule.status]].append(schedule)
    return parts


def _called(schedules: Iterable[Schedule], q: str, names: Names) -> list[Schedule]:
    """Return those whose campaign's name holds what is looked for."""
    if not q:
        return [*schedules]
    wanted = q.casefold()
    return [s for s in schedules if wanted in names.campaign(s.campaign_id).casefold()]


def _next_slot(schedule: Schedule) -> datetime:
    assert schedule.next_run is not None
    return schedule.next_run


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
