"""Notices when one recipient after the other is refused for the sender's sake, or the content's, not for theirs."""

from delivery.outcome import (
    AccountFault,
    Failed,
    NotBegun,
    Outcome,
    is_bad_address,
    is_policy_refusal,
    is_too_large,
)

LONGEST_STREAK = 20


class RefusalStreak:
    """The refusals in a row of one run through one account."""

    def __init__(self) -> None:
        self._refused: list[tuple[int, Failed]] = []

    def add(self, delivery_id: int, outcome: Outcome) -> tuple[int, ...]:
        """Count one outcome; return the refused deliveries once they are too many in a row, else none.

        Too many are twenty that all speak of the sender (5.4.5, 5.7.x), or of a mail that is too large (5.3.4), or all
        say one and the same. A refusal that speaks of the address (5.1.x) is a bad list: it ends the row, as a mail
        that was taken does.
        """
        if isinstance(outcome, NotBegun | AccountFault):
            return ()
        if not isinstance(outcome, Failed) or outcome.gave_up or _is_about_the_address(outcome):
            self._refused = []
            return ()
        if not _alike([*(failed for _, failed in self._refused), outcome]):
            self._refused = []
        self._refused.append((delivery_id, outcome))
        if len(self._refused) < LONGEST_STREAK:
            return ()
        ids = tuple(i for i, _ in self._refused)
        self._refused = []
        return ids


def words(failed: Failed) -> str:
    """Return what was said: the server's own words where it said something."""
    return failed.reason if failed.reply is None else str(failed.reply)


def _is_about_the_address(failed: Failed) -> bool:
    return failed.reply is not None and is_bad_address(failed.reply)


def _alike(row: list[Failed]) -> bool:
    if len({words(failed) for failed in row}) == 1:
        return True
    replies = [failed.reply for failed in row if failed.reply is not None]
    if len(replies) < len(row):
        return False
    return all(map(is_policy_refusal, replies)) or all(map(is_too_large, replies))
