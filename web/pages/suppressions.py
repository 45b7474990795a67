"""/suppressions: who gets nothing, whatever audience they are in."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, request

from audience import suppressions
from audience.model import Suppression, SuppressionReason, SuppressionSource
from audience.pasted import Pasted
from delivery import outlines
from foundation.errors import Invalid, NotFound
from identity.model import Role
from storage.database import Tx
from web import audited, forms, problems
from web.api import suppressions as deeds
from web.api.suppressions import SuppressionPage
from web.csv_answers import PAGE as CSV_PAGE
from web.csv_answers import csv_answer
from web.csv_answers import pages as all_pages
from web.current import the_house
from web.fields import rfc3339
from web.forms import Filled
from web.held_back import REASONS, SOURCES
from web.page import Pages, go, is_ours, show
from web.pages.audience_add import SHOWN, NotTaken, read_people
from web.pages.suppression_file import in_words
from web.paging import next_cursor
from web.person import path_of
from web.schedule_rows import names_of
from web.shown import many

pages = Pages("suppressions")

PAGE = 50
LABELS = {"people": "Addresses", "reason": "Reason", "why": "Why"}
LONGEST_WHY = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionRow:
    """An address that gets nothing. source: how it came here; campaign: whose e-mail it was unsubscribed from."""

    suppression: Suppression
    path: str
    reason: str
    source: str | None
    campaign: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressionsPage:
    """What the page shows."""

    rows: Sequence[SuppressionRow]
    q: str
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPage:
    """The form. says: what came of it, where some were not taken; those still stand in the box."""

    form: Filled
    reasons: Sequence[tuple[str, str]]
    back: str
    says: str | None
    not_taken: Sequence[NotTaken]
    more: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovePage:
    """Whose suppression would end, and why it is there."""

    form: Filled
    suppression: Suppression
    reason: str
    back: str


@pages.blueprint.errorhandler(413)
def too_large(error: object) -> Response:
    """Say what to do with a text that is larger than a form may be."""
    return problems.problem(
        413,
        "Too much to paste",
        "The text is larger than 16 MB. Nobody was suppressed. Paste it in parts.",
    )


@pages.get("/suppressions")
def list_suppressions() -> Response:
    """List who gets nothing, newest first."""
    query = forms.checked(SuppressionPage, request.args.to_dict())
    q = (query.q or "").strip()
    house = the_house()
    names = names_of(house)
    with house.database.read() as tx:
        found = suppressions.list_(tx, q=q, after=query.key, limit=PAGE + 1)
        runs = outlines.by_id(tx, {one.run_id for one in found if one.run_id})
    cursor = next_cursor(found, limit=PAGE, key=lambda suppression: suppression.id)
    page = SuppressionsPage(
        rows=[
            SuppressionRow(
                suppression=one,
                path=path_of(one.email),
                reason=REASONS[one.reason],
                source=SOURCES[one.source] if one.source else None,
                campaign=names.campaign(runs[one.run_id].campaign_id)
                if one.run_id in runs
                else None,
            )
            for one in found[:PAGE]
        ],
        q=q,
        first=_path(q=q) if query.cursor else None,
        next=_path(q=q, cursor=cursor) if cursor else None,
    )
    return show("suppressions.html", page=page, section="Suppressions")


@pages.get("/suppressions.csv")
def export() -> Response:
    """Give all of them as CSV."""
    house = the_house()

    def read(after: int | None) -> list[Suppression]:
        with house.database.read() as tx:
            return suppressions.list_(tx, q=None, after=after, limit=CSV_PAGE)

    return csv_answer(
        "suppressions",
        ("email", "reason", "since", "source", "run_id"),
        (
            (one.email, one.reason, rfc3339(one.created_at), one.source, one.run_id)
            for one in all_pages(read, key=lambda suppression: suppression.id)
        ),
    )


@pages.get("/suppressions/new", role=Role.EDITOR)
def ask() -> Response:
    """Ask for addresses."""
    values = {"people": request.args.get("email"), "reason": SuppressionReason.MANUAL}
    return _ask(Filled(values=values), back=_back(request.args.get("back")))


@pages.post("/suppressions/new")
def suppress() -> Response:
    """Suppress these addresses; those that can't be read stay in the box."""
    house = the_house()
    back = _back(request.form.get("back"))
    try:
        people = read_people(forms.text("people"), nothing_done="Nobody was suppressed.")
        reason = _reason()
    except Invalid as error:
        return _ask(forms.as_typed(error, LABELS), back=back, status=422)
    readable = [one for one in people if one.wrong is None]
    with house.database.write(durable=True) as tx:
        added, rejected = suppressions.add_all(
            tx,
            [one.email for one in readable],
            reason,
            house.clock.now(),
            source=SuppressionSource.HAND,
        )
        _note_adding(tx, readable, reason, added=added)
    why = {id(one): one.wrong for one in people if one.wrong is not None}
    why |= {id(readable[one.row - 1]): one.reason for one in rejected}
    done = in_words(added, len(people) - len(why) - added)
    if not why:
        return go(back, say=done)
    left = [one for one in people if id(one) in why]
    return _ask(
        Filled(values={"people": "\n".join(one.text for one in left), "reason": reason}),
        back=back,
        says=f"{done} {many(len(left), 'line')} can't be read and still"
        f" {'stands' if len(left) == 1 else 'stand'} in the box: correct and add again.",
        not_taken=_not_taken(left, (why[id(one)] for one in left)),
        status=200 if len(left) < len(people) else 422,
    )


