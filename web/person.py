"""What is known of one person, for the API and for their page: audiences, suppression, deliveries."""

from dataclasses import dataclass
from urllib.parse import quote

from audience import store, suppressions
from audience.model import Audience, Recipient, Suppression
from delivery import history
from delivery.history import PersonsDelivery
from mail.address import normalise
from storage.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Everything about an address. deliveries: a page of them, newest run first."""

    email: str
    address_key: str
    entries: list[tuple[Audience, Recipient]]
    suppression: Suppression | None
    deliveries: list[PersonsDelivery]

    @property
    def is_known(self) -> bool:
        return bool(self.entries or self.suppression or self.deliveries)


def person(tx: Tx, email: str, *, before: int | None, limit: int) -> Person:
    """Look a person up, whether there is anything or not. before: only deliveries of runs with a smaller id.

    Raises Invalid on email.
    """
    address = normalise(email)
    audiences = store.by_id(tx)
    theirs = store.find_everywhere(tx, address.key)
    suppression = suppressions.find(tx, email)
    deliveries = history.of_person(tx, address.key, before=before, limit=limit)
    written = [entry.email for entry in theirs] or [s.email for s in (suppression,) if s]
    return Person(
        # As it was given to us, rather than as somebody has typed it to look for it.
        email=next(iter([*written, *(d.email for d in deliveries)]), address.written),
        address_key=address.key,
        entries=[(audiences[entry.audience_id], entry) for entry in theirs],
        suppression=suppression,
        deliveries=deliveries,
    )


def path_of(email: str) -> str:
    """Return the address of the person's page."""
    return "/recipients/" + quote(email, safe="@")
