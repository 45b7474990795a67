"""/recipients: find a person by their address, and see what they got and why not the rest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from flask import Response, request

from accounts import store as accounts
from audience import store, suppressions
from audience.model import Audience, Recipient, Suppression
from delivery import history, outlines
from delivery.history import PersonsDelivery, RunWithout
from delivery.model import DeliveryStatus, RunStatus
from delivery.outlines import RunOutline
from mail.address import normalise_fast
from storage.database import Tx
from web import forms
from web.current import the_house
from web.decided import Decided, decided
from web.fields import Query, QueryText
from web.held_back import since, why_not_in_it, why_skipped_then
from web.page import Pages, go, show
from web.pages.audience import as_text
from web.paging import Page, next_cursor
from web.person import Person, path_of, person
from web.schedule_rows import Names, names_of
from web.shown import viewers_zone

pages = Pages("recipients")

PAGE = 50
MOST = 50

_IN_ORDER = (
    (DeliveryStatus.SENT, "sent"),
    (DeliveryStatus.FAILED, "failed"),
    (DeliveryStatus.SKIPPED, "skipped"),
    (DeliveryStatus.IN_DOUBT, "in doubt"),
    (DeliveryStatus.QUEUED, "queued"),
    (DeliveryStatus.SENDING, "sending"),
)


class FindQuery(Query):
    """Whom to look for."""

    q: QueryText = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRow:
    """Somebody who was found."""

    email: str
    path: str
    name: str
    is_suppressed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FindPage:
    """What the search shows. path: the person's page, where a whole address was typed."""

    q: str
    rows: Sequence[FoundRow]
    is_cut: bool
    path: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What one audience says of the person."""

    audience: Audience
    recipient: Recipient
    attributes: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryRow:
    """The person's e-mail in one run; delivery is None where there is none. why: why nothing was sent, in words."""

    run_id: int
    slot: datetime
    zone: str
    campaign: str
    delivery: PersonsDelivery | None
    account: str | None
    status: str | None
    why: str | None
    decided: Sequence[Decided]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPage:
    """What the person's page shows. totals: a word and a count for each outcome that there is."""

    email: str
    path: str
    name: str
    entries: Sequence[Entry]
    suppression: Suppression | None
    suppressed: str | None
    deliveries: int
    totals: Sequence[tuple[str, int]]
    rows: Sequence[DeliveryRow]
    is_known: bool
    first: str | None
    next: str | None


@pages.get("/recipients")
def find() -> Response:
    """Lead to the person with this address, or list those whose address is like it."""
    q = forms.checked(FindQuery, request.args.to_dict()).q.strip()
    address = normalise_fast(q)
    is_whole = not isinstance(address, str)
    with the_house().database.read() as tx:
        known = person(tx, q, before=None, limit=1) if is_whole else None
        if known is not None and known.is_known:
            return go(path_of(known.email))
        found = _find(tx, q)
    page = FindPage(
        q=q,
        rows=found[:MOST],
        is_cut=len(found) > MOST,
        path=path_of(q) if is_whole else None,
    )
    return show("recipients.html", page=page, section="Audiences")


@pages.get("/recipients/<path:email>")
def recipient(email: str) -> Response:
    """Show what a person got, and why not the rest."""
    house = the_house()
    query = forms.checked(Page, request.args.to_dict())
    names = names_of(house)
    with house.database.read() as tx:
        found = person(tx, email, before=query.key, limit=PAGE + 1)
        without = history.runs_without(
            tx,
            found.address_key,
            [audience.id for audience, _ in found.entries],
            before=query.key,
            limit=PAGE + 1,
        )
        totals = history.totals_of_person(tx, found.address_key)
        called = accounts.names(tx)
        waiting = [one.run_id for one in found.deliveries if one.status == DeliveryStatus.QUEUED]
        runs = outlines.by_id(tx, waiting)
    rows = [
        _row(one, names, called, runs.get(one.run_id), found.suppression)
        for one in found.deliveries
    ]
    rows += [_row_without(one, names, found) for one in without]
    rows.sort(key=lambda row: row.run_id, reverse=True)
    rows = rows[: PAGE + 1]
    cursor = next_cursor(rows, limit=PAGE, key=lambda row: row.run_id)
    path = path_of(email)
    page = PersonPage(
        email=found.email,
        path=path,
        name=_name(found),
        entries=[
            Entry(
                audience=audience,
                recipient=one,
                attributes=[(key, as_text(value)) for key, value in one.attributes.items()],
            )
            for audience, one in found.entries
        ],
        suppression=found.suppression,
        suppressed=since(found.suppression, viewers_zone()) if found.suppression else None,
        deliveries=sum(totals.values()),
        totals=[(word, totals[status]) for status, word in _IN_ORDER if status in totals],
        rows=[row for row in rows[:PAGE] if row.delivery or row.why],
        is_known=found.is_known or bool(totals),
        first=path if query.cursor else None,
        next=f"{path}?{urlencode({'cursor': cursor})}" if cursor else None,
    )
    return show("recipient.html", page=page, section="Audiences")


def _find(tx: Tx, q: str) -> list[FoundRow]:
    """Return people in audiences, and suppressed addresses that are in none; one more than are shown."""
    if not q:
        return []
    people = store.look_for(tx, q, limit=MOST + 1)
    held_back = suppressions.which_suppressed(tx, [one.address_key for one in people])
    rows = {
        one.address_key: FoundRow(
            email=one.email,
            path=path_of(one.email),
            name=one.name,
            is_suppressed=one.address_key in held_back,
        )
        for one in people
    }
    for one in suppressions.look_for(tx, q, limit=MOST + 1):
        address = normalise_fast(one.email)
        key = one.email if isinstance(address, str) else address.key
        row = FoundRow(email=one.email, path=path_of(one.email), name="", is_suppressed=True)
        rows.setdefault(key, row)
    return list(rows.values())


def _name(found: Person) -> str:
    """Return what the person is called, as the newest entry has it that says so."""
    return next((entry.name for _, entry in reversed(found.entries) if entry.name), "")


def _row(
    one: PersonsDelivery,
    names: Names,
    called: Mapping[int, str],
    waits_in: RunOutline | None,
    suppression: Suppression | None,
) -> DeliveryRow:
    account = None
    if one.account_id is not None:
        account = called.get(one.account_id, f"account {one.account_id} (deleted)")
    why = why_skipped_then(one, suppression)
    return DeliveryRow(
        run_id=one.run_id,
        slot=one.slot,
        zone=one.zone,
        campaign=names.campaign(one.campaign_id),
        delivery=one,
        account=account,
        status=str(one.status),
        why=why or (_why_not_yet(waits_in) if waits_in else None),
        decided=decided(one.decisions),
    )


def _row_without(run: RunWithout, names: Names, found: Person) -> DeliveryRow:
    return DeliveryRow(
        run_id=run.run_id,
        slot=run.slot,
        zone=run.zone,
        campaign=names.campaign(run.campaign_id),
        delivery=None,
        account=None,
        status=None,
        why=why_not_in_it(run, found.entries),
        decided=(),
    )


def _why_not_yet(run: RunOutline) -> str | None:
    """Say why an e-mail still waits, where its run does not get on."""
    match run.status:
        case RunStatus.CLAIMED if run.waits_for is not None:
            return f"Waits for run {run.waits_for} of the same schedule to be through"
        case RunStatus.PAUSED:
            return "Waits: the run is paused"
        case RunStatus.HELD:
            return "Waits: the run is held until a person decides"
    return None
