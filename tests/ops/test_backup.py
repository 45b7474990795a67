"""A backup that is made while a server runs, and what a directory is after it was restored."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from click.testing import CliRunner, Result
from filelock import FileLock

from accounts import store as account_store
from app import cli
from assembly import Edges, Sendonce, assemble
from foundation.errors import Conflict, Unavailable
from foundation.settings import Settings
from foundation.version import VERSION
from identity import audit, users
from identity.model import Role
from ops import backup_file
from ops.backup import backup
from ops.restore import restore
from scheduler.leadership import Leadership
from storage import installation, sequence
from storage.database import Database
from storage.migrate import _config
from tests.fake_clock import FakeClock
from tests.house import a_house, app_of, bearer, settings_for
from tests.web.given import a_schedule, an_account, materialised

CLOCK = FakeClock()
OPEN = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute("SELECT count(*) FROM runs").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a data directory with something in it, whose key is a file, and of a backup of it."""
    folder = tmp_path_factory.mktemp("filled")
    with a_house(folder):
        pass
    with a_keyed_house(folder) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        an_account(client, username="ann", password="a stored password", security="tls")
        materialised(house, client)
        with house.database.write(durable=True) as tx:
            users.create(tx, "ann@example.com", "a long password", Role.ADMIN, CLOCK.now())
        backup(house.settings, folder / "backup.tar", clock=CLOCK)
    return folder


@contextmanager
def a_keyed_house(folder: Path) -> Iterator[Sendonce]:
    house = assemble(keyed(folder), Edges(clock=CLOCK))
    try:
        yield house
    finally:
        house.store.resign()
        house.database.close()


def keyed(folder: Path) -> Settings:
    return replace(settings_for(folder), secret_key=None)


def restored(filled: Path, folder: Path) -> Settings:
    restore(keyed(folder), filled / "backup.tar", clock=CLOCK)
    return keyed(folder)


def rows_of(path: Path) -> dict[str, list[Any]]:
    """Return everything in a database, by table."""
    database = Database(path)
    with database.read() as tx:
        names = tx.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars()
        rows = {n: [*map(tuple, tx.exec_driver_sql(f'SELECT * FROM "{n}"'))] for n in names.all()}
    database.close()
    return rows


def test_everything_comes_back_and_the_mark_is_all_that_is_new(
    filled: Path, tmp_path: Path
) -> None:
    data = restored(filled, tmp_path).data_dir

    here, there = rows_of(data / "sendonce.db"), rows_of(filled / "data" / "sendonce.db")
    marked, original = here.pop("installation"), there.pop("installation")
    assert here == there
    assert len(here["deliveries"]) == 2
    assert [a for a, b in zip(marked[0], original[0], strict=True) if a != b] == [
        f"{CLOCK.now():%Y-%m-%d %H:%M:%S.%f}"
    ]
    for name in ("scheduled_campaigns.json", "secret_key"):
        assert (data / name).read_bytes() == (filled / "data" / name).read_bytes()


def test_a_restored_directory_opens_with_its_schedules_passwords_and_users(
    filled: Path, tmp_path: Path
) -> None:
    restored(filled, tmp_path)

    with a_keyed_house(tmp_path) as house:
        with house.database.read() as tx:
            assert installation.read(tx).backed_up_at == CLOCK.now()
            [_, relay] = account_store.list_(tx, house.key, after=None, limit=10)
            [ann] = users.list_(tx)
        [schedule] = house.store.read()
    assert relay.password == "a stored password"
    assert ann.email == "ann@example.com"
    assert schedule.enabled


def test_everything_restored_is_readable_by_its_owner_only(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)

    data = restored(filled, tmp_path).data_dir

    assert data.stat().st_mode & 0o777 == 0o700
    files = [data / name for name in ("sendonce.db", "scheduled_campaigns.json", "secret_key")]
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}


