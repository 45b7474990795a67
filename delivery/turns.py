"""Whose turn it is at an account that several runs share. Pure: in memory, for the leasing thread alone."""

from collections.abc import Collection


class Turns:
    """Remembers which run was served last at each account: who has waited longest comes first.

    Counted by what was leased, not by looks: a look that finds no room, or a run at another account, moves nobody's
    turn. So an account that takes one mail at a time serves all its runs alike.
    """

    def __init__(self) -> None:
        self._served: dict[tuple[int, int], int] = {}
        self._number = 0

    def in_order(self, account_id: int, run_ids: Collection[int]) -> list[int]:
        """Return these runs in the order in which the account serves them; one that is new is first."""
        return sorted(run_ids, key=lambda run_id: self._served.get((account_id, run_id), 0))

    def served(self, account_id: int, run_id: int) -> None:
        """Note that something of the run was leased for the account."""
        self._number += 1
        self._served[account_id, run_id] = self._number

    def keep_only(self, run_ids: Collection[int]) -> None:
        """Forget runs that are not on their way any more."""
        self._served = {key: n for key, n in self._served.items() if key[1] in run_ids}
