import pytest

from delivery.model import Counts
from ops.reconciliation import reconcile

ANN, BEN = "ann@example.com", "ben@example.com"


def counts(**changes: int) -> Counts:
    fields = {
        "recipients": 2,
        "queued": 0,
        "sending": 0,
        "sent": 2,
        "failed": 0,
        "skipped": 0,
        "in_doubt": 0,
    }
    return Counts(**(fields | changes))


def test_it_adds_up_when_everybody_has_one_message_by_both_accounts() -> None:
    found = reconcile([ANN, BEN], counts(), [BEN, ANN])

    assert found.adds_up
    assert (found.received, found.duplicates, found.missing, found.strangers) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("received", "duplicates", "missing", "strangers"),
    [
        ([ANN], 0, 1, 0),
        ([ANN, BEN, BEN], 1, 0, 0),
        ([ANN, ANN, ANN, BEN], 2, 0, 0),
        ([ANN, ANN], 1, 1, 0),
        ([ANN, "cleo@example.com"], 0, 1, 1),
        ([], 0, 2, 0),
    ],
)
def test_it_does_not_add_up_when_the_mail_server_has_something_else(
    received: list[str], duplicates: int, missing: int, strangers: int
) -> None:
    found = reconcile([ANN, BEN], counts(), received)

    assert not found.adds_up
    assert (found.duplicates, found.missing, found.strangers) == (duplicates, missing, strangers)


@pytest.mark.parametrize(
    "changes",
    [
        {"sent": 1, "in_doubt": 1},
        {"sent": 1, "failed": 1},
        {"sent": 1, "skipped": 1},
        {"sent": 1, "queued": 1},
        {"sent": 1, "sending": 1},
        {"sent": 1, "recipients": 1},
        {"sent": 3, "recipients": 3},
        {"sent": 1},
    ],
)
def test_it_does_not_add_up_when_the_ledger_says_something_else(changes: dict[str, int]) -> None:
    assert not reconcile([ANN, BEN], counts(**changes), [ANN, BEN]).adds_up
