"""campaigns.store: what is kept of a campaign, and what is refused."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from audience import store as audience_store
from campaigns import store
from campaigns.model import InDoubtRule
from foundation.errors import Conflict, Invalid, NotFound, Stale
from storage.database import Tx
from tests.builders import NOON, a_database
from tests.campaigns.builders import campaign_fields, put_what_campaigns_need


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        put_what_campaigns_need(tx)
        yield tx
    database.close()


def test_a_campaign_is_kept_as_it_was_given(tx: Tx) -> None:
    given = campaign_fields(
        text="Hi",
        audience_ids=(2, 1),
        from_name="Ann",
        reply_to="ann@example.com",
        in_doubt=InDoubtRule.RESEND,
    )

    made = store.create(tx, given, NOON)

    assert store.get(tx, made.id) == made
    assert (made.version, made.audience_ids, made.account_ids) == (1, (2, 1), (1,))
    assert (made.text, made.from_name, made.reply_to) == ("Hi", "Ann", "ann@example.com")
    assert (made.in_doubt, made.created_at, made.updated_at) == (InDoubtRule.RESEND, NOON, NOON)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"subject": ""}, "subject"),
        ({"subject": "a\r\nBcc: x@example.com"}, "subject"),
        ({"subject": "{{ nobody }}"}, "subject"),
        ({"html": "{{ nobody }}"}, "html"),
        ({"text": "{{ nobody }}"}, "text"),
        ({"html": "", "text": None}, "html"),
        ({"audience_ids": ()}, "audience_ids"),
        ({"account_ids": ()}, "account_ids"),
        ({"audience_ids": (1, 77)}, "audience_ids"),
        ({"account_ids": (77,)}, "account_ids"),
        ({"audience_ids": (2**70,)}, "audience_ids"),
        ({"account_ids": (-1,)}, "account_ids"),
        ({"from_name": "a\nb"}, "from_name"),
        ({"reply_to": "nobody"}, "reply_to"),
        ({"reply_to": "a@example.com\r\nBcc: b@example.com"}, "reply_to"),
    ],
)
def test_a_wrong_field_is_named(tx: Tx, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        store.create(tx, campaign_fields(**changes), NOON)

    assert [error.field for error in caught.value.errors] == [field]


def test_all_wrong_fields_are_named_at_once(tx: Tx) -> None:
    with pytest.raises(Invalid) as caught:
        store.create(tx, campaign_fields(name="", html="{{ x }}", account_ids=()), NOON)

    assert {error.field for error in caught.value.errors} == {"name", "html", "account_ids"}


def test_a_change_raises_the_version_and_replaces_what_is_used(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(), NOON)
    later = NOON + timedelta(hours=1)

    changed = store.update(
        tx, made.id, {"subject": "Other", "audience_ids": [2]}, expected_version=1, now=later
    )

    assert (changed.version, changed.subject, changed.audience_ids) == (2, "Other", (2,))
    assert (changed.created_at, changed.updated_at) == (NOON, later)


def test_a_change_made_on_an_old_version_is_stale(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(), NOON)
    store.update(tx, made.id, {"name": "B"}, expected_version=None, now=NOON)

    with pytest.raises(Stale):
        store.update(tx, made.id, {"name": "C"}, expected_version=1, now=NOON)
    with pytest.raises(Stale):
        store.delete(tx, made.id, expected_version=1)

    assert store.get(tx, made.id).name == "B"


def test_a_campaign_that_is_not_there_is_not_found(tx: Tx) -> None:
    with pytest.raises(NotFound, match="There is no campaign 7"):
        store.get(tx, 7)
    with pytest.raises(NotFound):
        store.freeze(tx, 7)
    with pytest.raises(NotFound):
        store.delete(tx, 7, expected_version=None)


def test_a_campaign_that_is_needed_is_not_deleted(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(), NOON)

    with pytest.raises(Conflict, match="Schedule 3 uses it"):
        store.delete(tx, made.id, expected_version=None, kept_by="Schedule 3 uses it.")
    store.delete(tx, made.id, expected_version=1)

    with pytest.raises(NotFound):
        store.get(tx, made.id)


def test_an_audience_in_use_can_be_deleted_when_its_campaign_is_gone(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(), NOON)

    assert [c.id for c in store.users_of_audience(tx, 1)] == [made.id]
    with pytest.raises(Conflict, match="Audience 1"):
        audience_store.delete_audience(tx, 1, expected_version=None)
    store.delete(tx, made.id, expected_version=None)
    audience_store.delete_audience(tx, 1, expected_version=None)

    assert audience_store.missing(tx, [1, 2]) == [1]


def test_a_copy_has_its_own_id_and_name(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(name="x" * 198, audience_ids=(2, 1)), NOON)

    copy = store.duplicate(tx, made.id, NOON)

    assert copy.id != made.id
    assert copy.name == ("Copy of " + "x" * 198)[:200]
    assert (copy.version, copy.html, copy.audience_ids) == (1, made.html, (2, 1))


def test_freezing_gives_the_content_as_it_is_now(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(), NOON)
    frozen = store.freeze(tx, made.id)

    store.update(tx, made.id, {"html": "<p>New</p>"}, expected_version=None, now=NOON)

    assert (frozen.campaign_id, frozen.html) == (made.id, "<p>Hello</p>")
    assert (frozen.audience_ids, frozen.account_ids) == ((1,), (1,))


def test_missing_names_the_campaigns_that_are_not_there(tx: Tx) -> None:
    made = store.create(tx, campaign_fields(), NOON)

    assert store.missing(tx, [9, made.id, 8]) == [9, 8]


def test_a_list_of_campaigns_takes_as_many_queries_as_one(tx: Tx) -> None:
    for number in range(5):
        store.create(tx, campaign_fields(name=f"C{number}"), NOON)
    statements: list[str] = []
    event.listen(tx, "before_cursor_execute", lambda *args: statements.append(args[2]))

    page = store.list_(tx, after=1, limit=3)

    assert [campaign.name for campaign in page] == ["C1", "C2", "C3"]
    assert len(statements) == 4


def test_a_search_finds_names_and_subjects_newest_first(tx: Tx) -> None:
    for name, subject in (("Digest", "One"), ("Other", "The DIGEST"), ("Ärzte", "Two")):
        store.create(tx, campaign_fields(name=name, subject=subject), NOON)

    def found(q: str, before: int | None = None) -> list[str]:
        return [one.name for one in store.search(tx, q=q, before=before, limit=10)]

    assert found("") == ["Ärzte", "Other", "Digest"]
    assert found("", before=3) == ["Other", "Digest"]
    assert found("digest") == ["Other", "Digest"]
    assert found("Ärz") == ["Ärzte"]
    assert found("%") == []
