"""/api/suppressions: addresses that get nothing."""

from flask import Response
from pydantic import BaseModel

from audience import suppressions
from audience.model import SuppressionReason, SuppressionSource
from identity.model import Role
from storage.database import Tx
from web import audited
from web.current import the_house
from web.fields import Answer, Body, Email, Instant, Query, QueryText
from web.openapi import Resource, as_json
from web.paging import Page, next_cursor

resource = Resource("suppressions", "Addresses that get nothing")


class NewSuppression(Body):
    """An address that is to get nothing any more."""

    email: Email
    reason: SuppressionReason = SuppressionReason.MANUAL


class SuppressionAnswer(Answer):
    """An address that gets nothing, why, and how it came here; run_id: whose e-mail somebody unsubscribed from."""

    email: str
    reason: SuppressionReason
    created_at: Instant
    source: SuppressionSource | None
    run_id: int | None


class SuppressionList(Answer):
    """A page of suppressions."""

    items: list[SuppressionAnswer]
    next_cursor: str | None


class SuppressionPage(Page):
    """Which suppressions are wanted; q is a part of the address."""

    q: QueryText | None = None


class Release(Query):
    """Why an address may get mail again; kept in the audit log."""

    note: QueryText | None = None


class ByAddress(BaseModel):
    """A path that names an address."""

    email: str


@resource.get("/api/suppressions", SuppressionList)
def list_suppressions(query: SuppressionPage) -> SuppressionList:
    """List the addresses that get nothing."""
    with the_house().database.read() as tx:
        found = suppressions.list_(tx, q=query.q, after=query.key, limit=query.limit + 1)
    return SuppressionList(
        items=[SuppressionAnswer.model_validate(s) for s in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda s: s.id),
    )


@resource.post("/api/suppressions", SuppressionAnswer, status=201, or_status=200)
def suppress(body: NewSuppression) -> SuppressionAnswer | Response:
    """Write an address nothing any more. One that is suppressed already keeps its reason: that is a 200."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        there = suppressions.find(tx, body.email)
        if there:
            audited.nothing_to_note()
        else:
            note_adding(tx, body.email, body.reason)
        suppression = there or suppressions.add(
            tx, body.email, body.reason, house.clock.now(), source=SuppressionSource.API
        )
    answer = SuppressionAnswer.model_validate(suppression)
    return as_json(answer, status=200) if there else answer


@resource.delete("/api/suppressions/<path:email>", role=Role.ADMIN)
def release(path: ByAddress, query: Release) -> None:
    """Let an address be written to again."""
    with the_house().database.write(durable=True) as tx:
        remove(tx, path.email, why=query.note)


def note_adding(tx: Tx, email: str, reason: SuppressionReason) -> None:
    """Note that an address was suppressed: not which one, but a mark of it that can be looked for."""
    audited.note(tx, "suppress", audited.recipient(email), after={"reason": str(reason)})


def remove(tx: Tx, email: str, *, why: str | None) -> None:
    """Let an address get mail again, and note it, with why. Raises NotFound, Invalid on email."""
    gone = suppressions.find(tx, email)
    suppressions.remove(tx, email)
    before = {"reason": str(gone.reason)} if gone else None
    after = {"why": why} if why else None
    audited.note(tx, "unsuppress", audited.recipient(email), before=before, after=after)
