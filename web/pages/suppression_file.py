"""/suppressions/import: addresses that get nothing, out of a file: a bounce list, or another program's unsubscribes."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from flask import Response, request

from audience import suppressions
from audience.csv_file import read_rows
from audience.csv_look import look_into
from audience.model import NewRecipient, Rejected, SuppressionReason, SuppressionSource
from foundation.errors import Invalid
from identity.model import Role
from storage.database import Tx
from web import audited, forms, problems
from web.current import the_house
from web.forms import Filled
from web.held_back import REASONS
from web.page import Pages, go, show
from web.shown import many, number
from web.strict_json import MOST_BYTES

pages = Pages("suppression-file")

LABELS = {"file": "File", "reason": "Reason"}
SHOWN = 20
BATCH = 5_000
TOO_LARGE = (
    "The file is larger than 16 MB, which is the most that can be uploaded here. Nobody was suppressed. Upload it in"
    " parts."
)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a file. rejected: the first rows that were not taken, of so many."""

    added: int
    already: int
    left_out: int
    rejected: list[Rejected]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePage:
    """The form, or what came of it."""

    form: Filled
    reasons: Sequence[tuple[str, str]]
    most_bytes: int
    too_large: str
    outcome: Outcome | None


@pages.blueprint.errorhandler(413)
def too_large(error: object) -> Response:
    """Say what to do with a file that is too large to upload."""
    return problems.problem(413, "The file is too large", TOO_LARGE)


@pages.get("/suppressions/import", role=Role.EDITOR)
def ask() -> Response:
    """Ask for the file."""
    return _show(Filled(values={"reason": SuppressionReason.MANUAL}))


@pages.post("/suppressions/import")
def take() -> Response:
    """Suppress every address in the file; repeated, it changes nothing."""
    file = request.files.get("file")
    try:
        reason = _reason(forms.text("reason"))
        if file is None or not file.filename:
            raise Invalid.field("file", "Choose a file.")
        with tempfile.NamedTemporaryFile(prefix="sendonce-suppressions-", suffix=".csv") as kept:
            file.save(kept)
            kept.flush()
            outcome = _take_all(Path(kept.name), reason)
    except Invalid as error:
        return _show(forms.as_typed(error, LABELS), status=422)
    if outcome.left_out:
        return _show(Filled(values={"reason": reason}), outcome=outcome)
    return go("/suppressions", say=in_words(outcome.added, outcome.already))


def in_words(added: int, already: int) -> str:
    """3 addresses are suppressed now. 1 was already."""
    done = f"{many(added, 'address')} {'is' if added == 1 else 'are'} suppressed now."
    if not already:
        return done
    return f"{done} {number(already)} {'was' if already == 1 else 'were'} already."


def _take_all(path: Path, reason: SuppressionReason) -> Outcome:
    house = the_house()
    outcome = Outcome(added=0, already=0, left_out=0, rejected=[])
    rows = _rows(path)
    # In pieces, so that sending waits for a moment only.
    while batch := list(islice(rows, BATCH)):
        with house.database.write(durable=True) as tx:
            _take(tx, batch, reason, outcome)
    with house.database.write(durable=True) as tx:
        if outcome.added:
            after = {"addresses": outcome.added, "reason": str(reason)}
            audited.note(tx, "suppress", "suppressions:file", after=after)
    return outcome


def _take(
    tx: Tx, rows: Sequence[NewRecipient | Rejected], reason: SuppressionReason, outcome: Outcome
) -> None:
    by_reason: dict[SuppressionReason, list[NewRecipient]] = {}
    wrong = [row for row in rows if isinstance(row, Rejected)]
    for row in rows:
        if isinstance(row, NewRecipient):
            by_reason.setdefault(_own_reason(row) or reason, []).append(row)
    for its, theirs in by_reason.items():
        added, rejected = suppressions.add_all(
            tx,
            [row.email for row in theirs],
            its,
            the_house().clock.now(),
            source=SuppressionSource.FILE,
        )
        outcome.added += added
        outcome.already += len(theirs) - len(rejected) - added
        wrong += [
            Rejected(row=theirs[one.row - 1].row, email=one.email, reason=one.reason)
            for one in rejected
        ]
    outcome.left_out += len(wrong)
    room = SHOWN - len(outcome.rejected)
    outcome.rejected += sorted(wrong, key=lambda one: one.row)[: max(0, room)]


def _rows(path: Path) -> Iterator[NewRecipient | Rejected]:
    """Go through the file's rows: the column that holds addresses, and a column called reason, as our export has it."""
    look = look_into(path)
    roles = {column.name: "" for column in look.columns}
    found = next((column for column in look.columns if column.guess == "email"), None)
    if found is None:
        raise Invalid.field("file", "No column of this file holds e-mail addresses.")
    roles |= {name: "reason" for name in roles if name.strip().lower() == "reason"}
    roles[found.name] = "email"
    with closing(read_rows(path, roles, has_header=look.has_header)) as reader:
        yield from reader


def _own_reason(row: NewRecipient) -> SuppressionReason | None:
    try:
        return SuppressionReason(row.attributes.get("reason", "").strip().lower())
    except ValueError:
        return None


def _reason(text: str) -> SuppressionReason:
    try:
        return SuppressionReason(text)
    except ValueError:
        raise Invalid.field("reason", "Choose one of the reasons.") from None


def _show(form: Filled, *, outcome: Outcome | None = None, status: int = 200) -> Response:
    page = FilePage(
        form=form,
        reasons=[(str(reason), words) for reason, words in REASONS.items()],
        most_bytes=MOST_BYTES - 64 * 1024,
        too_large=TOO_LARGE,
        outcome=outcome,
    )
    return show("suppression_file.html", status=status, page=page, section="Suppressions")