def test_it_is_one_moment_while_others_write_all_the_time(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                with house.database.write(durable=False) as tx:
                    sequence.next_id(tx, "one")
                    sequence.next_id(tx, "other")

        writing = threading.Thread(target=write)
        writing.start()
        try:
            backup(house.settings, tmp_path / "backup.tar")
        finally:
            stop.set()
            writing.join()
    restore(settings_for(tmp_path / "there"), tmp_path / "backup.tar")

    there = Database(tmp_path / "there" / "data" / "sendonce.db")
    with there.read() as tx:
        assert sequence.last_id(tx, "one") == sequence.last_id(tx, "other")
    there.close()


@contextmanager
def when_the_schedules_are_read(house: Sendonce, do: Callable[[], object]) -> Iterator[None]:
    """Do something while the schedule file is being read: a pipe lets its writer go on when somebody begins to read."""
    pipe = house.settings.data_dir / "scheduled_campaigns.json"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("wb") as file:
            do()
            file.write(b"[]\n")

    writing = threading.Thread(target=write)
    writing.start()
    yield
    writing.join()


def test_the_schedule_file_is_read_when_the_database_has_been_copied(tmp_path: Path) -> None:
    copied: list[int] = []

    def look() -> None:
        copied.extend(f.stat().st_size for f in tmp_path.glob(".*.tmp/sendonce.db"))

    with a_house(tmp_path) as house, when_the_schedules_are_read(house, look):
        backup(house.settings, tmp_path / "backup.tar")

    [size] = copied
    assert size > 100_000


def test_a_file_that_another_backup_made_meanwhile_is_not_overwritten_either(
    tmp_path: Path,
) -> None:
    target = tmp_path / "backup.tar"

    with (
        a_house(tmp_path) as house,
        when_the_schedules_are_read(house, lambda: target.write_text("another")),
        pytest.raises(Conflict, match="another name"),
    ):
        backup(house.settings, target)

    assert target.read_text() == "another"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["backup.tar", "data"]


def test_a_schedule_made_while_the_backup_was_made_is_a_schedule_after_the_restore(
    tmp_path: Path,
) -> None:
    with a_house(tmp_path, clock=CLOCK) as house:
        client = app_of(house).test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = bearer()["Authorization"]
        with house.store.edit():
            pass
        backup(house.settings, tmp_path / "before.tar", clock=CLOCK)
        made = a_schedule(client)
        backup(house.settings, tmp_path / "after.tar", clock=CLOCK)
    parts = tmp_path / "parts"
    parts.mkdir()
    backup_file.unpack(tmp_path / "after.tar", into=parts)
    (parts / "sendonce.db").unlink()
    late = tmp_path / "late"
    late.mkdir()
    manifest = backup_file.unpack(tmp_path / "before.tar", into=late)
    shutil.copy(parts / "scheduled_campaigns.json", late / "scheduled_campaigns.json")
    members = tuple(backup_file.describe(late / name) for name in manifest.names())
    backup_file.pack(
        tmp_path / "both.tar",
        late,
        replace(manifest, members=members),
        on_progress=lambda share: None,
    )

    restore(settings_for(tmp_path / "there"), tmp_path / "both.tar")

    with a_house(tmp_path / "there", clock=CLOCK) as house:
        with house.store.edit() as book:
            [schedule] = book.schedules.values()
        assert (schedule.id, schedule.enabled) == (made["id"], True)
        assert house.store.taken_out() == frozenset()


def test_a_backup_of_what_is_not_there_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="There is no Sendonce in"):
        backup(settings_for(tmp_path), tmp_path / "backup.tar")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_text("the one of yesterday")

    with a_house(tmp_path) as house, pytest.raises(Conflict, match="another name"):
        backup(house.settings, tmp_path / "backup.tar")

    assert (tmp_path / "backup.tar").read_text() == "the one of yesterday"


