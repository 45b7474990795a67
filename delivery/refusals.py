"""Notices when a server refuses one recipient after the other for the sender's sake, not for theirs."""

from collections.abc import Sequence

from delivery.outcome import Failed, Outcome, is_bad_address, is_policy_refusal
from mail.reply import Reply

LONGEST_STREAK = 20


class RefusalStreak:
    """The refusals in a row of one run through one account."""

    def __init__(self) -> None:
        self._refused: list[tuple[int, Reply]] = []

    def add(self, delivery_id: int, outcome: Outcome) -> Sequence[int] | None:
        """Count one outcome; return the refused deliveries when they have become too many in a row.

        Too many are twenty that all speak of the sender (5.4.5, 5.7.x) or all say one and the same; refusals that speak
        of the address (5.1.x) are a bad list and count for nothing.
        """
        reply = outcome.reply if isinstance(outcome, Failed) else None
        if reply is None or is_bad_address(reply):
            self._refused = []
            return None
        if self._refused and not _alike([*(r for _, r in self._refused), reply]):
            self._refused = []
        self._refused.append((delivery_id, reply))
        if len(self._refused) < LONGEST_STREAK:
            return None
        ids = tuple(i for i, _ in self._refused)
        self._refused = []
        return ids


def _alike(replies: Sequence[Reply]) -> bool:
    return all(is_policy_refusal(r) for r in replies) or len({r.text for r in replies}) == 1
