"""/u/{token}: whoever got a mail can stop the next one (RFC 8058). No session, no cookie, no redirect.

GET changes nothing: link scanners follow links. POST acts, whether a mail program's one click or the page's button
sends it.
"""

from flask import Blueprint, Response, render_template, request

from audience import suppressions
from audience.model import SuppressionReason
from audience.unsubscribe import read_token
from foundation.errors import NotFound
from web.current import the_house
from web.guards import open_to_all

blueprint = Blueprint("unsubscribe", __name__)

_ONE_CLICK = "List-Unsubscribe=One-Click"


@blueprint.get("/u/<token>")
@open_to_all
def show(token: str) -> Response:
    """Show the page with the button."""
    try:
        _, email = read_token(the_house().key, token)
    except NotFound:
        return _page(404, email=None, state="unknown")
    return _page(200, email=email, state="asked")


@blueprint.post("/u/<token>")
@open_to_all
def act(token: str) -> Response:
    """Write the address nothing any more."""
    house = the_house()
    try:
        _, email = read_token(house.key, token)
    except NotFound:
        return _page(404, email=None, state="unknown")
    if not _is_one_click():
        return _page(400, email=email, state="asked")
    with house.database.write(durable=True) as tx:
        suppressions.add(tx, email, SuppressionReason.UNSUBSCRIBED, house.clock.now())
    return _page(200, email=email, state="done")


def _is_one_click() -> bool:
    # Some mail programs send the pair under a content type of their own making.
    if request.mimetype == "multipart/form-data":
        return request.form.get("List-Unsubscribe") == "One-Click"
    return _ONE_CLICK.encode() in request.get_data()[:1000]


def _page(status: int, *, email: str | None, state: str) -> Response:
    page = render_template("pages/unsubscribe.html", email=email, state=state)
    return Response(page, status=status, mimetype="text/html")
