"""/api/outbox: what the sandbox mail server received."""

from mail.outbox import OutboxItem, list_outbox, read_outbox
from web.current import the_house
from web.fields import Answer, ById, Id, Instant, QueryText
from web.openapi import Resource
from web.paging import Page, next_cursor

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


class OutboxMessageAnswer(OutboxItemAnswer):
    """A mail that the sandbox received, whole."""

    headers: list[tuple[str, str]]
    text: str | None
    html: str | None
    raw: str


class OutboxList(Answer):
    """A page of received mails, newest first."""

    items: list[OutboxItemAnswer]
    next_cursor: str | None


class OutboxPage(Page):
    """Which mails are wanted; q is a part of an address or the subject."""

    q: QueryText | None = None


@resource.get("/api/outbox", OutboxList)
def list_received(query: OutboxPage) -> OutboxList:
    """List what the sandbox received, newest first."""
    found = list_outbox(the_house().outbox, q=query.q, before=query.key, limit=query.limit + 1)
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
