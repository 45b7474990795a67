"""/api/audit: who did what, to what, when, from where, and how it was before and after. Only admins read it."""

from typing import Any

from pydantic import Field

from identity import audit
from identity.audit import Entry
from identity.model import Role
from mail.address import normalise_fast
from web.current import the_house
from web.fields import Answer, Id, Instant, QueryInstant, QueryText
from web.openapi import Resource
from web.paging import Page, next_cursor

resource = Resource("audit", "Who did what")

_PERSON = "recipient:"


class EntryAnswer(Answer):
    """One deed. before and after hold what differs, or all of it where something was made or deleted."""

    id: Id
    at: Instant
    actor: str = Field(description='As "user:3", "token:2", "command line", "scheduler"')
    by: str = Field(description="The actor, as people call it")
    action: str
    object: str = Field(description='As "campaign:7"; a recipient is named by a keyed hash')
    label: str = Field(description="The object, as people call it")
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str | None = Field(description="Where the request came from")


class EntryList(Answer):
    """A page of the audit log, newest first."""

    items: list[EntryAnswer]
    next_cursor: str | None


class AuditQuery(Page):
    """Which entries are wanted.

    actor: the stable name, or part of what people call it. object: "campaign:7", "campaign" for all of them, part of
    what people call it, or a recipient's address. since is in the time that is meant, until is not.
    """

    actor: QueryText | None = None
    object: QueryText | None = None
    since: QueryInstant | None = None
    until: QueryInstant | None = None


@resource.get("/api/audit", EntryList, role=Role.ADMIN)
def list_entries(query: AuditQuery) -> EntryList:
    """List what was done, newest first."""
    with the_house().database.read() as tx:
        found = audit.entries(
            tx,
            actor=query.actor,
            object_=query.object,
            names=names_of(query.object),
            since=query.since,
            until=query.until,
            before=query.key,
            limit=query.limit + 1,
        )
    return EntryList(
        items=[_answer(entry) for entry in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda entry: entry.id),
    )


def names_of(text: str | None) -> list[str]:
    """Return what a recipient with this address is called in the log; nothing where the text is no address."""
    address = normalise_fast((text or "").removeprefix(_PERSON))
    if isinstance(address, str):
        return []
    return audit.names_of_person(the_house().key, address.key)


def _answer(entry: Entry) -> EntryAnswer:
    deed = entry.deed
    return EntryAnswer(
        id=entry.id,
        at=entry.at,
        actor=deed.actor,
        by=deed.by,
        action=deed.action,
        object=deed.object,
        label=deed.label,
        before=None if deed.before is None else dict(deed.before),
        after=None if deed.after is None else dict(deed.after),
        address=deed.address,
    )
