"""Why somebody was not written to, in the words of pages: the codes that deliveries keep, and how the list was left."""

from collections.abc import Sequence

from audience.model import Audience, Recipient, Suppression, SuppressionReason, SuppressionSource
from delivery.history import PersonsDelivery, RunWithout
from web.shown import in_words

REASONS = {
    SuppressionReason.MANUAL: "Added by hand",
    SuppressionReason.UNSUBSCRIBED: "Unsubscribed",
    SuppressionReason.BOUNCED: "Bounced",
    SuppressionReason.COMPLAINED: "Complained",
}
SOURCES = {
    SuppressionSource.ONE_CLICK: "one-click",
    SuppressionSource.PAGE: "by the link in an e-mail",
    SuppressionSource.HAND: "entered here",
    SuppressionSource.FILE: "from a file",
    SuppressionSource.API: "through the API",
}
_SKIPPED = {
    "unsubscribed": "Not written to: unsubscribed",
    "bounced": "Not written to: the address had bounced",
    "complained": "Not written to: had complained",
    "manual": "Not written to: suppressed by hand",
    "cancelled": "The run was cancelled before its turn",
    "removed": "Was taken out of the audience before its turn",
}


def why_skipped(reason: str | None) -> str | None:
    """Return a delivery's reason in words; what a server or the program has said stays as it is."""
    return _SKIPPED.get(reason, reason) if reason else None


def why_skipped_then(one: PersonsDelivery, suppression: Suppression | None) -> str | None:
    """Return it with when and how, where the suppression that held the person back is still there."""
    if (
        suppression is None
        or one.reason != suppression.reason
        or suppression.created_at > one.updated_at
    ):
        return why_skipped(one.reason)
    return f"Not written to: {since(suppression, one.zone)}"


def since(suppression: Suppression, zone: str) -> str:
    """unsubscribed Mon 16 Nov 18:03 Europe/Berlin (one-click)"""
    how = f" ({SOURCES[suppression.source]})" if suppression.source else ""
    if (
        suppression.source is SuppressionSource.HAND
        and suppression.reason is SuppressionReason.MANUAL
    ):
        how = ""  # it says so already
    return f"{REASONS[suppression.reason].lower()} {in_words(suppression.created_at, zone)}{how}"


def why_not_in_it(run: RunWithout, entries: Sequence[tuple[Audience, Recipient]]) -> str | None:
    """Say why a run has no row for somebody who is in its audiences now; None where nothing that is kept tells."""
    theirs = [(audience, r) for audience, r in entries if audience.id in run.audience_ids]
    if theirs and all(r.id > run.recipient_ceiling for _, r in theirs):
        audience, first = min(theirs, key=lambda entry: entry[1].id)
        return f"Joined {audience.name} on {in_words(first.created_at, run.zone)}, after this run"
    if not run.materialised:
        return (
            f"The run was not carried out: {run.reason}"
            if run.reason
            else "Its list is still being made"
        )
    return None
