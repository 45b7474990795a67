"""/recipients/export and /recipients/erase: all that is kept of one person, as a file of theirs, and its end."""

from dataclasses import dataclass

from flask import Response, request

from audience.model import Suppression
from delivery import history
from foundation.errors import Conflict, Invalid, NotFound
from identity.model import Role
from mail.address import normalise
from storage.database import Tx
from web import forms
from web.api.recipients import answer_of, erase_and_note
from web.current import the_house
from web.fields import rfc3339
from web.forms import Filled
from web.page import Pages, go, show
from web.person import Person, nothing_known, path_of, person

pages = Pages("person-data")

LABELS = {"email": "Address", "confirmed": "The address, typed"}
_EVERY_RUN = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasePage:
    """What would go. suppression: why the person gets nothing, which may stay; deliveries keep a keyed hash."""

    form: Filled
    email: str
    path: str
    audiences: int
    deliveries: int
    suppression: Suppression | None


@pages.get("/recipients/export")
def export() -> Response:
    """Give everything that is kept of a person as JSON, as they may ask for it."""
    house = the_house()
    email = request.args.get("email", "")
    with house.database.read() as tx:
        found = _known(tx, email, limit=_EVERY_RUN)
    whole = answer_of(found, limit=None).model_dump_json(indent=2, exclude={"next_cursor"})
    name = found.address_key.encode("ascii", "replace").decode().replace("?", "_").replace('"', "")
    said = f'{{\n  "exported_at": "{rfc3339(house.clock.now())}",{whole[1:]}\n'
    answer = Response(said, mimetype="application/json")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}.json"'
    return answer


@pages.get("/recipients/erase", role=Role.ADMIN)
def ask_erase() -> Response:
    """Say what goes and what stays, and ask for the address once more."""
    return _ask(request.args.get("email", ""), Filled(values={}))


@pages.post("/recipients/erase", role=Role.ADMIN)
def erase() -> Response:
    """Erase the person whose address was typed."""
    email = forms.text("email")
    try:
        if normalise(forms.text("confirmed")).key != normalise(email).key:
            raise Invalid.field("confirmed", "This is another address. Nothing was erased.")
        with the_house().database.write(durable=True) as tx:
            erased = erase_and_note(tx, email, keep_suppression=forms.ticked("keep_suppression"))
    except Invalid:
        says = f"Type {email} to erase it. Nothing was erased."
        return _ask(email, forms.as_typed(Invalid.field("confirmed", says), LABELS), status=422)
    except Conflict as error:
        return _ask(email, forms.as_typed(error, LABELS), status=409)
    kept = "Nothing of theirs is kept."
    if erased.deliveries:
        kept = "The ledger still counts their e-mails, under a hash that nobody can read them from."
    return go("/recipients", say=f"Erased. {kept}")


def _ask(email: str, form: Filled, *, status: int = 200) -> Response:
    with the_house().database.read() as tx:
        found = _known(tx, email, limit=1)
        totals = history.totals_of_person(tx, found.address_key)
    page = ErasePage(
        form=form,
        email=found.email,
        path=path_of(found.email),
        audiences=len(found.entries),
        deliveries=sum(totals.values()),
        suppression=found.suppression,
    )
    return show("recipient_erase.html", status=status, page=page, section="Audiences")


def _known(tx: Tx, email: str, *, limit: int) -> Person:
    found = person(tx, email, before=None, limit=limit)
    if not found.is_known:
        raise NotFound(nothing_known(email))
    return found
