from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import FieldError
from scheduler.entries import NO_ID, to_entry
from scheduler.model import Schedule, Status
from scheduler.reconcile import (
    HIGHEST_ACCEPTED,
    Copy,
    Edit,
    Gone,
    Kind,
    Plan,
    SetAside,
    Written,
    cancelled,
    reconcile,
    strays,
)
from tests.builders import NOON, a_schedule


def good(*schedules: Schedule) -> list[Written]:
    return [
        Written(index=index, raw=to_entry(s), id=s.id or None, schedule=s)
        for index, s in enumerate(schedules)
    ]


def bad(index: int, id_: int | None) -> Written:
    errors = (FieldError("note", "must be a text in quotes; it is 7"),)
    return Written(index=index, raw={"id": id_, "note": 7}, id=id_, schedule=None, errors=errors)


def live(*schedules: Schedule) -> dict[int, Copy]:
    return {s.id: Copy(schedule=s) for s in schedules}


def gone(schedule: Schedule, why: Gone = Gone.MISSING, *, days_ago: float = 1) -> dict[int, Copy]:
    gone_at = NOON - timedelta(days=days_ago)
    return {schedule.id: Copy(schedule=schedule, gone_at=gone_at, gone_why=why)}


def plan(written: Sequence[Written], copies: Mapping[int, Copy]) -> Plan:
    new_ids = {index: 100 + n for n, index in enumerate(strays(written, copies, now=NOON))}
    return reconcile(written, copies, new_ids=new_ids, now=NOON)


def kinds(found: Plan) -> list[Kind]:
    return [finding.kind for finding in found.findings]


def test_what_is_the_same_in_both_needs_nothing() -> None:
    one, two = a_schedule(id=1), a_schedule(id=2)

    found = plan(good(two, one), live(one, two))

    assert found == Plan(places=(two, one), edits=(), missing=(), findings=(), file_changes=False)


def test_the_ledgers_fields_are_taken_as_the_file_has_them() -> None:
    shown = a_schedule(last_run=NOON, total_runs=5, status=Status.RUNNING)

    found = plan(good(shown), live(a_schedule()))

    assert found.places == (shown,)
    assert found.edits == ()


def test_another_definition_under_the_same_version_is_an_edit_by_hand() -> None:
    edited = a_schedule(version=3, note="by hand", total_runs=5)

    found = plan(good(edited), live(a_schedule(version=3)))

    new = replace(edited, version=4)
    assert found.places == (new,)
    assert found.edits == (Edit(old=a_schedule(version=3), new=new),)
    assert found.file_changes


def test_a_lower_version_loses_to_the_copy_and_both_texts_are_told() -> None:
    kept = a_schedule(version=3, note="kept")
    lost = a_schedule(version=2, note="lost", total_runs=5)

    found = plan(good(lost), live(kept))

    assert found.places == (replace(kept, total_runs=5),)
    assert found.edits == ()
    assert found.file_changes
    assert kinds(found) == [Kind.OLD_VERSION]
    assert found.findings[0].detail == {"file": to_entry(lost), "kept": to_entry(kept)}


def test_a_lower_version_of_the_same_definition_is_put_right_without_a_word() -> None:
    found = plan(good(a_schedule(version=2)), live(a_schedule(version=3)))

    assert found.places == (a_schedule(version=3),)
    assert found.file_changes
    assert found.findings == ()


def test_a_higher_version_wins_as_it_is() -> None:
    ahead = a_schedule(version=5, note="ahead")

    found = plan(good(ahead), live(a_schedule(version=3)))

    assert found.places == (ahead,)
    assert found.edits == (Edit(old=a_schedule(version=3), new=ahead),)
    assert not found.file_changes


def test_an_id_never_met_before_is_accepted() -> None:
    found = plan(good(a_schedule(id=9)), {})

    assert found.edits == (Edit(old=None, new=a_schedule(id=9)),)
    assert not found.file_changes


def test_an_entry_that_is_not_there_is_missing() -> None:
    found = plan([], live(a_schedule(id=1), a_schedule(id=2)) | gone(a_schedule(id=3)))

    assert found.missing == (1, 2)
    assert kinds(found) == [Kind.MISSING] * 2
    assert not found.file_changes


@pytest.mark.parametrize("why", list(Gone))
def test_the_id_of_a_dead_one_is_not_used_again(why: Gone) -> None:
    days_ago = {Gone.MISSING: 30, Gone.DELETED: 0}[why]

    found = plan(
        good(a_schedule(id=1, version=4, total_runs=9)),
        gone(a_schedule(id=1), why, days_ago=days_ago),
    )

    new = a_schedule(id=100)
    assert found.places == (new,)
    assert found.edits == (Edit(old=None, new=new),)
    assert kinds(found) == [Kind.NEW_ID]
    assert "ids are never used again" in found.findings[0].message


