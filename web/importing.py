"""Imports of CSV files, as the API and the pages begin them and look after them: in the background, one at a time."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import current_app

from audience import csv_import, store
from audience.model import Import, ImportStatus
from delivery import reads
from foundation.errors import NotFound
from foundation.log import log_for
from storage.aliveness import boot_id, process_lives
from storage.database import Tx
from web import audited
from web.current import the_house

log = log_for(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file, and how it is to be read."""

    file: Path
    mapping: Mapping[str, str] | None
    has_header: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an import is, as pages show it. again: rows for people whom an earlier row names already."""

    id: int
    audience_id: int
    is_running: bool
    is_trial: bool
    has_failed: bool
    percent: int
    rows: int
    people: int
    added: int
    updated: int
    again: int
    rejected: int
    suppressed: int
    detail: str | None


def progress_of(found: Import) -> Progress:
    """Return what pages show; rows are the sum of added, updated, again and rejected."""
    again = found.duplicates or 0
    return Progress(
        id=found.id,
        audience_id=found.audience_id,
        is_running=found.status is ImportStatus.RUNNING,
        is_trial=found.dry_run,
        has_failed=found.status is ImportStatus.FAILED,
        percent=int(100 * found.progress),
        rows=found.added + found.updated + found.rejected,
        people=found.added + found.updated - again,
        added=found.added,
        updated=found.updated - again,
        again=again,
        rejected=found.rejected,
        suppressed=found.suppressed or 0,
        detail=found.detail,
    )


def begin(
    audience_id: int, source: Source, *, dry_run: bool, when_done: Callable[[], object]
) -> Import:
    """Begin to import a file, or to try it; how_far says how it does.

    when_done is called once the file is not needed any more. Raises NotFound, and Invalid where the file as a whole
    can't be read; the file is the caller's again then.
    """
    house = the_house()
    running = _running()
    mark = object()
    running.add(mark)
    try:
        # What is wrong with the file as a whole is said at once.
        csv_import.read_rows(source.file, source.mapping, has_header=source.has_header).close()
        with house.database.write(durable=True) as tx:
            begun = csv_import.start_import(
                tx,
                audience_id,
                dry_run=dry_run,
                boot_id=boot_id(),
                pid=os.getpid(),
                now=house.clock.now(),
            )
            if dry_run:
                audited.nothing_to_note()
            else:
                name = store.get_audience(tx, audience_id).name
                after = {"import": begun.id}
                audited.note(tx, "import", f"audience:{audience_id}", label=name, after=after)
    except BaseException:
        running.discard(mark)
        raise

    def must_wait(tx: Tx) -> bool:
        return reads.being_materialised(tx, audience_id) is not None

    def work() -> None:
        try:
            csv_import.run_import(
                house.database,
                begun.id,
                source.file,
                source.mapping,
                house.clock,
                has_header=source.has_header,
                in_detail=True,  # what comes in a body has room in memory
                must_wait=must_wait,
                is_sending=reads.is_sending,
            )
        except NotFound:
            log.info("audience deleted during its import", import_id=begun.id)
        finally:
            running.discard(mark)
            when_done()

    house.background.run(f"import {begun.id}", work)
    return begun


def how_far(import_id: int) -> Import:
    """Return an import, marked failed if its process has died. Raises NotFound."""
    house = the_house()
    with house.database.read() as tx:
        found = csv_import.get_import(tx, import_id)
    if found.status is ImportStatus.RUNNING:
        with house.database.write(durable=False) as tx:
            fail_orphans(tx)
            found = csv_import.get_import(tx, import_id)
    return found


def under_way() -> list[Import]:
    """Return the imports that run, dry runs left out."""
    house = the_house()
    with house.database.read() as tx:
        found = csv_import.running_imports(tx)
    if found:
        with house.database.write(durable=False) as tx:
            fail_orphans(tx)
            found = csv_import.running_imports(tx)
    return found


def fail_orphans(tx: Tx) -> None:
    """Mark the imports failed whose process has died."""
    csv_import.fail_orphans(tx, boot_id=boot_id(), alive=_is_alive)


def _running() -> set[object]:
    """Return a mark for each import that this process works on just now."""
    running: set[object] = current_app.extensions.setdefault("sendonce_imports", set())
    return running


def _is_alive(pid: int) -> bool:
    """Say whether a process of this number may still work on an import."""
    if pid == os.getpid():  # a container gives each start the same number
        return bool(_running())
    return process_lives(pid)
