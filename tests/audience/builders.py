"""Builders for audiences; every argument is optional."""

from collections.abc import Sequence
from typing import Any

from audience import store
from audience.model import Added, Audience, NewRecipient
from storage.database import Tx
from tests.builders import NOON


def an_audience(tx: Tx, name: str = "Readers") -> Audience:
    """Make an audience without recipients."""
    return store.create_audience(tx, name, NOON)


def a_row(email: str = "ada@example.com", *, row: int = 1, **changes: Any) -> NewRecipient:
    """Return a recipient as given."""
    fields: dict[str, Any] = {"row": row, "email": email, "name": "", "attributes": {}}
    return NewRecipient(**(fields | changes))


def add(tx: Tx, audience_id: int, emails: Sequence[str]) -> Added:
    """Put these addresses into the audience."""
    rows = [a_row(email, row=row) for row, email in enumerate(emails, start=1)]
    return store.add_recipients(tx, audience_id, rows, NOON)
