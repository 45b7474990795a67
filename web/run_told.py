"""A run's first line on its page: how it stands, and what that means for the e-mails."""

from collections.abc import Sequence

from delivery.decisions import Action, Together
from delivery.model import RunStatus
from delivery.outlines import RunOutline
from web.schedule_rows import RunSummary
from web.shown import duration, many, number

_BY_A_PERSON = ("paused by a person", "cancelled by a person")


def headline(
    run: RunOutline, summary: RunSummary, made: Sequence[Together], *, sent_again: int
) -> str:
    """Return the line. made: decisions about the run, newest first; sent_again: to how many, as somebody decided."""
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
            why = _why(run.reason, made, Action.PAUSE)
            waits = "waits" if counts.queued == 1 else "wait"
            return f"Paused{why} {many(counts.queued, 'person')} {waits}; nothing is sent until you go on."
        case RunStatus.HELD:
            return f"Held{_because(run.reason)} Nothing is sent until you decide."
        case RunStatus.CANCELLED:
            why = _why(run.reason, made, Action.CANCEL)
            return (
                f"Cancelled{why} {has(counts.sent)} it, {number(counts.skipped)} will not get it."
            )
        case RunStatus.FAILED if not counts.recipients:
            return f"Failed{_because(run.reason)} Nothing was sent. Mend that, then use Run now on the schedule."
        case RunStatus.FAILED:
            return f"Failed{_because(run.reason)} Nobody got it. What the mail server said stands below."
    if not counts.recipients:
        return "No recipients: the audience was empty. Nothing was sent."
    if counts.skipped == counts.recipients:
        return "No recipients: everyone is suppressed, or was removed meanwhile. Nothing was sent."
    took = f"Done in {duration(summary.seconds or 0)}."
    if not sent_again:
        return f"{took} Nobody was sent it twice."
    again = many(sent_again, "person")
    return f"{took} Nobody was sent it twice, but for {again} to whom somebody decided to send it again."


def has(count: int) -> str:
    """1 -> 1 person has, 2 -> 2 people have"""
    return f"{many(count, 'person')} {'has' if count == 1 else 'have'}"


def _why(reason: str | None, made: Sequence[Together], action: Action) -> str:
    """Say who did it, where it was a person; else what the run says."""
    if reason is not None and reason not in _BY_A_PERSON:
        return _because(reason)
    by = next((one.by for one in made if one.action is action and not one.people), None)
    return f" by {by}." if by else _because(reason)


def _because(reason: str | None) -> str:
    if not reason:
        return "."
    return f": {reason}" if reason.endswith((".", "!", "?")) else f": {reason}."
