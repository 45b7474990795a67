"""/shortcuts: the keys that do something. A test compares the list with what templates say."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from web.page import Pages, show

pages = Pages("shortcuts")


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Keys, one after the other where there are several that belong together, and what they do."""

    keys: Sequence[str]
    does: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where keys work."""

    name: str
    shortcuts: Sequence[Shortcut]


PLACES = (
    Place(
        "Everywhere",
        (
            Shortcut(("/",), "Search people, campaigns, schedules, runs, audiences, accounts"),
            Shortcut(("?",), "Show this list"),
            Shortcut(("Esc",), "Close a menu or a dialog"),
        ),
    ),
    Place(
        "In a list",
        (
            Shortcut(("j", "k"), "Go to the next row, to the one before"),
            Shortcut(("Enter",), "Open the row"),
            Shortcut(
                ("n",),
                "Make a new one: a schedule, a campaign, an audience, a recipient, a suppression",
            ),
        ),
    ),
    Place(
        "On a schedule's row",
        (
            Shortcut(("u",), "Undo what is about to be sent"),
            Shortcut(("p",), "Pause the schedule, or resume it"),
            Shortcut((".",), "Open the row's menu"),
        ),
    ),
    Place(
        "On a run's page",
        (
            Shortcut(("p",), "Pause the run, or go on"),
            Shortcut(("e",), "Export its deliveries"),
            Shortcut(("f",), "Show the deliveries in another state"),
            Shortcut(("Esc",), "Go back to the list of runs"),
        ),
    ),
    Place(
        "In the editor",
        (
            Shortcut(("Ctrl+S",), "Save the campaign"),
            Shortcut(("Ctrl+Enter",), "Send a test"),
            Shortcut(("Alt+P",), "Show the preview another way"),
            Shortcut(("Esc", "Tab"), "Leave the HTML, where Tab indents"),
        ),
    ),
)


@pages.get("/shortcuts")
def shortcuts() -> Response:
    """List the keys."""
    return show("shortcuts.html", places=PLACES)
