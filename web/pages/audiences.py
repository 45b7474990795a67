"""/audiences: the lists of people, and making one."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, request

from audience import store
from audience.model import Audience
from campaigns import store as campaigns
from campaigns.store import Outline
from foundation.errors import Invalid
from identity.model import Role
from web import forms, importing
from web.api.audiences import NewAudience, note_making
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.pages.audience_add import in_words, read_people, take
from web.paging import Page, next_cursor
from web.shown import number

pages = Pages("audiences")

PAGE = 50
LABELS = {"name": "Name", "people": "People"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceRow:
    """An audience in the list. importing: how much of a file is through, in percent, while one is imported."""

    audience: Audience
    campaigns: Sequence[Outline]
    importing: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudiencesPage:
    """What the page shows."""

    rows: Sequence[AudienceRow]
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePage:
    """The form that asks for a name. audience: the one to be renamed; None makes one."""

    form: Filled
    audience: Audience | None


@pages.get("/audiences")
def audiences() -> Response:
    """List the audiences."""
    query = forms.checked(Page, request.args.to_dict())
    running = {one.audience_id: importing.progress_of(one).percent for one in importing.under_way()}
    with the_house().database.read() as tx:
        found = store.list_audiences(tx, after=query.key, limit=PAGE + 1)
        every_campaign = campaigns.outlines(tx).values()
    cursor = next_cursor(found, limit=PAGE, key=lambda audience: audience.id)
    page = AudiencesPage(
        rows=[
            AudienceRow(
                audience=audience,
                campaigns=[one for one in every_campaign if audience.id in one.audience_ids],
                importing=running.get(audience.id),
            )
            for audience in found[:PAGE]
        ],
        first="/audiences" if query.cursor else None,
        next="/audiences?" + urlencode({"cursor": cursor}) if cursor else None,
    )
    return show("audiences.html", page=page, section="Audiences")


@pages.get("/audiences/new", role=Role.EDITOR)
def ask_name() -> Response:
    """Ask what the new audience is called."""
    return _ask(Filled(values={}))


@pages.post("/audiences/new")
def make() -> Response:
    """Make an audience, and open it. If somebody can't be taken, nothing is made."""
    house = the_house()
    now = house.clock.now()
    text = forms.text("people")
    try:
        body = forms.checked(NewAudience, {"name": forms.text("name").strip()})
        people = read_people(text, nothing_done="Nothing was made.") if text.strip() else []
        with house.database.write(durable=True) as tx:
            made = store.create_audience(tx, body.name, now)
            added, not_taken = take(tx, made.id, people, now)
            if not_taken:
                first = not_taken[0]
                more = f" And {number(len(not_taken) - 1)} more." if len(not_taken) > 1 else ""
                raise Invalid.field("people", f"{first.text}: {first.reason}{more}")
            note_making(tx, made.id)
    except Invalid as error:
        return _ask(forms.as_typed(error, LABELS), status=422)
    who = f"{in_words(added)}." if people else "Nobody is in it yet."
    return go(f"/audiences/{made.id}", say=f"{made.name} is made. {who}")


def _ask(form: Filled, *, status: int = 200) -> Response:
    page = NamePage(form=form, audience=None)
    return show("audience_name.html", status=status, page=page, section="Audiences")
