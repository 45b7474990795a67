"""CSV files on their way into an audience: batch by batch, with progress to read, and every row accounted for.

Each batch is a transaction of its own, so an import that dies leaves whole batches; repeating it updates them.
"""

import csv
import io
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Row, insert, select, update

from audience.checking import Checked, check
from audience.csv_file import CsvReader, read_rows
from audience.model import Added, Import, ImportStatus, Rejected
from audience.numbers import Numbers
from audience.store import add_checked, get_audience, would_add
from audience.suppressions import which_suppressed
from audience.tables import import_rejections, imports
from foundation.clock import Clock
from foundation.errors import Invalid, NotFound, SendonceError
from storage.database import Database, Tx

BATCH = 5_000
LARGE_BATCH = 20_000
_RETRY = timedelta(seconds=0.2)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

__all__ = [
    "CsvReader",
    "fail_orphans",
    "get_import",
    "read_rows",
    "rejected_csv",
    "rejections",
    "run_import",
    "running_import",
    "running_imports",
    "start_import",
]


def start_import(
    tx: Tx,
    audience_id: int,
    *,
    dry_run: bool,
    boot_id: str | None,
    pid: int,
    now: datetime,
) -> Import:
    """Note that this process is about to import a file. Raises NotFound."""
    get_audience(tx, audience_id)
    row = tx.execute(
        insert(imports)
        .values(
            audience_id=audience_id,
            status=ImportStatus.RUNNING,
            dry_run=dry_run,
            progress=0.0,
            added=0,
            updated=0,
            rejected=0,
            boot_id=boot_id,
            pid=pid,
            created_at=now,
        )
        .returning(imports)
    ).one()
    return _import(row)


