"""/api/audiences/{id}/import and /api/imports: CSV files on their way into an audience."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

from flask import Response, current_app
from flask_openapi.models.file import FileStorage
from pydantic import BeforeValidator, PlainValidator, WithJsonSchema

from assembly import Sendonce
from audience import csv_import, store
from audience.model import Import, ImportStatus, Rejected
from delivery import reads
from foundation.errors import NotFound
from foundation.log import log_for
from storage.aliveness import boot_id, process_lives
from storage.database import Tx
from web.csv_answers import PAGE, csv_answer, pages
from web.current import the_house
from web.fields import Answer, Body, ById, Id, Instant
from web.openapi import Resource

log = log_for(__name__)

resource = Resource("imports", "CSV files on their way into an audience")


def _is_file(given: object) -> object:
    # The library hands over werkzeug's kind of file.
    if isinstance(given, str):
        raise ValueError("must be a file")
    return given


def _truth(given: object) -> bool:
    match given:
        case "true" | "1":
            return True
        case "false" | "0" | "":
            return False
    raise ValueError("must be true or false")


def _mapping(given: object) -> dict[str, str]:
    try:
        mapping = json.loads(given) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        mapping = None
    if not isinstance(mapping, dict) or not all(isinstance(v, str) for v in mapping.values()):
        raise ValueError('must be a JSON object of texts, as {"E-Mail": "email"}')
    return mapping


_AS_TEXT = WithJsonSchema({"type": "string"})


class ImportForm(Body):
    """The file and how to read it. mapping is JSON: a column's name to email, name or an attribute."""

    file: Annotated[FileStorage, BeforeValidator(_is_file)]
    mapping: Annotated[dict[str, str] | None, PlainValidator(_mapping), _AS_TEXT] = None
    dry_run: Annotated[bool, PlainValidator(_truth), _AS_TEXT] = False


class ImportAnswer(Answer):
    """How far an import is; rejected counts the rows that were not taken."""

    id: Id
    audience_id: Id
    status: ImportStatus
    dry_run: bool
    progress: float
    added: int
    updated: int
    rejected: int
    detail: str | None
    created_at: Instant


@resource.post("/api/audiences/<id:id>/import", ImportAnswer, status=202)
def start_import(path: ById, form: ImportForm) -> ImportAnswer:
    """Begin to import a CSV file; GET /api/imports/{id} says how far it is."""
    house = the_house()
    with house.database.read() as tx:
        store.get_audience(tx, path.id)
    file = _kept(form.file)
    running = _running()
    running.add(file)
    try:
        # What is wrong with the file as a whole is said at once.
        csv_import.read_rows(file, form.mapping).close()
        with house.database.write(durable=True) as tx:
            begun = csv_import.start_import(
                tx,
                path.id,
                dry_run=form.dry_run,
                boot_id=boot_id(),
                pid=os.getpid(),
                now=house.clock.now(),
            )
    except BaseException:
        running.discard(file)
        file.unlink()
        raise
    _run_later(house, begun, file, form.mapping, running)
    return ImportAnswer.model_validate(begun)


@resource.get("/api/imports/<id:id>", ImportAnswer)
def get_import(path: ById) -> ImportAnswer:
    """Show how far an import is."""
    house = the_house()
    with house.database.read() as tx:
        found = csv_import.get_import(tx, path.id)
    if found.status is ImportStatus.RUNNING:
        with house.database.write(durable=False) as tx:
            fail_orphans(tx)
            found = csv_import.get_import(tx, path.id)
    return ImportAnswer.model_validate(found)


@resource.get("/api/imports/<id:id>/rejected.csv", "text/csv")
def rejected_csv(path: ById) -> Response:
    """Give the rows that were not taken as CSV, each with its line and the reason."""
    house = the_house()

    def read(after: int | None) -> list[Rejected]:
        with house.database.read() as tx:
            return csv_import.rejections(tx, path.id, after=after, limit=PAGE)

    with house.database.read() as tx:
        csv_import.get_import(tx, path.id)
    rows = ((r.row, r.email, r.reason) for r in pages(read, key=lambda rejected: rejected.row))
    return csv_answer(f"import-{path.id}-rejected", ("row", "email", "reason"), rows)


def fail_orphans(tx: Tx) -> None:
    """Mark the imports failed whose process has died."""
    csv_import.fail_orphans(tx, boot_id=boot_id(), alive=_is_alive)


def _kept(upload: FileStorage) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="sendonce-import-", suffix=".csv")
    with os.fdopen(descriptor, "wb") as file:
        upload.save(file)
    return Path(name)


def _run_later(
    house: Sendonce,
    begun: Import,
    file: Path,
    mapping: dict[str, str] | None,
    running: set[Path],
) -> None:
    def must_wait(tx: Tx) -> bool:
        return reads.being_materialised(tx, begun.audience_id) is not None

    def work() -> None:
        try:
            csv_import.run_import(
                house.database, begun.id, file, mapping, house.clock, must_wait=must_wait
            )
        except NotFound:
            log.info("audience deleted during its import", import_id=begun.id)
        finally:
            running.discard(file)
            file.unlink()

    house.background.run(f"import {begun.id}", work)


def _running() -> set[Path]:
    """Return the files that this process imports just now."""
    running: set[Path] = current_app.extensions.setdefault("sendonce_imports", set())
    return running


def _is_alive(pid: int) -> bool:
    """Say whether a process of this number may still work on an import."""
    if pid == os.getpid():  # a container gives each start the same number
        return bool(_running())
    return process_lives(pid)
