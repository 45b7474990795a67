from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, select, update

from identity import audit
from identity.audit import Deed
from identity.tables import audit_entries, audit_head
from storage.sealed import SecretKey
from tests.builders import NOON, a_database

KEY = SecretKey(b"a secret key for tests")


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        tx.execute(insert(audit_head).values(id=1, entries=0, seal="0" * 64))  # as the migration
        yield tx
    database.close()


def record(tx, number=1, actor="user:1", by="anna@example.com", object_="campaign:7", at=NOON):
    deed = Deed(
        actor=actor,
        by=by,
        action="change",
        object=object_,
        label="Weekly digest",
        before={"subject": f"old {number}"},
        after={"subject": f"new {number}"},
        address="192.0.2.1",
    )
    audit.record(tx, deed, key=KEY, now=at)
    return deed


def test_what_was_done_is_read_back_newest_first(tx):
    first = record(tx, 1)
    second = record(tx, 2, at=NOON + timedelta(seconds=1))

    found = audit.entries(tx, limit=10)

    assert [entry.deed for entry in found] == [second, first]
    assert [entry.id for entry in found] == [2, 1]
    assert found[0].at == NOON + timedelta(seconds=1)


def test_entries_are_found_by_who_what_and_when(tx):
    record(tx, actor="user:1", by="anna@example.com", object_="campaign:7")
    record(tx, actor="token:3", by='the token "deploy"', object_="campaign:70")
    record(tx, actor="scheduler", by="the scheduler", object_="schedule:7", at=NOON.replace(day=3))

    def ids(**which):
        return [entry.id for entry in audit.entries(tx, limit=10, **which)]

    assert ids(actor="token:3") == [2]
    assert ids(actor="ANNA") == [1]
    assert ids(object_="campaign:7") == [1]
    assert ids(object_="campaign") == [2, 1]
    assert ids(since=NOON.replace(day=3)) == [3]
    assert ids(until=NOON.replace(day=3)) == [2, 1]
    assert ids(before=3) == [2, 1]
    assert ids(actor="%") == []


def test_a_log_that_nobody_touched_has_no_fault(tx):
    assert audit.first_fault(tx, KEY) is None

    record(tx, 1)
    record(tx, 2)

    assert audit.first_fault(tx, KEY) is None


@pytest.mark.parametrize(
    ("touch", "says"),
    [
        (update(audit_entries).where(audit_entries.c.id == 2).values(by="somebody"), "Entry 2"),
        (update(audit_entries).where(audit_entries.c.id == 1).values(after=None), "Entry 1"),
        (
            delete(audit_entries).where(audit_entries.c.id == 2),
            "Entry 2 of the audit log is missing",
        ),
        (delete(audit_entries).where(audit_entries.c.id == 3), "3 were written"),
        (delete(audit_head), "head is missing"),
        (update(audit_head).values(entries=2), "did not write"),
        (update(audit_head).values(key_sealed=None), "another secret key"),
        (delete(audit_entries), "3 were written"),
    ],
)
def test_a_touched_log_is_seen_and_stays_to_be_seen(tx, touch, says):
    for number in (1, 2, 3):
        record(tx, number)

    tx.execute(touch)

    assert says in audit.first_fault(tx, KEY)
    record(tx, 4)
    assert audit.first_fault(tx, KEY) is not None


def test_a_log_that_was_cut_off_behind_an_entry_is_seen_although_its_head_says_so_too(tx):
    for number in (1, 2, 3):
        record(tx, number)
    kept = tx.execute(select(audit_entries.c.seal).where(audit_entries.c.id == 2)).scalar_one()

    tx.execute(delete(audit_entries).where(audit_entries.c.id == 3))
    tx.execute(update(audit_head).values(entries=2, seal=kept))

    assert "Entries behind entry 2" in audit.first_fault(tx, KEY)
    record(tx, 3)
    assert "Entry 3" in audit.first_fault(tx, KEY)


def test_a_log_that_was_emptied_is_seen(tx):
    record(tx, 1)

    tx.execute(delete(audit_entries))
    tx.execute(delete(audit_head))

    assert "head is missing" in audit.first_fault(tx, KEY)
    record(tx, 1)
    assert "Entry 1" in audit.first_fault(tx, KEY)


def test_an_entry_put_in_by_another_hand_is_seen(tx):
    record(tx, 1)
    kept = tx.execute(select(audit_entries)).one()._asdict()

    tx.execute(insert(audit_entries).values(kept | {"id": 2}))
    tx.execute(update(audit_head).values(entries=2))

    assert "Entry 2" in audit.first_fault(tx, KEY)


def test_without_the_installations_key_nobody_can_say_and_the_log_goes_on(tx):
    record(tx, 1)
    other = SecretKey(b"somebody else's key")

    assert "another secret key" in audit.first_fault(tx, other)
    audit.record(tx, audit.SCHEDULER.did("pause", "schedule:7"), key=other, now=NOON)
    assert len(audit.entries(tx, limit=10)) == 2
    assert "Entry 1" in audit.first_fault(tx, other)


def test_many_deeds_are_a_chain_too(tx):
    record(tx, 1)

    deeds = [audit.SCHEDULE_FILE.did("change", f"schedule:{number}") for number in range(3)]
    audit.record_all(tx, deeds, key=KEY, now=NOON)

    assert audit.first_fault(tx, KEY) is None
    assert audit.size(tx) == 4


def test_of_a_long_text_only_its_beginning_and_a_hash_are_kept(tx):
    deed = audit.SENDONCE.did("change", "campaign:7", after={"html": "x" * 100_000, "n": [1, "y"]})
    audit.record(tx, deed, key=KEY, now=NOON)

    (entry,) = audit.entries(tx, limit=1)

    assert entry.deed.after["html"].startswith("xxx")
    assert "100,000 characters, SHA-256" in entry.deed.after["html"]
    assert len(entry.deed.after["html"]) < 320
    assert entry.deed.after["n"] == [1, "y"]


def test_a_person_has_one_name_in_the_log_that_tells_nobody_the_address():
    name = audit.person(KEY, "anna@example.com")

    assert name == audit.person(KEY, "anna@example.com")
    assert name != audit.person(KEY, "bob@example.com")
    assert name != audit.person(SecretKey(b"somebody else's key"), "anna@example.com")
    assert "anna" not in name
