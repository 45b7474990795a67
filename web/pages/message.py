"""/outbox/{id}: one e-mail as the sandbox received it, shown as a mail program does, and down to its last byte."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from flask import Response, request

from delivery import outlines
from foundation.errors import NotFound
from mail.outbox import OutboxMessage, read_attachment, read_bytes, read_outbox
from web import forms
from web.attached import as_download
from web.current import the_house
from web.fields import Query, QueryId
from web.mail_frame import framed
from web.page import Pages, show
from web.received import the_outbox

pages = Pages("message")

SHOWN_AT_MOST = 200_000
"""Characters of a text or a source that a page shows; the download has all of it."""

_VIEWS = (
    ("rendered", "Rendered"),
    ("text", "Text"),
    ("headers", "Headers"),
    ("source", "Source"),
)
_FETCHED = re.compile(
    r"""(?:src|srcset|background|poster)\s*=\s*["']?\s*https://|url\(\s*["']?\s*https://""",
    re.IGNORECASE,
)
_LINK = re.compile(r"<(https?://[^<>\s]+)>", re.ASCII | re.IGNORECASE)


class _Asked(Query):
    """How the message is to be shown; run_id: newer and older ones are those of this run."""

    view: str | None = None
    images: str | None = None
    run_id: QueryId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """What the page shows. body: the text of the view, if it is one; unsubscribe: the link in the header."""

    message: OutboxMessage
    subject: str
    sender: str
    to: str
    date: str
    unsubscribe: str | None
    unsubscribe_says: str
    run_id: int | None
    of_run: int | None
    view: str
    tabs: Sequence[dict[str, object]]
    body: str
    is_cut: bool
    frame: str
    has_remote: bool
    with_remote: bool
    other_images: str
    newer: str | None
    older: str | None
    back: str


@pages.get("/outbox/<id:id>")
def message(id: int) -> Response:
    """Show one message."""
    house = the_house()
    query = forms.checked(_Asked, request.args.to_dict())
    found = read_outbox(house.outbox, id)
    headers = _first_of(found.headers)
    view = _view(query.view, found)
    with_remote = query.images is not None
    body = {"text": found.text or "", "source": found.raw}.get(view, "")
    newer, older = the_outbox(read=0).neighbours(id, run_id=query.run_id)
    with house.database.read() as tx:
        knows_run = found.run_id is not None and outlines.by_id(tx, [found.run_id])
    page = MessagePage(
        message=found,
        subject=found.subject.strip() or "(no subject)",
        sender=headers.get("from", found.mail_from or "nobody"),
        to=headers.get("to", ", ".join(found.rcpt_to) or "nobody"),
        date=headers.get("date", ""),
        unsubscribe=_link_in(headers.get("list-unsubscribe", "")),
        unsubscribe_says=_how_it_is_offered(headers),
        run_id=found.run_id if knows_run else None,
        of_run=query.run_id,
        view=view,
        tabs=[
            {
                "path": _path(id, view=name, run_id=query.run_id),
                "text": text,
                "count": None,
                "current": name == view,
            }
            for name, text in _VIEWS
            if _has(name, found)
        ],
        body=body[:SHOWN_AT_MOST],
        is_cut=len(body) > SHOWN_AT_MOST,
        frame=f"/outbox/{id}/html" + ("?images=1" if with_remote else ""),
        has_remote=found.html is not None and _FETCHED.search(found.html) is not None,
        with_remote=with_remote,
        other_images=_path(
            id, view="rendered", images=None if with_remote else 1, run_id=query.run_id
        ),
        newer=None if newer is None else _path(newer, view=query.view, run_id=query.run_id),
        older=None if older is None else _path(older, view=query.view, run_id=query.run_id),
        back="/outbox" + (f"?run_id={query.run_id}" if query.run_id else ""),
    )
    return show("message.html", page=page, section="Outbox")


@pages.get("/outbox/<id:id>/html")
def html(id: int) -> Response:
    """Show its HTML, for the frame; ?images=1: with what it fetches from elsewhere."""
    found = read_outbox(the_house().outbox, id)
    if found.html is None:
        raise NotFound("This message has no HTML. Look at its text.")
    return framed(found.html, remote_images="images" in request.args)


@pages.get("/outbox/<id:id>/attachments/<id:number>")
def attachment(id: int, number: int) -> Response:
    """Give one of its files."""
    return as_download(*read_attachment(the_house().outbox, id, number))


@pages.get("/outbox/<id:id>.eml")
def download(id: int) -> Response:
    """Give the whole message as a file that mail programs open."""
    answer = Response(read_bytes(the_house().outbox, id), mimetype="message/rfc822")
    answer.headers["Content-Disposition"] = f'attachment; filename="message-{id}.eml"'
    return answer


def _first_of(headers: Sequence[tuple[str, str]]) -> dict[str, str]:
    first: dict[str, str] = {}
    for name, value in headers:
        first.setdefault(name.lower(), value)
    return first


def _view(asked: str | None, found: OutboxMessage) -> str:
    if asked in dict(_VIEWS) and _has(asked, found):
        return str(asked)
    return next(name for name, _ in _VIEWS if _has(name, found))


def _has(view: str | None, found: OutboxMessage) -> bool:
    parts = {"rendered": found.html, "text": found.text}
    return view not in parts or parts[view] is not None


def _link_in(header: str) -> str | None:
    match = _LINK.search(header)
    return match[1] if match else None


def _how_it_is_offered(headers: Mapping[str, str]) -> str:
    if "one-click" not in headers.get("list-unsubscribe-post", "").lower():
        return "A link to open: it takes no one-click request."
    if (_link_in(headers.get("list-unsubscribe", "")) or "").lower().startswith("https:"):
        return "Mail programs offer it as one click (RFC 8058)."
    return "Mail programs offer it as one click (RFC 8058) once the address is https."


def _path(id: int, **query: object) -> str:
    given = {name: value for name, value in query.items() if value is not None}
    return f"/outbox/{id}" + ("?" + urlencode(given) if given else "")
