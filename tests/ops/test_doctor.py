import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from accounts import store as account_store
from accounts.model import AccountFields
from assembly import Sendonce
from foundation.settings import Settings
from identity import audit
from ops.doctor import Finding, Verdict, diagnose, examine
from storage import aliveness, installation
from tests.fake_clock import FakeClock
from tests.house import a_house, settings_for

CLOCK = FakeClock()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Sendonce]:
    """A data directory that a server has run on, and stopped cleanly."""
    with a_house(tmp_path, clock=CLOCK) as house:
        with house.store.edit():
            pass
        _led(house, stopped=True)
        yield house


def _led(house: Sendonce, *, stopped: bool) -> None:
    now = CLOCK.now()
    with house.database.write(durable=True) as tx:
        epoch = aliveness.raise_epoch(tx, boot_id="b", machine_id="m", pid=4711, now=now)
        if stopped:
            aliveness.mark_clean_stop(tx, epoch, now=now, elapsed=CLOCK.elapsed())


def look(house: Sendonce, *, later: timedelta = timedelta(0)) -> list[Finding]:
    return diagnose(house.settings, FakeClock(CLOCK.now() + later))


def wrong(findings: list[Finding]) -> list[str]:
    return [f.what for f in findings if f.verdict is Verdict.WRONG]


def finding(findings: list[Finding], what: str) -> Finding:
    [found] = [f for f in findings if f.what == what]
    return found


def test_a_directory_that_can_not_be_made_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings.load({"SENDONCE_DATA_DIR": str(tmp_path / "file" / "inside" / "data")})

    found = finding(diagnose(settings, CLOCK), "data directory")

    assert found.verdict is Verdict.WRONG
    assert "can't be used (Not a directory)" in found.says
    assert examine(settings) == 1


def test_a_healthy_directory_has_nothing_wrong(house: Sendonce) -> None:
    findings = look(house)

    assert wrong(findings) == []
    assert finding(findings, "database").verdict is Verdict.OK
    assert finding(findings, "schedules").says.startswith("0 in")
    assert finding(findings, "account 1, Sandbox").verdict is Verdict.OK


def test_a_directory_that_does_not_exist_yet_is_no_fault_and_is_not_made(tmp_path: Path) -> None:
    findings = diagnose(settings_for(tmp_path), CLOCK)

    assert wrong(findings) == []
    assert not (tmp_path / "data").exists()


def test_a_directory_without_a_database_gets_none(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o700)

    diagnose(settings_for(tmp_path), CLOCK)

    assert list((tmp_path / "data").iterdir()) == []


def test_a_file_in_the_place_of_the_directory_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")

    assert wrong(diagnose(settings_for(tmp_path), CLOCK)) == ["data directory"]


def test_a_database_that_is_none_is_wrong(house: Sendonce) -> None:
    house.database.close()
    for name in ("sendonce.db-wal", "sendonce.db-shm"):
        (house.settings.data_dir / name).unlink(missing_ok=True)
    (house.settings.data_dir / "sendonce.db").write_bytes(b"not a database" * 1000)

    findings = look(house)

    assert "database" in wrong(findings)
    assert "damaged" in finding(findings, "database").says


def test_a_database_with_a_broken_page_is_wrong(house: Sendonce) -> None:
    house.database.checkpoint()
    house.database.close()
    path = house.settings.data_dir / "sendonce.db"
    data = bytearray(path.read_bytes())
    data[8192:16384] = b"\x55" * 8192
    path.write_bytes(data)

    assert "database" in wrong(look(house))


def test_each_bad_entry_of_the_schedule_file_is_named_by_its_place(house: Sendonce) -> None:
    good = {"campaign_id": 1, "schedule_time": "2026-04-01T09:00:00", "schedule_type": "daily"}
    entries = [good | {"id": 1}, good | {"id": 2, "schedule_type": "sometimes"}, "nonsense"]
    path = house.settings.data_dir / "scheduled_campaigns.json"
    path.write_text(json.dumps(entries))

    says = [f.says for f in look(house) if f.verdict is Verdict.WRONG]

    assert len(says) == 2
    assert says[0].startswith("Entry 1 of scheduled_campaigns.json")
    assert "schedule_type" in says[0]
    assert says[1].startswith("Entry 2 of scheduled_campaigns.json")


def test_a_damaged_schedule_file_is_wrong_and_left_alone(house: Sendonce) -> None:
    path = house.settings.data_dir / "scheduled_campaigns.json"
    path.write_text('[{"id": 1,')

    assert wrong(look(house)) == ["schedules"]
    assert path.read_text() == '[{"id": 1,'


def test_an_account_that_can_t_be_reached_is_wrong_and_the_step_is_named(house: Sendonce) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fields = AccountFields(name="Ours", host="127.0.0.1", port=port, from_email="a@example.com")
    with house.database.write(durable=True) as tx:
        account_store.create(tx, fields, key=house.key, now=CLOCK.now())

    findings = look(house)

    assert wrong(findings) == ["account 2, Ours"]
    says = finding(findings, "account 2, Ours").says
    assert f"127.0.0.1:{port} fails at connect" in says
    assert says.endswith("Check its host and port, and whether a firewall is between.")


