"""What it costs to make the deliveries of a run, in the pieces in which the dispatcher makes them."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import text

from benchmarks.figure import Figure
from benchmarks.sizes import Sizes
from delivery.leasing import MATERIALISED_AT_ONCE
from foundation.clock import SystemClock
from tests.delivery.builders import Books, books

_FILL = text(
    "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)"
    " INSERT INTO recipients (audience_id, email, address_key, name, attributes, created_at)"
    " SELECT :audience, 'rider' || n || '@example.com', 'rider' || n || '@example.com', 'Rider', '{}',"
    " '2026-03-02 09:00:00.000000' FROM numbers"
)


def materialising(sizes: Sizes) -> Iterator[Figure]:
    """Make all deliveries of a run, each piece durable."""
    with (
        tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as folder,
        books(Path(folder), SystemClock()) as ledger,
    ):
        run_id = ledger.claim(_filled(ledger, sizes.recipients))
        begun = time.perf_counter()
        ledger.materialise(run_id, rows=MATERIALISED_AT_ONCE)
        took = time.perf_counter() - begun
        assert ledger.run(run_id).counts.queued == sizes.recipients
    yield Figure(name="materialise", value=took / sizes.recipients * 1e6, unit="us")


def _filled(ledger: Books, rows: int) -> int:
    """Make an audience of so many people, without going through each of them; return its id."""
    audience_id = ledger.audience()
    with ledger.database.write(durable=False) as tx:
        tx.execute(_FILL, {"audience": audience_id, "rows": rows})
    ledger.database.checkpoint()
    return audience_id
