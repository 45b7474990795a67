import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from foundation.errors import Unavailable
from scheduler.entries import Damaged, parse
from scheduler.reconcile import Kind
from scheduler.tables import schedule_copies
from tests.scheduler.house import House, ids


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"   \n",
        b"[",
        b"{}",
        b"null",
        b"[1,]",
        b"\x00" * 50,
        b"\xff\xfe",
        b'[{"id": 1}',
        b"[" * 900 + b"]" * 900,
    ],
)
def test_a_damaged_file_is_mended_from_the_copy_and_what_it_held_is_kept(
    house: House, content: bytes
) -> None:
    schedules = house.add_many(2)
    house.write(content)

    with house.store.edit() as book:
        assert list(book.schedules.values()) == schedules

    assert [entry["id"] for entry in house.entries] == [1, 2]
    assert house.quarantined() == [content]
    [notice] = house.notices()
    assert notice.kind is Kind.DAMAGE
    assert notice.detail["quarantine"] in notice.message
    assert len(house.edits) == 2


def test_a_file_that_is_just_being_written_is_waited_for(house: House) -> None:
    schedules = house.add_many(2)
    text = house.path.read_bytes()
    house.path.write_bytes(text[:100])
    house.date_file(seconds_ago=0)

    with pytest.raises(Unavailable, match="mended in 2 seconds"):
        house.load()
    assert house.store.read() == schedules
    house.clock.advance(seconds=1.9)
    house.path.write_bytes(text[:200])  # still at it
    house.date_file(seconds_ago=0)
    house.clock.advance(seconds=1.9)
    with pytest.raises(Unavailable):
        house.load()
    house.path.write_bytes(text)
    house.load()

    assert house.store.read() == schedules
    assert house.kinds() == []
    assert house.quarantined() == []


def test_a_damaged_file_dated_in_the_future_is_mended_after_two_seconds(house: House) -> None:
    house.add()
    house.write(b"oops")
    house.date_file(seconds_ago=-3600)

    with pytest.raises(Unavailable):
        house.load()
    house.clock.advance(seconds=2)
    house.load()

    assert ids(house.store.read()) == [1]


def test_a_file_that_is_gone_is_mended_when_it_stays_away(house: House) -> None:
    schedules = house.add_many(2)
    house.path.unlink()

    with pytest.raises(Unavailable):
        house.load()
    assert house.store.read() == schedules
    assert house.a_store().read() == schedules
    house.clock.advance(seconds=2)
    house.load()

    assert house.store.read() == schedules
    assert house.kinds() == [Kind.DAMAGE]
    assert house.quarantined() == []


def test_a_process_that_starts_on_a_damaged_file_shows_the_copy(house: House) -> None:
    schedules = house.add_many(2)
    house.write(b"oops")

    assert house.a_store().read() == schedules


def test_mending_keeps_the_order_that_was_known(house: House) -> None:
    house.add_many(3)
    house.write([house.entries[2], house.entries[0], house.entries[1]])
    house.load()

    house.write(b"oops")
    house.load()

    assert [entry["id"] for entry in house.entries] == [3, 1, 2]


def test_nothing_in_quarantine_is_ever_overwritten(house: House) -> None:
    house.add()

    for content in (b"one", b"two", b"three"):
        house.write(content)
        house.load()

    assert sorted(house.quarantined()) == [b"one", b"three", b"two"]


def test_mending_brings_back_nothing_that_was_deleted_or_missing(house: House) -> None:
    house.add_many(3)
    with house.store.edit() as book:
        book.remove(1)
    house.write(house.entries[1:])
    house.load()

    house.write(b"oops")
    house.load()

    assert [entry["id"] for entry in house.entries] == [3]


def test_a_file_with_a_byte_order_mark_is_no_damage(house: House) -> None:
    house.add()
    house.write(b"\xef\xbb\xbf" + house.path.read_bytes())

    house.load()

    assert house.kinds() == []
    assert ids(house.store.read()) == [1]


def test_a_file_cut_off_at_any_byte_is_damage(house: House) -> None:
    house.add_many(2)
    whole = house.path.read_bytes().rstrip()

    for length in range(len(whole)):
        with pytest.raises(Damaged):
            parse(whole[:length])


def test_a_file_with_any_byte_garbled_is_damage_or_still_has_its_entries(house: House) -> None:
    house.add_many(2)
    whole = house.path.read_bytes().rstrip()

    for at in range(len(whole)):
        for byte in b'\x00\xff ]}"':
            entries = _entries_or_damage(whole[:at] + bytes([byte]) + whole[at + 1 :])
            assert entries is None or len(entries) >= 1


def _entries_or_damage(data: bytes) -> list[Any] | None:
    try:
        return parse(data)
    except Damaged:
        return None


@st.composite
def _damaged(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    kind = draw(st.sampled_from(["flip", "cut", "insert", "drop"]))
    where = draw(st.floats(0, 1, exclude_max=True))
    what = draw(
        st.binary(min_size=1, max_size=3) | st.sampled_from([b"[", b"]", b"{}", b",", b'"'])
    )
    bit = draw(st.integers(0, 7))

    def damage(data: bytes) -> bytes:
        at = int(where * len(data))
        match kind:
            case "flip":
                return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
            case "cut":
                return data[:at]
            case "insert":
                return data[:at] + what + data[at:]
            case _:
                return data[:at] + data[at + len(what) :]

    return damage


@settings(
    max_examples=75,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(damage=_damaged(), restarted=st.booleans())
def test_no_damage_loses_a_schedule(
    house: House, damage: Callable[[bytes], bytes], restarted: bool
) -> None:
    _start_over(house)
    before = {s.id: s for s in house.add_many(3)}
    damaged = damage(house.path.read_bytes())
    house.write(damaged)
    if restarted:
        house.store = house.a_store()

    with house.store.edit() as book:
        live, gone, bad = dict(book.schedules), dict(book.gone), dict(book.bad)

    assert set(before) <= {*live, *gone, *bad}
    try:
        was_a_list = isinstance(_loads(damaged), list)
    except ValueError:
        was_a_list = False
    if not was_a_list:
        assert live == before
        assert damaged in house.quarantined()
    with house.database.read() as tx:
        copies = {row.id: row.entry for row in tx.execute(select(schedule_copies))}
    assert set(before) <= set(copies)
    for id_ in set(gone) & set(before):
        assert copies[id_]["note"] == before[id_].note
    assert json.loads(house.path.read_bytes()) is not None
    _start_over(house)


def _loads(data: bytes) -> Any:
    return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))


def _start_over(house: House) -> None:
    with house.store.edit() as book:
        for id_ in [*book.schedules, *book.gone]:
            book.remove(id_)
    house.write([])
    house.load()
