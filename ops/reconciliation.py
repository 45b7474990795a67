"""Does it add up? The ledger's counts and what a mail server really has, person by person."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from delivery.model import Counts
from mail.outbox import list_outbox

_PAGE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """What became of everybody.

    received counts the messages in the mail server's outbox; duplicates those beyond the first for one address; missing
    the addresses that got none; strangers messages to nobody on the list.
    """

    wanted: int
    counts: Counts
    received: int
    duplicates: int
    missing: int
    strangers: int

    @property
    def adds_up(self) -> bool:
        """Whether each of the people wanted has exactly one message, by the ledger and by the mail server."""
        counts = self.counts
        return (
            counts.recipients == self.wanted
            and counts.sent == self.wanted
            and not (counts.queued or counts.sending)
            and counts.recipients == counts.sent + counts.failed + counts.skipped + counts.in_doubt
            and self.received == self.wanted
            and not (self.duplicates or self.missing or self.strangers)
        )


def reconcile(wanted: Iterable[str], counts: Counts, received: Iterable[str]) -> Reconciliation:
    """Compare the addresses that were to get one message with those that messages came to."""
    people = set(wanted)
    got = Counter(received)
    return Reconciliation(
        wanted=len(people),
        counts=counts,
        received=got.total(),
        duplicates=sum(times - 1 for times in got.values()),
        missing=len(people - got.keys()),
        strangers=len(got.keys() - people),
    )


def received_in(outbox: Path) -> list[str]:
    """Return the address of every message in the outbox, as often as it is there."""
    found: list[str] = []
    before: int | None = None
    while page := list_outbox(outbox, q=None, before=before, limit=_PAGE):
        found += [address for item in page for address in item.rcpt_to]
        before = page[-1].id
    return found
