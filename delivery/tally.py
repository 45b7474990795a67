"""A run's counters, changed in the transaction that changes its deliveries: at any moment they add up."""

import functools
from collections import Counter, defaultdict

from sqlalchemy import Integer, bindparam, update

from delivery.model import DeliveryStatus
from delivery.tables import runs
from storage.database import Tx
from storage.prepared import Prepared


class Tally:
    """How deliveries moved in one transaction: written into their runs' counters before it is committed.

    Leased counts as queued.
    """

    def __init__(self) -> None:
        self._moves: defaultdict[int, Counter[str]] = defaultdict(Counter)

    def move(self, run_id: int, was: DeliveryStatus, becomes: DeliveryStatus, n: int = 1) -> None:
        """Count n deliveries that left one state for another."""
        self._moves[run_id][_counter(was)] -= n
        self._moves[run_id][_counter(becomes)] += n

    def write(self, tx: Tx) -> None:
        """Change the counters, one statement for each run."""
        for run_id, moves in self._moves.items():
            changes = {name: by for name, by in moves.items() if by}
            if changes:
                binds = {f"more_{name}": by for name, by in changes.items()}
                _change_of(tuple(changes)).run(tx, {"its_id": run_id} | binds)
        self._moves.clear()


@functools.cache
def _change_of(counters: tuple[str, ...]) -> Prepared:
    """Return the statement that changes these counters of a run."""
    more = {name: runs.c[name] + bindparam(f"more_{name}", type_=Integer) for name in counters}
    return Prepared(update(runs).where(runs.c.id == bindparam("its_id")).values(**more))


def _counter(status: DeliveryStatus) -> str:
    return DeliveryStatus.QUEUED if status == DeliveryStatus.LEASED else status
