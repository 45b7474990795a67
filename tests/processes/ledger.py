"""What the ledger of a data directory says, read beside the servers that run on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from delivery import reads
from delivery.certificate import Certificate, certify
from delivery.model import DeliveryStatus, Run
from storage import aliveness
from storage.aliveness import Leader
from storage.database import Database


class Ledger:
    """The rows as they are now; it writes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def leader(self) -> Leader:
        """Return who leads, or led last."""
        with self._database.read() as tx:
            found = aliveness.newest_leader(tx)
        assert found is not None, "nobody has led yet"
        return found

    def runs(self, schedule_id: int) -> list[Run]:
        with self._database.read() as tx:
            return reads.list_runs(
                tx, schedule_id=schedule_id, status=None, before=None, limit=1000
            )

    def addresses(self, run_id: int) -> dict[DeliveryStatus, set[str]]:
        """Return who is in which state; a person who has two rows fails."""
        with self._database.read() as tx:
            rows = reads.list_deliveries(
                tx, run_id, status=None, q=None, after=None, limit=1_000_000
            )
        assert len({row.email for row in rows}) == len(rows)
        return {
            status: {row.email for row in rows if row.status == status} for status in DeliveryStatus
        }

    def certificate(self, run_id: int) -> Certificate:
        with self._database.read() as tx:
            return certify(tx, run_id, datetime.now(UTC))


@contextmanager
def ledger_of(folder: Path) -> Iterator[Ledger]:
    """Give the ledger of the servers that run on this folder; there must be one."""
    database = Database(folder / "data" / "sendonce.db")
    try:
        yield Ledger(database)
    finally:
        database.close()
