"""audience.suppressions: addresses that get nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from audience import suppressions
from audience.model import SuppressionReason
from foundation.errors import Invalid, NotFound
from storage.database import Tx
from tests.builders import NOON, a_database

MANUAL = SuppressionReason.MANUAL


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


def test_every_spelling_of_a_suppressed_address_is_meant(tx: Tx) -> None:
    made = suppressions.add(tx, " Ada@Example.COM ", MANUAL, NOON)

    assert made.email == "Ada@Example.COM"
    assert suppressions.is_suppressed(tx, "ada@example.com")
    assert not suppressions.is_suppressed(tx, "bob@example.com")


def test_a_second_suppression_leaves_the_first_as_it_is(tx: Tx) -> None:
    first = suppressions.add(tx, "ada@example.com", SuppressionReason.UNSUBSCRIBED, NOON)

    second = suppressions.add(tx, "ADA@example.com", MANUAL, NOON)

    assert second == first


def test_what_is_no_address_can_not_be_suppressed(tx: Tx) -> None:
    with pytest.raises(Invalid) as caught:
        suppressions.add(tx, "nobody", MANUAL, NOON)

    assert caught.value.errors[0].field == "email"


def test_a_suppression_can_be_taken_back(tx: Tx) -> None:
    suppressions.add(tx, "ada@example.com", MANUAL, NOON)

    suppressions.remove(tx, "ADA@example.com")

    assert not suppressions.is_suppressed(tx, "ada@example.com")
    with pytest.raises(NotFound):
        suppressions.remove(tx, "ada@example.com")


def test_the_newest_come_first_page_by_page(tx: Tx) -> None:
    for letter in "abcd":
        suppressions.add(tx, f"{letter}@example.com", MANUAL, NOON)

    first = suppressions.list_(tx, q=None, after=None, limit=2)
    rest = suppressions.list_(tx, q=None, after=first[-1].id, limit=9)

    assert [s.email[0] for s in first + rest] == ["d", "c", "b", "a"]
    assert [s.email[0] for s in suppressions.list_(tx, q="B@EX", after=None, limit=9)] == ["b"]


def test_of_many_keys_the_suppressed_ones_are_told_with_their_reason(tx: Tx) -> None:
    suppressions.add(tx, "p3@example.com", SuppressionReason.BOUNCED, NOON)
    suppressions.add(tx, "p1400@example.com", SuppressionReason.COMPLAINED, NOON)
    keys = [f"p{number}@example.com" for number in range(1500)]

    found = suppressions.which_suppressed(tx, keys)

    assert found == {
        "p3@example.com": SuppressionReason.BOUNCED,
        "p1400@example.com": SuppressionReason.COMPLAINED,
    }
    assert suppressions.which_suppressed(tx, []) == {}


def test_many_addresses_are_suppressed_at_once_and_none_twice(tx: Tx) -> None:
    suppressions.add(tx, "ada@example.com", SuppressionReason.BOUNCED, NOON)
    given = ["ADA@example.com", "bob@example.com", "nobody", "Bob@Example.com", "cy@example.com"]

    added, rejected = suppressions.add_all(tx, given, MANUAL, NOON)

    assert added == 2
    assert [(r.row, r.email) for r in rejected] == [(3, "nobody")]
    ada = suppressions.find(tx, "ada@example.com")
    assert ada is not None
    assert ada.reason is SuppressionReason.BOUNCED
    assert suppressions.add_all(tx, [], MANUAL, NOON) == (0, [])


def test_suppressed_addresses_are_found_by_a_part(tx: Tx) -> None:
    suppressions.add_all(tx, ["bob@example.com", "a_da@example.com"], MANUAL, NOON)

    assert [s.email for s in suppressions.look_for(tx, "A_DA", limit=9)] == ["a_da@example.com"]
    assert len(suppressions.look_for(tx, "example", limit=1)) == 1