def test_a_backup_that_can_not_be_written_leaves_nothing(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        with pytest.raises(Unavailable, match="can't be written"):
            backup(house.settings, tmp_path / "nowhere" / "backup.tar")
        (house.settings.data_dir / "secret_key").mkdir()
        with pytest.raises(Unavailable, match="secret_key can't be read"):
            backup(house.settings, tmp_path / "backup.tar")

    assert sorted(f.name for f in tmp_path.iterdir()) == ["data"]


def test_what_was_there_is_kept_and_what_tells_of_later_sending_stays(
    filled: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(filled / "data", data)
    before = {f.name: f.read_bytes() for f in data.iterdir() if f.is_file()}
    (data / "sendonce.db-wal").write_bytes(b"a log that a crash left")
    (data / "sendonce.db-shm").write_bytes(b"its index")
    (data / "high_water").write_bytes(b"counts")

    restored(filled, tmp_path)

    [aside] = data.glob("before-restore-*")
    assert (aside / "sendonce.db").read_bytes() == before["sendonce.db"]
    assert (aside / "sendonce.db-wal").read_bytes() == b"a log that a crash left"
    assert (aside / "secret_key").read_bytes() == before["secret_key"]
    assert (data / "high_water").read_bytes() == b"counts"
    assert [f.name for f in data.glob("sendonce.db*")] == ["sendonce.db"]


def test_a_damaged_database_is_no_hindrance(filled: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "sendonce.db").write_bytes(b"not a database any more" * 1000)

    restored(filled, tmp_path)

    with a_keyed_house(tmp_path) as house:
        assert house.database.faults() == []


@contextmanager
def a_stand_by(data: Path) -> Iterator[None]:
    """Have another process that opened the database, and does nothing with it."""
    with subprocess.Popen(
        [sys.executable, "-c", OPEN, str(data / "sendonce.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.communicate()


@contextmanager
def a_leader(data: Path) -> Iterator[None]:
    leadership = Leadership(data / "scheduler.lock")
    assert leadership.lead()
    yield
    leadership.resign()


@pytest.mark.parametrize(
    ("user", "does"),
    [
        (a_stand_by, "has its database open"),
        (a_leader, "leads on it"),
        (lambda data: FileLock(data / "start.lock"), "just starts on it"),
    ],
    ids=["stand-by", "leader", "start"],
)
def test_a_directory_in_use_is_left_alone(
    filled: Path, tmp_path: Path, user: Any, does: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(filled / "data", data)

    with user(data), pytest.raises(Conflict, match=does):
        restored(filled, tmp_path)

    assert not list(data.glob("*restore*"))
    restored(filled, tmp_path)


def test_nobody_starts_where_a_restore_was_cut_off_or_makes_a_backup(
    filled: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(filled / "data", data)
    (data / "restore-old").mkdir()

    for start in (
        lambda: assemble(keyed(tmp_path)),
        lambda: backup(keyed(tmp_path), tmp_path / "backup.tar"),
    ):
        with pytest.raises(Unavailable, match=r"was not finished\. Run `restore` again"):
            start()

    restored(filled, tmp_path)
    assemble(keyed(tmp_path)).database.close()


def repacked(filled: Path, folder: Path, *, database: bytes | None = None, **changes: Any) -> Path:
    """Return the backup with another database, or something else in its manifest."""
    parts = folder / "parts"
    parts.mkdir()
    manifest = replace(backup_file.unpack(filled / "backup.tar", into=parts), **changes)
    if database is not None:
        (parts / "sendonce.db").write_bytes(database)
    members = tuple(backup_file.describe(parts / name) for name in manifest.names())
    archive = folder / "repacked.tar"
    backup_file.pack(
        archive, parts, replace(manifest, members=members), on_progress=lambda share: None
    )
    return archive


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"revision": "9999", "version": "9.1.0"}, r"another version of Sendonce \(9.1.0\)"),
        ({"revision": "0003"}, "its database is not its manifest's"),
        ({"installation": "0" * 32}, "its database is not its manifest's"),
        ({"database": b"no database" * 1000}, "can't be restored"),
    ],
)
def test_a_backup_that_does_not_fit_changes_nothing(
    filled: Path, tmp_path: Path, changes: Any, sentence: str
) -> None:
    data = tmp_path / "data"
    shutil.copytree(filled / "data", data)
    before = {f.name: f.read_bytes() for f in data.iterdir() if f.is_file()}
    archive = repacked(filled, tmp_path, **changes)

    with pytest.raises(Unavailable, match=sentence):
        restore(keyed(tmp_path), archive)

    assert before.items() <= {f.name: f.read_bytes() for f in data.iterdir() if f.is_file()}.items()
    assert not list(data.glob("*restore*"))


def test_what_is_no_backup_does_not_even_make_the_directory(tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_bytes(b"hello")

    with pytest.raises(Unavailable, match="no backup of Sendonce"):
        restore(settings_for(tmp_path), tmp_path / "backup.tar")

    assert not (tmp_path / "data").exists()


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--data-dir", str(folder / "data")])


def test_the_command_says_what_is_in_a_backup_and_what_a_restore_does(
    filled: Path, tmp_path: Path
) -> None:
    shutil.copytree(filled / "data", tmp_path / "data")

    made = run(tmp_path, "backup", str(tmp_path / "backup.tar"))
    back = run(tmp_path, "restore", str(tmp_path / "backup.tar"))

    assert (made.exit_code, back.exit_code) == (0, 0)
    assert "  sendonce.db, " in made.stdout
    assert "  scheduled_campaigns.json, " in made.stdout
    assert "The key is in it" in made.stdout
    assert "A restore of it sends nothing by itself" in made.stdout
    assert "Nothing is sent yet." in back.stdout
    assert "POST /api/doubt" in back.stdout
    assert "Unsubscribes and bounces since then are lost" in back.stdout
    assert f"{tmp_path}/data/before-restore-" in back.stdout


def test_without_a_key_of_its_own_a_backup_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENDONCE_SECRET_KEY", "a secret key for tests")
    with a_house(tmp_path):
        pass

    made = run(tmp_path, "backup", str(tmp_path / "backup.tar"))
    back = run(tmp_path, "restore", str(tmp_path / "backup.tar"))

    assert "The key is not in it" in made.stdout
    assert "The backup holds no key" in back.stdout
    assert backup_file.unpack(tmp_path / "backup.tar").version == VERSION
    assert not (tmp_path / "data" / "secret_key").exists()


@pytest.mark.parametrize("name", ["backup", "restore"])
def test_a_mistake_ends_with_a_sentence_and_status_1(tmp_path: Path, name: str) -> None:
    ended = run(tmp_path, name, str(tmp_path / "nowhere" / "backup.tar"))

    assert ended.exit_code == 1
    assert ended.stderr.count("\n") == 1
    assert ended.stdout == ""


def test_a_backup_made_before_the_first_start_of_a_new_version_leaves_the_old_one_its_database(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    config, database = _config(), Database(data / "sendonce.db")
    with database.write(durable=True) as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0003")
    before = rows_of(database.path)

    backup(keyed(tmp_path), tmp_path / "backup.tar")

    assert rows_of(database.path) == before
    database.close()
    restored(tmp_path, tmp_path / "there")


def test_the_audit_log_of_a_restored_copy_is_whole(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        with house.database.write(durable=True) as tx:
            deed = audit.SENDONCE.did("change", "campaign:7", after={"name": "News"})
            audit.record(tx, deed, key=house.key, now=house.clock.now())
        settings = house.settings
        backup(settings, tmp_path / "copy")
    restore(settings, tmp_path / "copy")

    with a_house(tmp_path) as house, house.database.read() as tx:
        assert audit.first_fault(tx, house.key) is None
        assert audit.size(tx) == 1
