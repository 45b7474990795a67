"""What is done to schedules is in the audit log, whoever did it: the desk, the file, the scheduler."""

from pathlib import Path

from identity import audit
from identity.audit import Deed
from scheduler import desk
from tests.fake_clock import FakeClock
from tests.house import a_house
from tests.scheduler.office import Office

ANNA = audit.Author(actor="user:1", by="anna@example.com", address="192.0.2.1")


def deeds(office: Office) -> list[Deed]:
    with office.house.database.read() as tx:
        assert audit.first_fault(tx, office.house.key) is None
        return [entry.deed for entry in reversed(audit.entries(tx, limit=50))]


def test_the_desk_notes_who_did_what(tmp_path: Path) -> None:
    clock = FakeClock()
    with a_house(tmp_path, clock=clock) as house:
        office = Office(house, clock)
        schedule = office.schedule("2026-03-03T09:00")
        desk.pause(house.scheduler, schedule.id, note="holiday", by=ANNA)
        desk.pause(house.scheduler, schedule.id, note=None, by=ANNA)
        desk.resume(house.scheduler, schedule.id, note=None, by=ANNA)
        run = desk.run_now(house.scheduler, schedule.id, request_key="k", by=ANNA)
        desk.run_now(house.scheduler, schedule.id, request_key="k", by=ANNA)

        made, paused, resumed, ran = deeds(office)

    assert (made.actor, made.action, made.object) == ("sendonce", "create", "schedule:1")
    assert made.label != ""
    assert (paused.actor, paused.action, paused.address) == ("user:1", "pause", "192.0.2.1")
    assert paused.before == {"enabled": True, "note": None}
    assert paused.after == {"enabled": False, "note": "holiday"}
    assert resumed.action == "resume"
    assert (ran.action, ran.after) == ("run now", {"run": run.id})


def test_an_edit_in_the_file_and_an_entry_taken_out_of_it_are_noted(tmp_path: Path) -> None:
    clock = FakeClock()
    with a_house(tmp_path, clock=clock) as house:
        office = Office(house, clock)
        office.schedule("2026-03-03T09:00")
        entries = office.entries()
        office.write_entries([entries[0] | {"note": "by hand"}])
        with house.store.edit():
            pass
        office.write_entries([])
        with house.store.edit():
            pass

        _, edited, gone = deeds(office)

    assert (edited.actor, edited.action, edited.after) == (
        "schedule file",
        "change",
        {"note": "by hand"},
    )
    assert (gone.actor, gone.action, gone.object) == ("schedule file", "take out", "schedule:1")
    assert gone.before["note"] == "by hand"
