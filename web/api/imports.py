"""/api/audiences/{id}/import and /api/imports: CSV files on their way into an audience."""

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

from flask import Response
from flask_openapi.models.file import FileStorage
from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from audience import csv_import, store
from audience.model import ImportStatus, Rejected
from web import importing
from web.csv_answers import PAGE, csv_answer, pages
from web.current import the_house
from web.fields import Answer, Body, ById, Id, Instant
from web.openapi import Resource

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
    duplicates: int | None = Field(description="Rows taken whose address an earlier row has")
    suppressed: int | None = Field(description="People taken who get no mail")
    detail: str | None
    created_at: Instant


@resource.post("/api/audiences/<id:id>/import", ImportAnswer, status=202)
def start_import(path: ById, form: ImportForm) -> ImportAnswer:
    """Begin to import a CSV file; GET /api/imports/{id} says how far it is."""
    with the_house().database.read() as tx:
        store.get_audience(tx, path.id)
    file = _kept(form.file)
    source = importing.Source(file=file, mapping=form.mapping)
    try:
        begun = importing.begin(path.id, source, dry_run=form.dry_run, when_done=file.unlink)
    except BaseException:
        file.unlink()
        raise
    return ImportAnswer.model_validate(begun)


@resource.get("/api/imports/<id:id>", ImportAnswer)
def get_import(path: ById) -> ImportAnswer:
    """Show how far an import is."""
    return ImportAnswer.model_validate(importing.how_far(path.id))


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


def _kept(upload: FileStorage) -> Path:
    descriptor, name = tempfile.mkstemp(prefix="sendonce-import-", suffix=".csv")
    with os.fdopen(descriptor, "wb") as file:
        upload.save(file)
    return Path(name)
