"""/api/recipients: what one person got, and why not."""

from foundation.errors import NotFound
from web.api.audiences import RecipientAnswer
from web.api.runs import DecisionAnswer, DeliveryAnswer
from web.api.suppressions import ByAddress, SuppressionAnswer
from web.current import the_house
from web.fields import Answer, Id, Instant
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.person import person

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


@resource.get("/api/recipients/<path:email>", PersonAnswer)
def get_recipient(path: ByAddress, query: Page) -> PersonAnswer:
    """Show a person: their audiences, whether they are suppressed, and their email in every run."""
    with the_house().database.read() as tx:
        found = person(tx, path.email, before=query.key, limit=query.limit + 1)
    if not found.is_known and query.cursor is None:
        raise NotFound(
            f"Nothing is known of {path.email}: it is in no audience, is not suppressed, and nothing was sent to it."
        )
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
            PersonsDeliveryAnswer.model_validate(delivery)
            for delivery in found.deliveries[: query.limit]
        ],
        next_cursor=next_cursor(found.deliveries, limit=query.limit, key=lambda d: d.run_id),
    )
