"""/audiences/{id}/import: a CSV file, step by step: the file, its columns, a trial, and how the import goes.

What a person has said so far stands beside the file in the data directory (audience.uploads), so that each step may be
answered by another process.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from flask import Response, request

from audience import csv_import, store
from audience.csv_look import look_into
from audience.model import Audience, Rejected
from audience.uploads import Upload, Uploads
from foundation.errors import Conflict, Invalid, NotFound
from identity.model import Role
from web import forms, importing, problems
from web.audited import leaves_no_trace, nothing_to_note
from web.current import the_house
from web.forms import Filled
from web.importing import Progress
from web.page import Pages, go, show
from web.strict_json import MOST_BYTES

pages = Pages("imports")

SHOWN = 20
LONGEST_NAME = 100
TOO_LARGE = (
    "The file is larger than 16 MB, which is the most that can be uploaded here. Nothing was imported. Where Sendonce"
    " runs, python app.py import-recipients takes files of any size."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """Step 1. most_bytes: how large a file may be, with room for the form around it."""

    form: Filled
    audience: Audience
    most_bytes: int
    too_large: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPage:
    """Step 3: what an import would do. is_begun: somebody has begun it already."""

    audience: Audience
    upload: Upload
    trial: Progress
    rejected: Sequence[Rejected]
    more: int
    is_begun: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportPage:
    """Step 4: how the import goes."""

    audience: Audience
    progress: Progress
    rejected: Sequence[Rejected]
    more: int


@pages.blueprint.errorhandler(413)
def too_large(error: object) -> Response:
    """Say what to do with a file that is too large to upload."""
    return problems.problem(413, "The file is too large", TOO_LARGE)


@pages.get("/audiences/<id:audience_id>/import", role=Role.EDITOR)
def ask_file(audience_id: int) -> Response:
    """Ask for the file."""
    return _ask_file(audience_id, Filled(values={}))


@pages.post("/audiences/<id:audience_id>/import")
@leaves_no_trace
def receive(audience_id: int) -> Response:
    """Keep the file, and look into it."""
    house = the_house()
    now = house.clock.now()
    file = request.files.get("file")
    try:
        if file is None or not file.filename:
            raise Invalid.field("file", "Choose a CSV file.")
        with house.database.read() as tx:
            store.get_audience(tx, audience_id)
        kept = uploads()
        kept.sweep(now)
        token, path = kept.receive(file.save)
        try:
            look = look_into(path)
        except BaseException:
            path.unlink()
            raise
    except Invalid as error:
        return _ask_file(audience_id, forms.as_typed(error, {"file": "File"}), status=422)
    kept.note(
        Upload(
            token=token,
            audience_id=audience_id,
            name=_shown_name(file.filename),
            rows=look.rows,
            has_header=look.has_header,
            kept_at=now,
        )
    )
    return go(f"/audiences/{audience_id}/import/{token}")


@pages.get("/audiences/<id:audience_id>/import/<token>/check", role=Role.EDITOR)
def check(audience_id: int, token: str) -> Response:
    """Show what the import would do, once the trial has gone through the file."""
    upload = uploads().find(token, audience_id)
    if upload.check_id is None:
        return go(f"/audiences/{audience_id}/import/{token}")
    trial = importing.progress_of(importing.how_far(upload.check_id))
    page = CheckPage(
        audience=_found(audience_id),
        upload=upload,
        trial=trial,
        rejected=_rejected(trial.id),
        more=max(0, trial.rejected - SHOWN),
        is_begun=upload.import_id is not None,
    )
    return show("import_check.html", page=page, section="Audiences")


@pages.post("/audiences/<id:audience_id>/import/<token>/start")
def start(audience_id: int, token: str) -> Response:
    """Begin the import; of two who do, one does, and both see it."""
    kept = uploads()
    upload = kept.find(token, audience_id)
    if upload.mapping is None:
        nothing_to_note()
        return go(f"/audiences/{audience_id}/import/{token}")
    if forms.whole("check") != upload.check_id:
        raise Conflict(
            "The columns were said anew meanwhile, so this is not what you have looked at. Nothing was imported."
            " Look at the check again, then import."
        )
    try:
        file = kept.take(token)
    except NotFound:
        return _who_was_first(kept, kept.find(token, audience_id))
    source = importing.Source(file=file, mapping=upload.mapping, has_header=upload.has_header)
    try:
        begun = importing.begin(audience_id, source, dry_run=False, when_done=file.unlink)
    except BaseException:
        kept.give_back(token)
        raise
    kept.note(replace(upload, import_id=begun.id))
    return go(_path(begun.audience_id, begun.id))


@pages.get("/audiences/<id:audience_id>/imports/<id:import_id>")
def show_import(audience_id: int, import_id: int) -> Response:
    """Show how an import goes, or how it went."""
    found = importing.how_far(import_id)
    if found.audience_id != audience_id or found.dry_run:
        raise NotFound(f"There is no import {import_id} into this audience.")
    progress = importing.progress_of(found)
    page = ImportPage(
        audience=_found(audience_id),
        progress=progress,
        rejected=_rejected(import_id),
        more=max(0, progress.rejected - SHOWN),
    )
    return show("import.html", page=page, section="Audiences")


def uploads() -> Uploads:
    """Return the files that were sent and not imported yet."""
    house = the_house()
    return Uploads(house.settings.data_dir, disk=house.disk)


def _who_was_first(kept: Uploads, upload: Upload) -> Response:
    if upload.import_id is None:
        if kept.give_back_abandoned(upload.token, the_house().clock.now()):
            raise Conflict(
                "The process that was about to import this file has died. Nothing was imported. Press Import again."
            )
        raise Conflict("This file is just being imported. Look at the audience in a moment.")
    nothing_to_note()
    return go(_path(upload.audience_id, upload.import_id))


def _ask_file(audience_id: int, form: Filled, *, status: int = 200) -> Response:
    page = FilePage(
        form=form,
        audience=_found(audience_id),
        most_bytes=MOST_BYTES - 64 * 1024,
        too_large=TOO_LARGE,
    )
    return show("import_file.html", status=status, page=page, section="Audiences")


def _shown_name(name: str) -> str:
    printable = "".join(letter for letter in name if letter.isprintable())
    return printable.replace("\\", "/").rpartition("/")[2][:LONGEST_NAME] or "file.csv"


def _found(audience_id: int) -> Audience:
    with the_house().database.read() as tx:
        return store.get_audience(tx, audience_id)


def _rejected(import_id: int) -> list[Rejected]:
    with the_house().database.read() as tx:
        return csv_import.rejections(tx, import_id, after=None, limit=SHOWN)


def _path(audience_id: int, import_id: int) -> str:
    return f"/audiences/{audience_id}/imports/{import_id}"