def get_import(tx: Tx, import_id: int) -> Import:
    """Raises NotFound."""
    row = tx.execute(select(imports).where(imports.c.id == import_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no import {import_id}.")
    return _import(row)


def run_import(
    database: Database,
    import_id: int,
    path: Path,
    mapping: Mapping[str, str] | None,
    clock: Clock,
    *,
    has_header: bool = True,
    in_detail: bool = False,
    stopping: threading.Event | None = None,
    must_wait: Callable[[Tx], bool] = lambda tx: False,
    is_sending: Callable[[Tx], bool] = lambda tx: False,
    on_progress: Callable[[Import], None] = lambda found: None,
) -> Import:
    """Bring the file's rows into the audience, or for a dry run count what would come of it.

    in_detail also counts duplicates and suppressed people, for which it keeps a number for each address in memory; a
    dry run always does. must_wait is asked in each batch's transaction: true while a run's audience is being
    materialised. is_sending is asked there too: while it is true, batches are small, so that sending waits for a moment
    only. Returns the import as it ended: completed; or failed with a sentence in detail, when the file can't be read on
    or stopping was set. What was imported until then stays. Raises NotFound when the audience, and the import with it,
    was deleted.
    """
    stopping = stopping or threading.Event()
    try:
        with closing(read_rows(path, mapping, has_header=has_header)) as reader:
            detail = _import_all(
                database,
                import_id,
                reader,
                clock,
                in_detail,
                stopping,
                must_wait,
                is_sending,
                on_progress,
            )
    except SendonceError as error:
        message = error.errors[0].message if isinstance(error, Invalid) else error.message
        return _finish(database, import_id, ImportStatus.FAILED, message)
    if stopping.is_set():
        detail = (
            "The import was stopped before its end. What was imported stays; import the file again."
        )
        return _finish(database, import_id, ImportStatus.FAILED, detail)
    return _finish(database, import_id, ImportStatus.COMPLETED, detail)


def fail_orphans(tx: Tx, *, boot_id: str | None, alive: Callable[[int], bool]) -> int:
    """Mark the imports failed whose process has died, and return how many there were."""
    running = tx.execute(select(imports).where(imports.c.status == ImportStatus.RUNNING)).all()
    dead = [row.id for row in running if row.boot_id != boot_id or not alive(row.pid)]
    if dead:
        detail = "The process that worked on it has died. What was imported stays; import the file again."
        tx.execute(
            update(imports)
            .where(imports.c.id.in_(dead), imports.c.status == ImportStatus.RUNNING)
            .values(status=ImportStatus.FAILED, detail=detail)
        )
    return len(dead)


def running_import(tx: Tx, audience_id: int) -> int | None:
    """Return an import that still brings people into this audience, if there is one."""
    query = select(imports.c.id).where(
        imports.c.audience_id == audience_id, imports.c.status == ImportStatus.RUNNING
    )
    found: int | None = tx.execute(query.order_by(imports.c.id).limit(1)).scalar_one_or_none()
    return found


def running_imports(tx: Tx) -> list[Import]:
    """Return all imports that still run, dry runs left out, oldest first."""
    query = select(imports).where(
        imports.c.status == ImportStatus.RUNNING, imports.c.dry_run.is_(False)
    )
    return [_import(row) for row in tx.execute(query.order_by(imports.c.id))]


def rejections(tx: Tx, import_id: int, *, after: int | None, limit: int) -> list[Rejected]:
    """Return a page of the rows that were not taken, by line, after the line that ended the page before.

    Raises NotFound.
    """
    get_import(tx, import_id)
    query = select(import_rejections).where(
        import_rejections.c.import_id == import_id, import_rejections.c.row > (after or 0)
    )
    rows = tx.execute(query.order_by(import_rejections.c.row).limit(limit))
    return [Rejected(row=row.row, email=row.email, reason=row.reason) for row in rows]


def rejected_csv(rows: Iterable[Rejected]) -> Iterator[str]:
    """Write rejected rows as CSV, line by line; no cell is a formula to a spreadsheet."""
    yield _csv_line(("row", "email", "reason"))
    for row in rows:
        yield _csv_line((str(row.row), row.email, row.reason))


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow("'" + c if c.startswith(_FORMULA) else c for c in cells)
    return line.getvalue()


def _import_all(
    database: Database,
    import_id: int,
    reader: CsvReader,
    clock: Clock,
    in_detail: bool,
    stopping: threading.Event,
    must_wait: Callable[[Tx], bool],
    is_sending: Callable[[Tx], bool],
    on_progress: Callable[[Import], None],
) -> str | None:
    rows = iter(reader)
    intake = _Intake(in_detail=in_detail)
    size = BATCH
    # Checked outside the transaction: others write meanwhile.
    while not stopping.is_set() and (batch := check(islice(rows, size))):
        while not stopping.is_set():
            # Not durable: the last transaction carries all of them to the disk before anybody is told.
            with database.write(durable=False) as tx:
                found = get_import(tx, import_id)
                waits = not found.dry_run and must_wait(tx)
                if not waits:
                    size = BATCH if is_sending(tx) else LARGE_BATCH
                    taken = intake.take(tx, found, batch, clock.now())
                    on_progress(_note_progress(tx, found, taken, reader.share))
            if not waits:
                break
            clock.wait(stopping, _RETRY)
        del batch  # else it would be in memory beside the next
    if reader.encoding.startswith("utf-8"):
        return None
    return f"The file was read as {reader.encoding}."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What came of one batch."""

    added: int
    updated: int
    rejected: int
    duplicates: int | None
    suppressed: int | None


class _Intake:
    """Takes a file's batches, and remembers what came already: a number for each address."""

    def __init__(self, *, in_detail: bool) -> None:
        self._in_detail = in_detail
        self._came = Numbers()

    def take(
        self,
        tx: Tx,
        found: Import,
        new: Checked,
        now: datetime,
    ) -> _Taken:
        if found.dry_run:
            outcome = would_add(tx, found.audience_id, new, self._came)
        else:
            outcome = add_checked(tx, found.audience_id, new, now)
        _note_rejections(tx, found.id, outcome.rejected)
        duplicates, suppressed = (
            self._details(tx, outcome) if self._in_detail or found.dry_run else (None, None)
        )
        return _Taken(
            added=outcome.added,
            updated=outcome.updated,
            rejected=len(outcome.rejected),
            duplicates=duplicates,
            suppressed=suppressed,
        )

    def _details(self, tx: Tx, outcome: Added) -> tuple[int, int]:
        first_seen = [key for key in outcome.keys if self._came.add(hash(key))]
        return len(outcome.keys) - len(first_seen), len(which_suppressed(tx, first_seen))


def _note_rejections(tx: Tx, import_id: int, rejected: Sequence[Rejected]) -> None:
    rows = [
        {
            "import_id": import_id,
            "row": row.row,
            "email": row.email.encode(errors="replace").decode(),
            "reason": row.reason[:500].encode(errors="replace").decode(),
        }
        for row in rejected
    ]
    if rows:
        tx.execute(insert(import_rejections), rows)


def _note_progress(tx: Tx, found: Import, taken: _Taken, share: float) -> Import:
    row = tx.execute(
        update(imports)
        .where(imports.c.id == found.id)
        .values(
            progress=share,
            added=found.added + taken.added,
            updated=found.updated + taken.updated,
            rejected=found.rejected + taken.rejected,
            duplicates=_sum(found.duplicates, taken.duplicates),
            suppressed=_sum(found.suppressed, taken.suppressed),
        )
        .returning(imports)
    ).one()
    return _import(row)


def _sum(before: int | None, more: int | None) -> int | None:
    return None if more is None else (before or 0) + more


def _finish(database: Database, import_id: int, status: ImportStatus, detail: str | None) -> Import:
    values: dict[str, Any] = {"status": status, "detail": detail and detail[:1000]}
    if status is ImportStatus.COMPLETED:
        values["progress"] = 1.0
    with database.write(durable=True) as tx:
        tx.execute(update(imports).where(imports.c.id == import_id).values(**values))
        return get_import(tx, import_id)


def _import(row: Row[Any]) -> Import:
    return Import(
        id=row.id,
        audience_id=row.audience_id,
        status=ImportStatus(row.status),
        dry_run=row.dry_run,
        progress=row.progress,
        added=row.added,
        updated=row.updated,
        rejected=row.rejected,
        duplicates=row.duplicates,
        suppressed=row.suppressed,
        detail=row.detail,
        created_at=row.created_at,
    )