def test_an_account_that_fails_and_is_paused_has_to_be_resumed(house: Sendonce) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    fields = AccountFields(name="Ours", host="127.0.0.1", port=port, from_email="a@example.com")
    with house.database.write(durable=True) as tx:
        account_store.create(tx, fields, key=house.key, now=CLOCK.now())
        account_store.pause(tx, 2, "the password was refused")

    says = finding(look(house), "account 2, Ours").says

    assert says.endswith("Then POST /api/accounts/2/resume.")


def test_a_paused_account_that_can_be_reached_is_a_warning(house: Sendonce) -> None:
    with house.database.write(durable=True) as tx:
        account_store.pause(tx, 1, "the password was refused")

    found = finding(look(house), "account 1, Sandbox")

    assert found.verdict is Verdict.WARNING
    assert "paused: the password was refused" in found.says
    assert "POST /api/accounts/1/resume" in found.says


def test_a_clock_before_the_last_heartbeat_is_wrong(house: Sendonce) -> None:
    findings = look(house, later=timedelta(minutes=-5))

    assert [f.what for f in findings if f.verdict is Verdict.WRONG] == ["clock"]


def test_a_clock_far_after_the_last_heartbeat_is_a_warning(house: Sendonce) -> None:
    says = [f.says for f in look(house, later=timedelta(days=40)) if f.what == "clock"]

    assert "Is the clock right?" in says[-1]


def test_a_leader_that_lives_is_named(house: Sendonce) -> None:
    _led(house, stopped=False)

    assert finding(look(house), "scheduler").says == "process 4711 leads"


def test_a_leader_that_is_not_heard_of_any_more_is_a_warning(house: Sendonce) -> None:
    _led(house, stopped=False)

    found = finding(look(house, later=timedelta(minutes=1)), "scheduler")

    assert found.verdict is Verdict.WARNING
    assert "did not stop by itself" in found.says


def test_a_directory_that_others_can_look_into_is_a_warning(house: Sendonce) -> None:
    house.settings.data_dir.chmod(0o755)

    found = finding(look(house), "files")

    assert found.verdict is Verdict.WARNING
    assert f"chmod -R go-rwx {house.settings.data_dir}" in found.says


def test_a_key_that_others_can_read_is_wrong(house: Sendonce) -> None:
    key = house.settings.data_dir / "secret_key"
    key.write_text("key")
    key.chmod(0o644)

    assert wrong(look(house)) == ["secret key"]


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        (None, Verdict.WARNING),
        ("http://mail.example.com", Verdict.WARNING),
        ("https://mail.example.com", Verdict.OK),
    ],
)
def test_a_public_address_without_https_is_a_warning(
    tmp_path: Path, url: str | None, verdict: Verdict
) -> None:
    settings = settings_for(tmp_path, **({"public_url": url} if url else {}))

    assert finding(diagnose(settings, CLOCK), "public address").verdict is verdict


def test_the_status_is_1_only_if_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings: Settings = settings_for(tmp_path)
    assert examine(settings) == 0
    (tmp_path / "data").write_text("")

    assert examine(settings) == 1
    assert "1 wrong" in capsys.readouterr().out


def test_a_directory_that_is_in_doubt_and_a_clock_that_jumped_are_wrong(house: Sendonce) -> None:
    with house.database.write(durable=True) as tx:
        installation.doubt(tx, "It is a copy.", spares_send=False, now=CLOCK.now())
        installation.note_clock(tx, 7200.0)

    found = look(house)

    assert finding(found, "doubt").says.startswith("It is a copy. Runs and slots are held")
    assert "clock" in wrong(found)


def test_a_state_folder_that_can_not_be_used_is_to_be_looked_at(house: Sendonce) -> None:
    house.settings.state_dir.parent.mkdir(exist_ok=True)
    house.settings.state_dir.write_text("a file where the folder should be")

    assert finding(look(house), "witness").verdict is Verdict.WARNING


def test_a_restore_that_was_cut_off_is_wrong(house: Sendonce) -> None:
    (house.settings.data_dir / "restore-old").mkdir()

    assert "was not finished" in finding(look(house), "restore").says


def test_an_audit_log_that_somebody_touched_is_wrong(house: Sendonce) -> None:
    with house.database.write(durable=True) as tx:
        for number in (1, 2):
            deed = audit.SENDONCE.did("change", f"campaign:{number}")
            audit.record(tx, deed, key=house.key, now=CLOCK.now())
    assert finding(look(house), "audit log").says == "whole, 2 entries"

    with house.database.write(durable=True) as tx:
        tx.execute(text("UPDATE audit_entries SET action = 'look' WHERE id = 1"))

    found = finding(look(house), "audit log")
    assert found.verdict is Verdict.WRONG
    assert "Entry 1 of the audit log, or the one before it, was changed." in found.says
