"""audience.store: who is in an audience, counted exactly."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select

from audience import store, suppressions
from audience.checking import check
from audience.model import SuppressionReason
from audience.tables import recipients
from foundation.errors import Conflict, Invalid, NotFound, Stale
from storage.database import Tx
from tests.audience.builders import a_row, add, an_audience
from tests.builders import NOON, a_database


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


def _emails(tx: Tx, audience_id: int) -> list[str]:
    return [r.email for r in store.list_recipients(tx, audience_id, q=None, after=None, limit=500)]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb", "a\0b", "\ud800"])
def test_an_audience_needs_a_name_of_one_line(tx: Tx, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        store.create_audience(tx, name, NOON)

    assert caught.value.errors[0].field == "name"


def test_renaming_raises_the_version_and_an_old_one_is_stale(tx: Tx) -> None:
    made = an_audience(tx)

    renamed = store.rename_audience(tx, made.id, " New ", expected_version=1)

    assert (renamed.name, renamed.version) == ("New", 2)
    with pytest.raises(Stale):
        store.rename_audience(tx, made.id, "Other", expected_version=1)
    with pytest.raises(Stale):
        store.delete_audience(tx, made.id, expected_version=1)


def test_an_audience_that_is_not_there_is_not_found(tx: Tx) -> None:
    for ask in (
        lambda: store.get_audience(tx, 7),
        lambda: store.rename_audience(tx, 7, "x", expected_version=None),
        lambda: store.delete_audience(tx, 7, expected_version=None),
        lambda: store.list_recipients(tx, 7, q=None, after=None, limit=5),
        lambda: add(tx, 7, ["a@example.com"]),
        lambda: store.remove_recipient(tx, 7, "a@example.com"),
    ):
        with pytest.raises(NotFound, match="There is no audience 7"):
            ask()


def test_deleting_an_audience_takes_its_recipients_along(tx: Tx) -> None:
    made = an_audience(tx)
    add(tx, made.id, ["a@example.com"])

    with pytest.raises(Conflict, match="Run 3"):
        store.delete_audience(tx, made.id, expected_version=None, kept_by="Run 3 needs it.")
    store.delete_audience(tx, made.id, expected_version=1)

    assert tx.execute(select(func.count()).select_from(recipients)).scalar_one() == 0


def test_audiences_are_listed_by_page(tx: Tx) -> None:
    ids = [an_audience(tx, f"A{number}").id for number in range(4)]

    first = store.list_audiences(tx, after=None, limit=2)
    rest = store.list_audiences(tx, after=first[-1].id, limit=5)

    assert [a.id for a in first + rest] == ids


def test_an_audience_is_found_by_id_or_by_name(tx: Tx) -> None:
    readers, first, second = an_audience(tx), an_audience(tx, "Twice"), an_audience(tx, "Twice")

    assert store.find_by_name(tx, str(readers.id)).name == "Readers"
    assert store.find_by_name(tx, " Readers ").id == readers.id
    with pytest.raises(Conflict, match=f"{first.id}, {second.id}"):
        store.find_by_name(tx, "Twice")


def test_whoever_names_no_audience_is_told_which_there_are(tx: Tx) -> None:
    with pytest.raises(NotFound, match=r'no audience "7"\. Make one with POST /api/audiences'):
        store.find_by_name(tx, "7")

    for name in "ABCDE":
        an_audience(tx, name)
    with pytest.raises(NotFound, match=r'"Readers"\. These are there: A, B, C, D, E\.'):
        store.find_by_name(tx, "Readers")
    an_audience(tx, "F")
    with pytest.raises(NotFound, match="A, B, C, D, E, and more"):
        store.find_by_name(tx, "Readers")


def test_rows_are_added_updated_and_rejected_each_once(tx: Tx) -> None:
    made = an_audience(tx)
    add(tx, made.id, ["there@example.com"])

    added = add(tx, made.id, ["new@example.com", "THERE@example.com", "nobody", "New@Example.com"])

    assert (added.added, added.updated) == (1, 2)
    assert [(r.row, r.email) for r in added.rejected] == [(3, "nobody")]
    assert store.get_audience(tx, made.id).recipients == 2
    assert _emails(tx, made.id) == ["THERE@example.com", "New@Example.com"]


def test_an_updated_recipient_keeps_the_id_and_what_is_not_said(tx: Tx) -> None:
    made = an_audience(tx)
    told = {"city": "Rome", "tags": {"vip": True}, "plan": "pro"}
    store.add_recipients(tx, made.id, [a_row(name="Ada", attributes=told)], NOON)
    before = store.find(tx, [made.id], "ada@example.com")

    changed = {"city": "", "tags": {"q": "ü"}, "new": 1}
    store.add_recipients(tx, made.id, [a_row(attributes=changed)], NOON)

    after = store.find(tx, [made.id], "ADA@example.com")
    assert before is not None
    assert after is not None
    assert (after.id, after.name) == (before.id, "Ada")
    assert after.attributes == {"city": "", "tags": {"q": "ü"}, "plan": "pro", "new": 1}


def test_rows_of_one_person_in_one_go_are_put_over_each_other(tx: Tx) -> None:
    made = an_audience(tx)
    rows = [
        a_row(row=1, name="Ada", attributes={"city": "Rome"}),
        a_row("ADA@example.com", row=2, attributes={"plan": "pro"}),
    ]

    added = store.add_recipients(tx, made.id, rows, NOON)

    (ada,) = store.list_recipients(tx, made.id, q=None, after=None, limit=9)
    assert (added.added, added.updated) == (1, 1)
    assert (ada.email, ada.name) == ("ADA@example.com", "Ada")
    assert ada.attributes == {"city": "Rome", "plan": "pro"}


def test_a_row_that_would_make_a_recipient_too_large_is_rejected(tx: Tx) -> None:
    made = an_audience(tx)
    store.add_recipients(tx, made.id, [a_row(attributes={"a": "x" * 10_000})], NOON)
    rows = [
        a_row("nobody", row=1),
        a_row(row=2, attributes={"b": "x" * 10_000}),
        a_row("nil", row=3),
    ]

    tried = store.would_add(tx, made.id, check(rows), set())
    added = store.add_recipients(tx, made.id, rows, NOON)

    assert tried == added
    assert (added.added, added.updated) == (0, 0)
    assert [r.row for r in added.rejected] == [1, 2, 3]
    assert "with those the recipient has already" in added.rejected[1].reason
    (ada,) = store.list_recipients(tx, made.id, q=None, after=None, limit=9)
    assert ada.attributes.keys() == {"a"}


def test_people_are_counted_once_however_many_lists_they_are_on(tx: Tx) -> None:
    one, two = an_audience(tx), an_audience(tx)
    add(tx, one.id, ["ann@example.com", "bob@example.com"])
    add(tx, two.id, ["ANN@example.com", "cy@example.com"])
    for suppressed in ("ann@example.com", "stranger@example.com"):
        suppressions.add(tx, suppressed, SuppressionReason.MANUAL, NOON)

    assert store.count_people(tx, [one.id]) == 2
    assert store.count_people(tx, [one.id, two.id]) == 3
    assert suppressions.count_suppressed(tx, [one.id, two.id]) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": "x" * 201}, "200"),
        ({"name": "a\r\nBcc: b@example.com"}, "line break"),
        ({"name": "a\x1bb"}, "control"),
        ({"name": "\ud800"}, "surrogate"),
        ({"email": ""}, "empty"),
        ({"email": "a@example.com\nb@example.com"}, "line break"),
        ({"attributes": {"a": "x" * 16_384}}, "16,384"),
        ({"attributes": {"a": float("nan")}}, "NaN"),
        ({"attributes": {"a": [[float("inf")]]}}, "NaN or infinity"),
        ({"attributes": {"a": "\ud800"}}, "JSON"),
        ({"attributes": {"a": 2**70}}, "JSON"),
    ],
)
def test_a_row_that_can_not_be_kept_says_why(tx: Tx, changes: dict[str, Any], words: str) -> None:
    made = an_audience(tx)
    row = a_row(**({"email": "a@example.com", "row": 9} | changes))

    added = store.add_recipients(tx, made.id, [row], NOON)

    assert (added.added, added.updated) == (0, 0)
    assert added.rejected[0].row == 9
    assert words in added.rejected[0].reason


def test_attributes_may_be_nested_twenty_levels_deep(tx: Tx) -> None:
    made = an_audience(tx)
    deep: dict[str, Any] = {}
    for _ in range(19):
        deep = {"a": deep}
    rows = [a_row(attributes=deep), a_row("b@example.com", row=2, attributes={"a": deep})]

    added = store.add_recipients(tx, made.id, rows, NOON)

    assert (added.added, [r.row for r in added.rejected]) == (1, [2])


def test_the_number_of_statements_does_not_follow_the_rows(tx: Tx) -> None:
    made = an_audience(tx)
    statements: list[str] = []
    event.listen(tx, "before_cursor_execute", lambda *args: statements.append(args[2]))

    add(tx, made.id, [f"p{number}@example.com" for number in range(1500)])

    assert len(statements) <= 6
    assert store.get_audience(tx, made.id).recipients == 1500


def test_a_removed_recipient_is_gone_and_no_longer_counted(tx: Tx) -> None:
    made = an_audience(tx)
    add(tx, made.id, ["a@example.com", "b@example.com"])

    store.remove_recipient(tx, made.id, "A@EXAMPLE.com")

    assert store.get_audience(tx, made.id).recipients == 1
    with pytest.raises(NotFound):
        store.remove_recipient(tx, made.id, "a@example.com")


def test_the_id_of_a_removed_recipient_is_never_used_again(tx: Tx) -> None:
    made = an_audience(tx)
    add(tx, made.id, ["a@example.com", "b@example.com"])
    ceiling = store.highest_recipient_id(tx, [made.id])
    store.remove_recipient(tx, made.id, "b@example.com")

    add(tx, made.id, ["b@example.com"])

    assert [r.email for r in store.members(tx, [made.id], after=0, ceiling=ceiling, limit=9)] == [
        "a@example.com"
    ]


def test_recipients_are_looked_for_in_address_and_name(tx: Tx) -> None:
    made = an_audience(tx)
    rows = [
        a_row("ada@example.com", name="Countess"),
        a_row("bob@example.com", row=2, name="100% Bob_"),
    ]
    store.add_recipients(tx, made.id, rows, NOON)

    def found(q: str) -> list[str]:
        page = store.list_recipients(tx, made.id, q=q, after=None, limit=5)
        return [r.email[:3] for r in page]

    assert (found("ADA"), found("count"), found("%"), found("b_")) == (
        ["ada"],
        ["ada"],
        ["bob"],
        ["bob"],
    )


def test_members_come_by_id_out_of_all_audiences(tx: Tx) -> None:
    one, two, other = an_audience(tx), an_audience(tx), an_audience(tx)
    add(tx, one.id, ["a@example.com"])
    add(tx, two.id, ["b@example.com", "a@example.com"])
    add(tx, other.id, ["x@example.com"])
    add(tx, one.id, ["c@example.com"])

    first = store.members(tx, [two.id, one.id], after=0, ceiling=10**9, limit=2)
    rest = store.members(tx, [two.id, one.id], after=first[-1].id, ceiling=10**9, limit=9)

    assert [r.email[0] for r in first + rest] == ["a", "b", "a", "c"]
    assert first[0].address_key == rest[0].address_key


def test_who_comes_after_the_freeze_is_not_a_member(tx: Tx) -> None:
    made, empty = an_audience(tx), an_audience(tx)
    add(tx, made.id, ["a@example.com"])
    ceiling = store.highest_recipient_id(tx, [made.id, empty.id])
    add(tx, made.id, ["b@example.com", "a@example.com"])

    found = store.members(tx, [made.id, empty.id], after=0, ceiling=ceiling, limit=9)

    assert [r.email for r in found] == ["a@example.com"]
    assert store.highest_recipient_id(tx, [empty.id]) == 0
    assert store.highest_recipient_id(tx, []) == 0


def test_members_walk_along_an_index(tx: Tx) -> None:
    statements: list[tuple[str, Any]] = []
    event.listen(tx, "before_cursor_execute", lambda *a: statements.append((a[2], a[3])))
    store.members(tx, [1, 2], after=5, ceiling=9, limit=3)

    plan = tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {statements[0][0]}", statements[0][1]).all()

    walks = [row.detail for row in plan if "recipients" in row.detail]
    assert len(walks) == 2
    assert all("SEARCH" in walk and "audience_id_id" in walk for walk in walks)


def test_the_first_member_has_the_lowest_id(tx: Tx) -> None:
    one, two = an_audience(tx), an_audience(tx)
    assert store.first_member(tx, [one.id, two.id]) is None

    add(tx, two.id, ["b@example.com"])
    add(tx, one.id, ["a@example.com"])

    first = store.first_member(tx, [one.id, two.id])
    assert first is not None
    assert first.email == "b@example.com"


def test_a_person_is_found_in_every_audience(tx: Tx) -> None:
    one, two = an_audience(tx), an_audience(tx)
    add(tx, one.id, ["a@example.com"])
    add(tx, two.id, ["A@example.com"])

    found = store.find_everywhere(tx, "a@example.com")

    assert [r.audience_id for r in found] == [one.id, two.id]
    assert store.find(tx, [two.id], "b@example.com") is None


_address = st.sampled_from(
    ["a@example.com", "A@EXAMPLE.com", "b@example.com", "c@example.org", "no"]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(calls=st.lists(st.lists(_address, max_size=5), max_size=4))
def test_the_counter_is_always_the_number_of_rows(tx: Tx, calls: list[list[str]]) -> None:
    made = an_audience(tx)
    for emails in calls:
        dry = store.would_add(
            tx, made.id, check([a_row(email, row=at) for at, email in enumerate(emails)]), set()
        )
        real = add(tx, made.id, emails)
        assert (dry.added, dry.updated, len(dry.rejected)) == (
            real.added,
            real.updated,
            len(real.rejected),
        )
        assert real.added + real.updated + len(real.rejected) == len(emails)

    counted = store.get_audience(tx, made.id).recipients

    assert (
        counted == len(_emails(tx, made.id)) == len({e.lower() for c in calls for e in c} - {"no"})
    )


def test_people_are_found_by_the_beginning_of_their_address_first(tx: Tx) -> None:
    first, second = an_audience(tx), an_audience(tx, "Others")
    add(tx, first.id, ["xann@example.com", "ann@example.com", "bob@example.com"])
    add(tx, second.id, ["ANN@example.com", "annika@example.com"])

    found = store.look_for(tx, " Ann", limit=9)

    assert [r.address_key for r in found] == [
        "ann@example.com",
        "annika@example.com",
        "xann@example.com",
    ]
    assert len(store.look_for(tx, "example", limit=2)) == 2
    assert store.look_for(tx, "%", limit=9) == store.look_for(tx, " ", limit=9) == []
