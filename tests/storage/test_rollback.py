"""Whether a data directory is the one that goes on: each row of the table, and each that must not stop a start."""

from dataclasses import replace
from datetime import timedelta

import pytest

from storage.aliveness import Counts, Leader
from storage.rollback import Evidence, doubt_about, highest
from storage.witness import Witnessed
from tests.builders import NOON

LEDGER = Counts(starts=3, leases=40, minutes=5, heartbeats=500)
HOURS_AGO = NOON - timedelta(hours=5)


def a_testimony(counts: Counts = LEDGER, *, boot_id: str | None = "boot") -> Witnessed:
    return Witnessed(counts=counts, boot_id=boot_id, folder="/srv/data", was_hurt=False)


def a_leader(**changes: object) -> Leader:
    leader = Leader(
        epoch=3,
        boot_id="boot",
        machine_id="machine",
        pid=1,
        started_at=HOURS_AGO,
        last_tick=HOURS_AGO,
        heartbeat_at=HOURS_AGO,
        heartbeat_elapsed=None,
        stopped_cleanly=False,
    )
    return replace(leader, **changes)


def evidence(**changes: object) -> Evidence:
    """Return what a start finds five hours after a kill -9 on the same boot; the witness agrees."""
    found = Evidence(
        ledger=LEDGER,
        last=a_leader(),
        outer=a_testimony(),
        inner=a_testimony(),
        backed_up_at=None,
        boot_id="boot",
        machine_id="machine",
        now=NOON,
        window=timedelta(hours=1),
    )
    return replace(found, **changes)


def reason(**changes: object) -> str:
    doubt = doubt_about(evidence(**changes))
    return doubt.reason if doubt else ""


def test_an_ordinary_crash_goes_on_however_late_where_the_witness_agrees() -> None:
    assert reason() == ""
    assert reason(now=NOON + timedelta(days=400)) == ""


@pytest.mark.parametrize("which", ["outer", "inner"])
@pytest.mark.parametrize("count", ["starts", "leases", "minutes", "heartbeats"])
def test_a_witness_above_the_ledger_has_seen_a_later_one(which: str, count: str) -> None:
    above = replace(LEDGER, **{count: getattr(LEDGER, count) + 1})

    assert "older state of itself" in reason(**{which: a_testimony(above)})


def test_heartbeats_that_a_dead_machine_lost_prove_nothing() -> None:
    above = replace(LEDGER, heartbeats=LEDGER.heartbeats + 9)

    assert reason(outer=a_testimony(above, boot_id="an earlier boot")) == ""
    assert reason(outer=a_testimony(above, boot_id=None), boot_id=None) == ""


def test_another_machine_is_a_move_or_a_copy() -> None:
    assert "another machine" in reason(machine_id="another")


@pytest.mark.parametrize("absent", [None, ""])
def test_a_machine_without_an_id_is_not_compared(absent: str | None) -> None:
    assert reason(machine_id=absent) == ""
    assert reason(last=a_leader(machine_id=absent)) == ""


def test_the_mark_of_a_backup_says_when_it_was_made() -> None:
    assert "from a backup of 2026-03-02 12:00 UTC" in reason(backed_up_at=NOON)


@pytest.mark.parametrize(
    "outer", [None, a_testimony(replace(LEDGER, starts=2)), a_testimony(replace(LEDGER, leases=39))]
)
def test_where_no_witness_proves_it_a_long_silence_is_doubted_but_for_those_that_say_send(
    outer: Witnessed | None,
) -> None:
    doubt = doubt_about(evidence(outer=outer))

    assert doubt is not None
    assert "5 hours ago" in doubt.reason
    assert doubt.spares_send


def test_the_witness_inside_the_directory_is_copied_with_it_and_proves_nothing() -> None:
    assert reason(outer=None, inner=a_testimony()) != ""


def test_without_a_witness_a_short_silence_and_a_clean_stop_go_on() -> None:
    assert reason(outer=None, now=HOURS_AGO + timedelta(minutes=59)) == ""
    assert reason(outer=None, last=a_leader(stopped_cleanly=True)) == ""


def test_a_directory_that_nobody_has_led_yet_is_not_doubted() -> None:
    assert (
        reason(
            last=None,
            outer=None,
            inner=None,
            ledger=Counts(starts=0, leases=0, minutes=0, heartbeats=0),
        )
        == ""
    )


def test_numbers_that_anybody_has_seen_are_not_used_again() -> None:
    seen = Counts(starts=9, leases=1, minutes=5, heartbeats=800)

    assert highest(evidence(inner=a_testimony(seen))) == Counts(
        starts=9, leases=40, minutes=5, heartbeats=800
    )
