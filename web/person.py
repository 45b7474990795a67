"""What is known of one person, for the API and for their page: audiences, suppression, deliveries; and how it goes."""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import quote

from audience import erasure as of_audiences
from audience import store, suppressions
from audience.model import Audience, Recipient, Suppression
from delivery import erasure as of_ledger
from delivery import history
from delivery.history import PersonsDelivery
from foundation.errors import NotFound
from mail.address import normalise
from storage.database import Tx
from storage.sealed import SecretKey

_USE = "erased recipients"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What was erased. deliveries: rows of the ledger that hold a keyed hash in the address's place now."""

    audiences: int
    deliveries: int


def erase(tx: Tx, email: str, key: SecretKey, *, keep_suppression: bool) -> Erased:
    """Erase a person: nothing of theirs stays but rows in the ledger that add up, without the address.

    keep_suppression: the address itself stays on the list of those who get nothing, where it is on it. Raises Invalid
    on email, NotFound where nothing is known of it, and Conflict while a message to them is on its way or in doubt.
    """
    address = normalise(email)
    if not person(tx, email, before=None, limit=1).is_known:
        raise NotFound(nothing_known(email))
    digest = hmac.digest(key.derive(_USE), address.key.encode(), hashlib.sha256)
    deliveries = of_ledger.erase(tx, address.key, keyed_hash=digest.hex())
    audiences = of_audiences.erase(tx, address, keep_suppression=keep_suppression)
    return Erased(audiences=audiences, deliveries=deliveries)


def nothing_known(email: str) -> str:
    """Return the sentence for an address that nobody has ever given."""
    return f"Nothing is known of {email}: it is in no audience, is not suppressed, and nothing was sent to it."


def path_of(email: str) -> str:
    """Return the address of the person's page."""
    return "/recipients/" + quote(email, safe="@")
