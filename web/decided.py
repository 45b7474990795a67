"""What was decided about a run, in the words of pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from delivery.decisions import Action, MadeDecision, Together
from web.shown import many

DONE = {
    Action.RESEND: "Sent again",
    Action.MARK_SENT: "Marked as sent",
    Action.MARK_FAILED: "Marked as failed",
    Action.PAUSE: "Paused",
    Action.RESUME: "Resumed",
    Action.CANCEL: "Cancelled",
    Action.RETRY_REFUSED: "Refused ones queued again",
    Action.SEND_MISSING: "Sent to those who had not got it",
}
"""Each decision, as it is told afterwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One decision, and how it is told."""

    done: str
    made: MadeDecision


def decided(made: Sequence[MadeDecision]) -> list[Decided]:
    """Return decisions one by one, as pages tell them."""
    return [Decided(done=DONE[one.action], made=one) for one in made]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedRow:
    """What was decided at once. about: an address, or how many people; None for the whole run."""

    done: str
    about: str | None
    one: Together


def decided_rows(made: Sequence[Together]) -> list[DecidedRow]:
    """Return what was decided, as pages tell it."""
    return [DecidedRow(done=DONE[one.action], about=_about(one), one=one) for one in made]


def _about(one: Together) -> str | None:
    if not one.people:
        return None
    return one.email if one.people == 1 else many(one.people, "person")
