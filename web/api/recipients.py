"""/api/recipients: what one person got, and why not; and the end of all that is kept of them."""

from dataclasses import asdict
from typing import Literal

from foundation.errors import NotFound
from identity.model import Role
from storage.database import Tx
from web import audited
from web.api.audiences import RecipientAnswer
from web.api.runs import DecisionAnswer, DeliveryAnswer
from web.api.suppressions import ByAddress, SuppressionAnswer
from web.current import the_house
from web.fields import Answer, Id, Instant, Query
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.person import Erased, Person, erase, nothing_known, person

resource = Resource("recipients", "What one person got, and why not")


class MembershipAnswer(Answer):
    """An audience that the person is in, and what it says of them."""

    id: Id
    name: str
    recipient: RecipientAnswer


class PersonsDeliveryAnswer(DeliveryAnswer):
    """The person's email in one run, and what was decided about it. reason says why there is none."""

    run_id: Id
    campaign_id: Id
    slot: Instant
    decisions: list[DecisionAnswer]


class PersonAnswer(Answer):
    """A person; deliveries is a page of them, newest run first."""

    email: str
    audiences: list[MembershipAnswer]
    suppression: SuppressionAnswer | None
    deliveries: list[PersonsDeliveryAnswer]
    next_cursor: str | None


class Erasure(Query):
    """How somebody is erased. keep_suppression: the address stays on the list of those who get nothing."""

    keep_suppression: Literal["true", "false"] = "false"


@resource.get("/api/recipients/<path:email>", PersonAnswer)
def get_recipient(path: ByAddress, query: Page) -> PersonAnswer:
    """Show a person: their audiences, whether they are suppressed, and their email in every run."""
    with the_house().database.read() as tx:
        found = person(tx, path.email, before=query.key, limit=query.limit + 1)
    if not found.is_known and query.cursor is None:
        raise NotFound(nothing_known(path.email))
    return answer_of(found, limit=query.limit)


@resource.delete("/api/recipients/<path:email>", role=Role.ADMIN)
def erase_recipient(path: ByAddress, query: Erasure) -> None:
    """Erase a person. In the ledger a keyed hash takes the address's place, so that every run still adds up."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        erase_and_note(tx, path.email, keep_suppression=query.keep_suppression == "true")


def erase_and_note(tx: Tx, email: str, *, keep_suppression: bool) -> Erased:
    """Erase a person as person.erase does, and note it, without the address."""
    who = audited.recipient(email)
    erased = erase(tx, email, the_house().key, keep_suppression=keep_suppression)
    audited.note(tx, "erase", who, after={"keep_suppression": keep_suppression} | asdict(erased))
    return erased


def answer_of(found: Person, *, limit: int | None) -> PersonAnswer:
    """Return what is known of a person; limit: so many of their deliveries, None for all that were read."""
    return PersonAnswer(
        email=found.email,
        audiences=[
            MembershipAnswer(
                id=audience.id,
                name=audience.name,
                recipient=RecipientAnswer.model_validate(entry),
            )
            for audience, entry in found.entries
        ],
        suppression=found.suppression and SuppressionAnswer.model_validate(found.suppression),
        deliveries=[
            PersonsDeliveryAnswer.model_validate(delivery) for delivery in found.deliveries[:limit]
        ],
        next_cursor=limit and next_cursor(found.deliveries, limit=limit, key=lambda d: d.run_id),
    )
