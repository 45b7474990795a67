"""/audiences/{id}/add: people as they are pasted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from flask import Response

from audience import store
from audience.model import Added, Audience, NewRecipient
from audience.pasted import MOST, Pasted, read_pasted
from foundation.errors import Invalid
from identity.model import Role
from storage.database import Tx
from web import forms, problems
from web.api.audiences import note_adding
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.shown import many, number

pages = Pages("audience-add")

LABELS = {"people": "People"}
SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """One that was not taken: the line of the box on which it stands now, what it says, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AddPage:
    """The form. says: what came of it, where some were not taken; those still stand in the box."""

    form: Filled
    audience: Audience
    says: str | None
    not_taken: Sequence[NotTaken]
    more: int


@pages.blueprint.errorhandler(413)
def too_large(error: object) -> Response:
    """Say what to do with a text that is larger than a form may be."""
    return problems.problem(
        413,
        "Too much to paste",
        "The text is larger than 16 MB. Nobody was added. Save it as a CSV file and import that in parts.",
    )


@pages.get("/audiences/<id:audience_id>/add", role=Role.EDITOR)
def ask(audience_id: int) -> Response:
    """Ask for people."""
    return _show(audience_id, Filled(values={}))


@pages.post("/audiences/<id:audience_id>/add")
def add(audience_id: int) -> Response:
    """Add who can be added, and leave the others in the box."""
    try:
        people = read_people(forms.text("people"), nothing_done="Nobody was added.")
    except Invalid as error:
        return _show(audience_id, forms.as_typed(error, LABELS), status=422)
    house = the_house()
    with house.database.write(durable=True) as tx:
        audience = store.get_audience(tx, audience_id)
        added, not_taken = take(tx, audience_id, people, house.clock.now())
        note_adding(tx, audience_id, added)
    done = in_words(added)
    if not not_taken:
        return go(f"/audiences/{audience_id}", say=f"{audience.name}: {done}.")
    is_one = len(not_taken) == 1
    return _show(
        audience_id,
        Filled(values={"people": "\n".join(one.text for one in not_taken)}),
        says=f"{done}. {many(len(not_taken), 'line')} {'was' if is_one else 'were'} not taken and still"
        f" {'stands' if is_one else 'stand'} in the box: correct and add again.",
        not_taken=not_taken,
        status=200 if added.keys else 422,
    )


def read_people(text: str, *, nothing_done: str) -> list[Pasted]:
    """Return who stands in a text, and what can't be read of it. Raises Invalid on people for none and for too many."""
    people = read_pasted(text)
    if not people:
        raise Invalid.field("people", "Paste or type at least one address.")
    if len(people) > MOST:
        raise Invalid.field(
            "people",
            f"These are {number(len(people))}; at most {number(MOST)} are taken at once. {nothing_done}",
        )
    return people


def take(
    tx: Tx, audience_id: int, people: Sequence[Pasted], now: datetime
) -> tuple[Added, list[NotTaken]]:
    """Put those into the audience who can be, and return the others, numbered by themselves."""
    rows = [
        NewRecipient(row=place, email=one.email, name=one.name, attributes={})
        for place, one in enumerate(people)
        if one.wrong is None
    ]
    added = store.add_recipients(tx, audience_id, rows, now)
    why = {place: one.wrong for place, one in enumerate(people) if one.wrong is not None}
    why |= {rejected.row: rejected.reason for rejected in added.rejected}
    not_taken = [
        NotTaken(line=line, text=people[place].text, reason=str(why[place]))
        for line, place in enumerate(sorted(why), start=1)
    ]
    return added, not_taken


def in_words(added: Added) -> str:
    """Say what came of it: 3 people added, 1 brought up to date"""
    done = f"{many(added.added, 'person')} added"
    return f"{done}, {number(added.updated)} brought up to date" if added.updated else done


def _show(
    audience_id: int,
    form: Filled,
    *,
    says: str | None = None,
    not_taken: Sequence[NotTaken] = (),
    status: int = 200,
) -> Response:
    with the_house().database.read() as tx:
        audience = store.get_audience(tx, audience_id)
    page = AddPage(
        form=form,
        audience=audience,
        says=says,
        not_taken=not_taken[:SHOWN],
        more=max(0, len(not_taken) - SHOWN),
    )
    return show("audience_add.html", status=status, page=page, section="Audiences")
