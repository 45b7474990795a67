"""/u/{token}: whoever got a mail can stop the next one (RFC 8058). No session, no cookie, no redirect.

GET changes nothing: link scanners follow links. POST acts, whether a mail program's one click or the page's button
sends it. Taking it back has an address of its own, which stands in no mail: no one-click request can reach it.
"""

from flask import Blueprint, Response, render_template, request

from audience import suppressions
from audience.model import Suppression, SuppressionReason, SuppressionSource
from audience.unsubscribe import read_token
from delivery import reads
from foundation.errors import Invalid, NotFound
from identity.audit import RECIPIENT
from storage.database import Tx
from web import audited
from web.current import the_house
from web.guards import open_to_all

blueprint = Blueprint("unsubscribe", __name__)

_ONE_CLICK = "List-Unsubscribe=One-Click"
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_TITLES = {
    "asked": "Unsubscribe",
    "done": "You are unsubscribed",
    "already": "You are unsubscribed",
    "back": "You are not unsubscribed",
    "unknown": "This link does not work",
}


@blueprint.get("/u/<token>")
@open_to_all
def show(token: str) -> Response:
    """Show the page with the button."""
    house = the_house()
    try:
        _, email = read_token(house.key, token)
    except NotFound:
        return _page(404, "unknown")
    with house.database.read() as tx:
        there = _found(tx, email)
    return _page(200, "already" if there else "asked", token=token, email=email, there=there)


@blueprint.post("/u/<token>")
@open_to_all
def act(token: str) -> Response:
    """Write the address nothing any more."""
    house = the_house()
    try:
        delivery_id, email = read_token(house.key, token)
    except NotFound:
        return _page(404, "unknown")
    if not _is_one_click():
        return _page(400, "asked", token=token, email=email)
    with house.database.write(durable=True) as tx:
        was = _found(tx, email)
        there = suppressions.add(
            tx,
            email,
            SuppressionReason.UNSUBSCRIBED,
            house.clock.now(),
            source=_source(),
            run_id=reads.run_of_delivery(tx, delivery_id),
        )
        if was is None:
            # Whoever is erased later is in the log by a mark only, and without where they came from.
            after = {"source": str(there.source)}
            audited.note_as(tx, RECIPIENT, "unsubscribe", audited.recipient(email), after=after)
        else:
            audited.nothing_to_note()
    return _page(200, "done", token=token, email=email, there=there)


@blueprint.post("/u/<token>/undo")
@open_to_all
def take_back(token: str) -> Response:
    """Let the address get mail again, where all that stood against it was this link."""
    house = the_house()
    try:
        _, email = read_token(house.key, token)
    except NotFound:
        return _page(404, "unknown")
    if request.form.get("undo") != "yes" or "List-Unsubscribe" in request.form:
        return _page(400, "asked", token=token, email=email)
    with house.database.write(durable=True) as tx:
        there = _found(tx, email)
        if there and _may_undo(there):
            suppressions.remove(tx, email)
            there = None
            audited.note_as(tx, RECIPIENT, "undo unsubscribe", audited.recipient(email))
        else:
            audited.nothing_to_note()
    return _page(200, "already" if there else "back", token=token, email=email, there=there)


def _found(tx: Tx, email: str) -> Suppression | None:
    try:
        return suppressions.find(tx, email)
    except (
        Invalid
    ):  # a mail of long ago may have gone to what we would not take for an address today
        return None


def _may_undo(there: Suppression) -> bool:
    # A bounce, a complaint, or what somebody here decided is not the recipient's to take back.
    return there.reason is SuppressionReason.UNSUBSCRIBED


def _source() -> SuppressionSource:
    return SuppressionSource.PAGE if "page" in request.form else SuppressionSource.ONE_CLICK


def _is_one_click() -> bool:
    # Some mail programs send the pair under a content type of their own making.
    if request.mimetype == "multipart/form-data":
        return request.form.get("List-Unsubscribe") == "One-Click"
    return _ONE_CLICK.encode() in request.get_data()[:1000]


def _page(
    status: int,
    state: str,
    *,
    token: str = "",
    email: str = "",
    there: Suppression | None = None,
) -> Response:
    page = render_template(
        "pages/unsubscribe.html",
        state=state,
        title=_TITLES[state],
        email=email,
        path=f"/u/{token}",
        may_undo=there is not None and _may_undo(there),
    )
    answer = Response(page, status=status, mimetype="text/html")
    answer.headers["Content-Security-Policy"] = _POLICY
    return answer