def test_a_missing_one_that_is_there_again_goes_on_from_now() -> None:
    found = plan(good(a_schedule(note="changed")), gone(a_schedule(), days_ago=29.9))

    new = a_schedule(version=2, note="changed")
    assert found.edits == (Edit(old=cancelled(a_schedule()), new=new),)
    assert found.file_changes


def test_a_missing_one_that_is_there_again_in_an_old_text_is_the_kept_one() -> None:
    found = plan(good(a_schedule(note="old")), gone(a_schedule(version=3, note="kept")))

    assert found.places == (a_schedule(version=4, note="kept"),)
    assert kinds(found) == [Kind.OLD_VERSION]


def test_of_two_with_one_id_the_one_nobody_changed_keeps_it() -> None:
    original, changed = a_schedule(), a_schedule(note="a copy")

    above = plan(good(changed, original), live(original))
    below = plan(good(original, changed), live(original))

    assert [p.id for p in above.places] == [100, 1]
    assert [p.id for p in below.places] == [1, 100]
    assert above.missing == below.missing == ()


def test_of_two_with_one_id_never_met_the_first_keeps_it() -> None:
    found = plan(good(a_schedule(note="first"), a_schedule(note="second")), {})

    assert [p.id for p in found.places] == [1, 100]


def test_an_entry_without_an_id_waits_until_there_is_one_for_it() -> None:
    found = reconcile(good(a_schedule(id=NO_ID)), {}, new_ids={}, now=NOON)

    assert found == Plan(places=(), edits=(), missing=(), findings=(), file_changes=False)


def test_the_highest_id_accepted_leaves_room_for_more() -> None:
    accepted, refused = a_schedule(id=HIGHEST_ACCEPTED), a_schedule(id=HIGHEST_ACCEPTED + 1)

    found = plan(good(accepted, refused), {})

    assert [p.id for p in found.places] == [HIGHEST_ACCEPTED, 100]


def test_an_id_above_the_highest_accepted_that_the_sequence_gave_out_is_fine() -> None:
    schedule = a_schedule(id=HIGHEST_ACCEPTED + 5)

    assert plan(good(schedule), live(schedule)).places == (schedule,)


def test_a_bad_entry_is_neither_run_nor_missing_and_stops_nobody() -> None:
    one, two = a_schedule(id=1), a_schedule(id=2)

    found = plan([bad(0, 1), *good(one, two)[1:]], live(one, two))

    aside, other = found.places
    assert isinstance(aside, SetAside)
    assert (aside.id, aside.raw) == (1, {"id": 1, "note": 7})
    assert aside.sentence == (
        "Entry 0 (id 1) can't be used and does not run: note must be a text in quotes; it is 7."
        " Mend it in scheduled_campaigns.json."
    )
    assert other == two
    assert found.missing == ()
    assert not found.file_changes


def test_a_bad_entry_leaves_its_id_to_a_good_one() -> None:
    [_, one] = good(a_schedule(id=2), a_schedule(id=1))

    found = plan([bad(0, 1), one], live(a_schedule(id=1)))

    aside, schedule = found.places
    assert isinstance(aside, SetAside)
    assert aside.id is None
    assert schedule == a_schedule(id=1)


_few = st.integers(1, 4)
_schedules = st.builds(
    lambda id_, version, note: a_schedule(id=id_, version=version, note=note),
    st.integers(0, 5),
    _few,
    st.sampled_from(["a", "b"]),
)
_copies = st.lists(
    st.tuples(_schedules.filter(lambda s: s.id > 0), st.sampled_from(["live", *Gone]))
).map(
    lambda found: {
        s.id: live(s)[s.id] if state == "live" else gone(s, Gone(state))[s.id] for s, state in found
    }
)


@given(st.lists(_schedules | st.tuples(st.none() | _few), max_size=6), _copies)
def test_whatever_differs_is_settled_in_one_step(
    file: list[Schedule | tuple[int | None]], copies: dict[int, Copy]
) -> None:
    written = [
        good(entry)[0] if isinstance(entry, Schedule) else bad(0, entry[0]) for entry in file
    ]
    written = [replace(entry, index=index) for index, entry in enumerate(written)]

    first = plan(written, copies)
    after = copies | live(*(edit.new for edit in first.edits))
    after |= {i: gone(after[i].schedule, days_ago=0)[i] for i in first.missing}
    again = [
        replace(good(p)[0], index=i) if isinstance(p, Schedule) else replace(bad(i, p.raw["id"]))
        for i, p in enumerate(first.places)
    ]
    second = plan(again, after)

    assert len(first.places) == len(file)
    ids = [p.id for p in first.places if isinstance(p, Schedule)]
    assert len(set(ids)) == len(ids)
    assert second.places == first.places
    assert (second.edits, second.missing, second.file_changes) == ((), (), False)
    dead = {i for i, c in copies.items() if c.gone_why is Gone.DELETED}
    assert not dead & set(ids)