@pages.get("/suppressions/remove", role=Role.ADMIN)
def ask_remove() -> Response:
    """Say what it means to let somebody get mail again, and ask why."""
    back = _back(request.args.get("back"))
    return _ask_remove(request.args.get("email", ""), Filled(values={}), back=back)


@pages.post("/suppressions/remove", role=Role.ADMIN)
def remove() -> Response:
    """Let somebody get mail again; why stands in the audit log."""
    email = forms.text("email")
    why = " ".join(forms.text("why").split())
    if not why or len(why) > LONGEST_WHY:
        says = f"Say why, in at most {LONGEST_WHY} characters. Nothing was changed."
        form = forms.as_typed(Invalid.field("why", says), LABELS)
        return _ask_remove(email, form, back=_back(request.form.get("back")), status=422)
    with the_house().database.write(durable=True) as tx:
        deeds.remove(tx, email, why=why)
    return go(_back(request.form.get("back")), say=f"{email} may be mailed again.")


def _ask_remove(email: str, form: Filled, *, back: str, status: int = 200) -> Response:
    with the_house().database.read() as tx:
        found = suppressions.find(tx, email)
    if found is None:
        raise NotFound(f"{email} is not suppressed.")
    page = RemovePage(form=form, suppression=found, reason=REASONS[found.reason], back=back)
    return show("suppression_remove.html", status=status, page=page, section="Suppressions")


def _note_adding(
    tx: Tx, people: Sequence[Pasted], reason: SuppressionReason, *, added: int
) -> None:
    if added == 1 and len(people) == 1:
        deeds.note_adding(tx, people[0].email, reason)
    elif added:
        after = {"addresses": added, "reason": str(reason)}
        audited.note(tx, "suppress", "suppressions:pasted", after=after)
    else:
        audited.nothing_to_note()


def _reason() -> SuppressionReason:
    try:
        return SuppressionReason(forms.text("reason"))
    except ValueError:
        raise Invalid.field("reason", "Choose one of the reasons.") from None


def _not_taken(left: Sequence[Pasted], why: Iterable[str | None]) -> list[NotTaken]:
    return [
        NotTaken(line=line, text=one.text, reason=str(reason))
        for line, (one, reason) in enumerate(zip(left, why, strict=True), start=1)
    ]


def _ask(
    form: Filled,
    *,
    back: str,
    says: str | None = None,
    not_taken: Sequence[NotTaken] = (),
    status: int = 200,
) -> Response:
    page = AddPage(
        form=form,
        reasons=[(str(reason), words) for reason, words in REASONS.items()],
        back=back,
        says=says,
        not_taken=not_taken[:SHOWN],
        more=max(0, len(not_taken) - SHOWN),
    )
    return show("suppression_add.html", status=status, page=page, section="Suppressions")


def _back(given: str | None) -> str:
    """Return the person's page where the button was on it, else the list."""
    return str(given) if is_ours(given) and str(given).startswith("/recipients/") else _path()


def _path(**query: str | None) -> str:
    given = {name: value for name, value in query.items() if value}
    return "/suppressions" + ("?" + urlencode(given) if given else "")
