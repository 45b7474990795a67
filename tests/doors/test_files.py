"""Whatever is kept on disk is its owner's alone, whatever the umask says; and doctor names what is not."""

import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.backup import backup
from ops.doctor import diagnose
from ops.findings import Verdict
from scheduler.thread import step
from tests.house import a_house, app_of, bearer, settings_for, tick_of
from tests.web.given import a_campaign, a_schedule


@pytest.fixture
def an_open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(*folders: Path) -> list[str]:
    return [
        f"{stat.S_IMODE(path.lstat().st_mode):o} {path.relative_to(folder.parent)}"
        for folder in folders
        for path in (folder, *folder.rglob("*"))
        if path.lstat().st_mode & 0o077
    ]


@pytest.mark.usefixtures("an_open_umask")
def test_nothing_that_is_kept_can_be_read_by_others(tmp_path: Path) -> None:
    settings_for(tmp_path).data_dir.mkdir(mode=0o700)
    with a_house(tmp_path) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        campaign = a_campaign(client)
        a_schedule(client, campaign_id=campaign["id"])
        sent = client.post(
            f"/api/campaigns/{campaign['id']}/test-send", json={"to": ["a@example.com"]}
        )
        file = {"file": (io.BytesIO(b"email\nann@example.com\n"), "people.csv")}
        taken = client.post("/api/audiences/1/import", data=file)
        tick_of(house)
        (house.settings.data_dir / "scheduled_campaigns.json").write_text("no json")
        step(house.scheduler, house.leader)
        house.clock.inner.advance(seconds=5)
        step(house.scheduler, house.leader)
        exposed = open_to_others(house.settings.data_dir, house.settings.state_dir)
        names = {path.name for path in house.settings.data_dir.rglob("*")}

    assert (sent.status_code, taken.status_code) == (200, 202)
    assert {"sendonce.db-wal", "sendonce.db-shm", "outbox", "quarantine"} <= names
    assert exposed == []


@pytest.mark.usefixtures("an_open_umask")
def test_a_backup_is_its_owners_alone(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        backup(house.settings, tmp_path / "backup.tar")

    assert stat.S_IMODE((tmp_path / "backup.tar").stat().st_mode) == 0o600


def test_doctor_names_what_others_can_read(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        folder = house.settings.data_dir
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
        before = [f for f in diagnose(house.settings) if f.what == "files"]
        (folder / "sendonce.db").chmod(0o644)
        (found,) = [f for f in diagnose(house.settings) if f.what == "files"]

    assert before == []
    assert found.verdict is Verdict.WARNING
    assert str(folder / "sendonce.db") in found.says
    assert f"chmod -R go-rwx {folder}" in found.says
