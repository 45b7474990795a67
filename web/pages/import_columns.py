"""/audiences/{id}/import/{token}: which column of the file is what."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flask import Response, request

from audience import store
from audience.csv_look import Column, Look, look_into
from audience.model import Audience
from audience.uploads import Upload
from identity.model import Role
from web import forms, importing
from web.audited import leaves_no_trace
from web.current import the_house
from web.forms import Filled, Mistake
from web.page import Pages, go, show
from web.pages.imports import uploads

pages = Pages("import-columns")

LONGEST_ATTRIBUTE = 200

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8",
    "cp1252": "Windows-1252",
    "cp1250": "Windows-1250",
    "cp1254": "Windows-1254",
    "cp1257": "Windows-1257",
    "latin-1": "Latin-1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRow:
    """A column of the file. to and name are form fields: what it becomes, and the attribute's name."""

    column: Column
    to: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnsPage:
    """What the page shows. other_way: where to read the first row as the other thing."""

    form: Filled
    audience: Audience
    upload: Upload
    look: Look
    columns: Sequence[ColumnRow]
    encoding: str
    separator: str
    here: str
    other_way: str


@pages.get("/audiences/<id:audience_id>/import/<token>", role=Role.EDITOR)
def columns(audience_id: int, token: str) -> Response:
    """Show the columns with what they most likely are, or with what was said of them before."""
    upload = uploads().find(token, audience_id)
    said = request.args.get("header", "yes" if upload.has_header else "no")
    look = _look(upload, has_header=said != "no")
    same_reading = look.has_header == upload.has_header
    mapping = upload.mapping if upload.mapping is not None and same_reading else {}
    return _show(upload, look, Filled(values=_values(look.columns, mapping)))


@pages.post("/audiences/<id:audience_id>/import/<token>")
@leaves_no_trace
def say(audience_id: int, token: str) -> Response:
    """Take what the columns are, and begin to try the file with that."""
    kept = uploads()
    upload = kept.find(token, audience_id)
    look = _look(upload, has_header=forms.text("header") != "no")
    targets = {column.name: _target(at) for at, column in enumerate(look.columns)}
    mistakes = _mistakes(targets)
    if mistakes:
        values = {name: request.form.get(name) for name in request.form}
        return _show(upload, look, Filled(values=values, mistakes=mistakes), status=422)
    source = importing.Source(file=kept.file(token), mapping=targets, has_header=look.has_header)
    trial = importing.begin(audience_id, source, dry_run=True, when_done=lambda: None)
    kept.note(
        replace(
            upload,
            mapping=targets,
            has_header=look.has_header,
            rows=look.rows,
            check_id=trial.id,
        )
    )
    return go(f"/audiences/{audience_id}/import/{token}/check")


def _look(upload: Upload, *, has_header: bool) -> Look:
    return look_into(uploads().existing(upload.token), has_header=has_header)


def _target(at: int) -> str:
    """Return what a column becomes, as csv_columns.roles_of takes it."""
    chosen = forms.text(f"to_{at}")
    return forms.text(f"as_{at}").strip() if chosen == "attribute" else chosen


def _values(found: Sequence[Column], mapping: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for at, column in enumerate(found):
        guess = column.guess.removeprefix("=")
        target = mapping.get(column.name, guess)
        is_attribute = column.name not in mapping and column.guess.startswith("=")
        role = target if target in ("email", "name", "") and not is_attribute else "attribute"
        values[f"to_{at}"] = role
        values[f"as_{at}"] = target if role == "attribute" else column.name
    return values


def _mistakes(targets: Mapping[str, str]) -> list[Mistake]:
    """Say what is wrong with what the columns become."""
    mistakes = []
    roles = [forms.text(f"to_{at}") for at in range(len(targets))]
    if roles.count("email") != 1:
        says = (
            "No column holds the e-mail address. Say which one does."
            if "email" not in roles
            else "Several columns hold the e-mail address. Only one can: leave the others out."
        )
        mistakes.append(Mistake(field="columns", label="Columns", message=says))
    if roles.count("name") > 1:
        says = "Several columns hold the name. Only one can: make the others attributes."
        mistakes.append(Mistake(field="columns", label="Columns", message=says))
    names = [
        target for target, role in zip(targets.values(), roles, strict=True) if role == "attribute"
    ]
    for at, (column, target) in enumerate(targets.items()):
        wrong = _wrong_name(target, names) if roles[at] == "attribute" else None
        if roles[at] not in ("email", "name", "attribute", ""):
            wrong = "Choose what this column becomes."
        if wrong is not None:
            mistakes.append(Mistake(field=f"as_{at}", label=f"Column {column}", message=wrong))
    return mistakes


def _wrong_name(name: str, names: Sequence[str]) -> str | None:
    if not name:
        return "The attribute has no name. Give it one, or leave the column out."
    if name in ("email", "name"):
        return f"An attribute can't be called {name}. Choose another name."
    if len(name) > LONGEST_ATTRIBUTE or _CONTROL.search(name):
        return f"The name must be one line of at most {LONGEST_ATTRIBUTE} characters."
    if names.count(name) > 1:
        return f"Several columns become {name}. Give each a name of its own."
    return None


def _show(upload: Upload, look: Look, form: Filled, *, status: int = 200) -> Response:
    with the_house().database.read() as tx:
        audience = store.get_audience(tx, upload.audience_id)
    here = f"/audiences/{upload.audience_id}/import/{upload.token}"
    page = ColumnsPage(
        form=form,
        audience=audience,
        upload=upload,
        look=look,
        columns=[
            ColumnRow(column=column, to=f"to_{at}", name=f"as_{at}")
            for at, column in enumerate(look.columns)
        ],
        encoding=_ENCODINGS.get(look.encoding, look.encoding.upper()),
        separator=_SEPARATORS.get(look.delimiter, look.delimiter),
        here=here,
        other_way=f"{here}?header={'no' if look.has_header else 'yes'}",
    )
    return show("import_columns.html", status=status, page=page, section="Audiences")
