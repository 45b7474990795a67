"""Atomic files, sealed secrets, ids, instants, answers already given, where a data directory may be."""

import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import select

from foundation.errors import Unavailable
from storage import aliveness, filesystem, replays, sequence
from storage.aliveness import epochs
from storage.database import Database
from storage.disk import OsDisk, replace_file
from storage.replays import Answer, InWork, OtherBody, Request
from storage.sealed import SecretKey, load_secret_key
from tests.builders import NOON, a_database


class FailingDisk(OsDisk):
    def sync(self, path: Path) -> None:
        raise OSError(5, "Input/output error")


def test_a_file_is_replaced_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    path.chmod(0o644)

    replace_file(OsDisk(), path, b"new")

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_synced_stays_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")

    with pytest.raises(OSError, match="Input/output"):
        replace_file(FailingDisk(), path, b"new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_whose_folder_cannot_be_synced_is_the_new_one_for_everybody(tmp_path: Path) -> None:
    class ForgetfulDisk(OsDisk):
        def sync_folder(self, path: Path) -> None:
            raise OSError(5, "Input/output error")

    path = tmp_path / "file.json"
    path.write_text("old")

    replace_file(ForgetfulDisk(), path, b"new")

    assert path.read_text() == "new"


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    first = load_secret_key(OsDisk(), tmp_path / "secret_key", None)
    second = load_secret_key(OsDisk(), tmp_path / "secret_key", None)

    assert second.unseal(first.seal("geheim")) == "geheim"
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_each_use_of_the_key_has_a_secret_of_its_own() -> None:
    key = SecretKey(b"one")

    assert len({key.derive("a"), key.derive("b"), SecretKey(b"two").derive("a")}) == 3


def test_what_another_key_sealed_is_not_opened() -> None:
    with pytest.raises(Unavailable, match="sealed with another key"):
        SecretKey(b"one").unseal(SecretKey(b"two").seal("geheim"))


def test_ids_are_never_given_twice(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    with database.write(durable=True) as tx:
        given = [sequence.next_id(tx, "schedules")]
        sequence.reserve(tx, "schedules", at_least=10)
        sequence.reserve(tx, "schedules", at_least=5)
        given += [sequence.next_id(tx, "schedules"), sequence.next_id(tx, "leases")]

    assert given == [1, 11, 1]


def test_an_instant_keeps_its_moment_and_comes_back_in_utc(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    moment = datetime(2026, 3, 2, 14, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))

    with database.write(durable=True) as tx:
        aliveness.raise_epoch(tx, boot_id=None, machine_id=None, pid=1, now=moment)
        kept = tx.execute(select(epochs.c.started_at)).scalar_one()

    assert kept == moment
    assert kept.tzinfo is UTC


def test_a_naive_instant_is_a_bug(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    with (
        pytest.raises(Exception, match="an instant needs a zone"),
        database.write(durable=True) as tx,
    ):
        aliveness.raise_epoch(tx, boot_id=None, machine_id=None, pid=1, now=datetime(2026, 3, 2))


def test_epochs_rise_and_know_their_boot(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    with database.write(durable=True) as tx:
        for boot in ("a", "b", None, "b"):
            last = aliveness.raise_epoch(tx, boot_id=boot, machine_id=None, pid=1, now=NOON)
        of_boot = aliveness.epochs_of_boot(tx, "b", before=last)
        of_unknown = aliveness.epochs_of_boot(tx, None, before=last)

    assert (last, of_boot, of_unknown) == (4, [2], [])


def a_request(body: bytes = b"{}") -> Request:
    return Request(caller="token:1", path="/api/campaigns", key="k", bodies=[body])


def test_a_repeat_gets_the_first_answer(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    answer = Answer(status=201, content_type="application/json", body=b'{"id":1}', location=None)

    with database.write(durable=True) as tx:
        first = replays.begin(tx, a_request(), NOON)
        replays.finish(tx, a_request(), answer)
        again = replays.begin(tx, a_request(), NOON + timedelta(hours=23))
        much_later = replays.begin(tx, a_request(), NOON + timedelta(hours=25))

    assert (first, again, much_later) == (None, answer, None)


def test_another_body_under_the_same_key_is_refused(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    with database.write(durable=True) as tx:
        replays.begin(tx, a_request(), NOON)
        with pytest.raises(InWork):
            replays.begin(tx, a_request(), NOON)
        with pytest.raises(OtherBody):
            replays.begin(tx, a_request(b"[]"), NOON)


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = [(Path("/"), "ext4"), (tmp_path, "nfs4")]
    monkeypatch.setattr(filesystem, "_mounts_of_linux", lambda: mounts)
    monkeypatch.setattr(filesystem, "_mounts_of_macos", lambda: mounts)

    with pytest.raises(Unavailable, match=r"network file system \(nfs4\)"):
        filesystem.prepare_folder(tmp_path / "data")


def test_the_data_directory_is_for_its_owner_only(tmp_path: Path) -> None:
    filesystem.prepare_folder(tmp_path / "a" / "data")

    assert stat.S_IMODE((tmp_path / "a" / "data").stat().st_mode) == 0o700


def test_a_database_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    database = Database(tmp_path / "missing" / "sendonce.db")

    with pytest.raises(Unavailable, match="can't be read"), database.read():
        pass


def test_the_database_is_for_its_owner_only_before_it_is_first_opened(tmp_path: Path) -> None:
    path = tmp_path / "sendonce.db"

    filesystem.make_private(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_database_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    path = tmp_path / "sendonce.db"
    path.write_bytes(b"")
    path.chmod(0o640)

    filesystem.make_private(path)

    assert stat.S_IMODE(path.stat().st_mode) == 0o640
