"""/api/outbox: what the sandbox mail server received."""

from mail.outbox import SCAN_LIMIT, OutboxItem, read_outbox
from web.current import the_house
from web.fields import Answer, ById, Id, Instant, QueryId, QueryText
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.received import the_outbox

resource = Resource("outbox", "What the sandbox mail server received")


class OutboxItemAnswer(Answer):
    """A mail that the sandbox received."""

    id: Id
    received_at: Instant
    mail_from: str
    rcpt_to: list[str]
    subject: str | None
    message_id: str | None
    run_id: int | None


class AttachedFileAnswer(Answer):
    """A file that it carries. size is of the file itself, in bytes."""

    name: str
    content_type: str
    size: int


class OutboxMessageAnswer(OutboxItemAnswer):
    """A mail that the sandbox received, whole."""

    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    attachments: list[AttachedFileAnswer]
    raw: str


class OutboxList(Answer):
    """A page of received mails, newest first."""

    items: list[OutboxItemAnswer]
    next_cursor: str | None


class OutboxPage(Page):
    """Which mails are wanted: those of a run, or with q in their addresses or subject."""

    q: QueryText | None = None
    run_id: QueryId | None = None


@resource.get("/api/outbox", OutboxList)
def list_received(query: OutboxPage) -> OutboxList:
    """List what the sandbox received, newest first."""
    outbox = the_outbox(read=SCAN_LIMIT if query.q or query.run_id else 0)
    found = outbox.find(q=query.q, run_id=query.run_id, before=query.key, limit=query.limit + 1)
    return OutboxList(
        items=[OutboxItemAnswer.model_validate(item) for item in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=_id),
    )


@resource.get("/api/outbox/<id:id>", OutboxMessageAnswer)
def get_received(path: ById) -> OutboxMessageAnswer:
    """Show one mail that the sandbox received."""
    return OutboxMessageAnswer.model_validate(read_outbox(the_house().outbox, path.id))


def _id(item: OutboxItem) -> int:
    return item.id
