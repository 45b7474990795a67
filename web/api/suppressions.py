"""/api/suppressions: addresses that get nothing."""

from flask import Response
from pydantic import BaseModel

from audience import suppressions
from audience.model import SuppressionReason
from web.current import the_house
from web.fields import Answer, Body, Email, Instant, QueryText
from web.openapi import Resource, as_json
from web.paging import Page, next_cursor

resource = Resource("suppressions", "Addresses that get nothing")


class NewSuppression(Body):
    """An address that is to get nothing any more."""

    email: Email
    reason: SuppressionReason = SuppressionReason.MANUAL


class SuppressionAnswer(Answer):
    """An address that gets nothing, and why."""

    email: str
    reason: SuppressionReason
    created_at: Instant


class SuppressionList(Answer):
    """A page of suppressions."""

    items: list[SuppressionAnswer]
    next_cursor: str | None


class SuppressionPage(Page):
    """Which suppressions are wanted; q is a part of the address."""

    q: QueryText | None = None


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
        suppression = there or suppressions.add(tx, body.email, body.reason, house.clock.now())
    answer = SuppressionAnswer.model_validate(suppression)
    return as_json(answer, status=200) if there else answer


@resource.delete("/api/suppressions/<path:email>")
def release(path: ByAddress) -> None:
    """Let an address be written to again."""
    with the_house().database.write(durable=True) as tx:
        suppressions.remove(tx, path.email)
