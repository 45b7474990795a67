"""audience.uploads: files that wait between the steps of an import."""

import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from audience.uploads import Upload, Uploads
from foundation.errors import NotFound, Unavailable
from storage.disk import OsDisk
from tests.builders import NOON


def an_upload(uploads: Uploads, text: str = "email\n") -> Upload:
    token, _ = uploads.receive(lambda file: file.write(text.encode()))
    upload = Upload(token=token, audience_id=1, name="a.csv", rows=0, has_header=True, kept_at=NOON)
    return uploads.note(upload)


def test_another_process_finds_what_was_sent_and_said(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, disk=OsDisk())
    upload = an_upload(uploads)
    told = uploads.note(replace(upload, mapping={"E-Mail": "email"}, check_id=7))

    found = Uploads(tmp_path, disk=OsDisk()).find(upload.token, 1)

    assert found == told
    assert uploads.existing(upload.token).read_text() == "email\n"


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, disk=OsDisk())
    path = uploads.existing(an_upload(uploads).token)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("token", ["", "x" * 32, "../" * 10 + "ab", "..", "x" * 31 + "/"])
def test_a_token_that_was_not_given_out_opens_nothing(tmp_path: Path, token: str) -> None:
    with pytest.raises(NotFound):
        Uploads(tmp_path, disk=OsDisk()).find(token, 1)


def test_an_upload_belongs_to_one_audience(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, disk=OsDisk())
    upload = an_upload(uploads)

    with pytest.raises(NotFound):
        uploads.find(upload.token, 2)


def test_of_two_who_take_a_file_one_gets_it(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, disk=OsDisk())
    token = an_upload(uploads).token

    taken = uploads.take(token)
    with pytest.raises(NotFound):
        uploads.take(token)
    with pytest.raises(NotFound):
        uploads.existing(token)
    uploads.give_back(token)

    assert not taken.exists()
    assert uploads.existing(token).is_file()


def test_what_is_older_than_a_day_is_swept_away(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path, disk=OsDisk())
    old, young = an_upload(uploads), an_upload(uploads)
    for path in (tmp_path / "uploads").iterdir():
        hours = 25 if path.name.startswith(old.token) else 23
        at = (NOON - timedelta(hours=hours)).timestamp()
        os.utime(path, (at, at))

    uploads.sweep(NOON)

    assert uploads.find(young.token, 1) == young
    with pytest.raises(NotFound):
        uploads.find(old.token, 1)
    assert len(list((tmp_path / "uploads").iterdir())) == 2


def test_a_full_disk_is_said_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    def full(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(Unavailable, match="No space left"):
        Uploads(tmp_path, disk=OsDisk()).receive(full)

    assert list((tmp_path / "uploads").iterdir()) == []


def test_a_file_that_was_taken_by_a_process_that_died_at_once_can_be_taken_again(
    tmp_path: Path,
) -> None:
    uploads = Uploads(tmp_path, disk=OsDisk())
    token = an_upload(uploads).token
    taken_at = datetime.fromtimestamp(uploads.take(token).stat().st_ctime, UTC)

    assert not uploads.give_back_abandoned(token, taken_at + timedelta(seconds=29))
    assert uploads.give_back_abandoned(token, taken_at + timedelta(seconds=31))

    assert uploads.existing(token).read_text() == "email\n"
    assert not uploads.give_back_abandoned(token, taken_at + timedelta(seconds=31))
