"""Files that go along with a campaign: attached, taken off, shared, and kept while anybody names them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from campaigns import attaching, files, store
from campaigns.attaching import MAX_BYTES, MOST, Upload, attach, detach
from campaigns.model import Campaign
from campaigns.tables import attached_files
from foundation.errors import Invalid, NotFound, Stale, TooLarge
from storage.database import Tx
from tests.builders import NOON, a_database
from tests.campaigns.builders import campaign_fields, put_what_campaigns_need


@pytest.fixture
def tx(tmp_path: Path) -> Iterator[Tx]:
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        put_what_campaigns_need(tx)
        store.create(tx, campaign_fields(), NOON)
        yield tx
    database.close()


def put(tx: Tx, name: str = "offer.pdf", content: bytes = b"%PDF-1.7", to: int = 1) -> Campaign:
    upload = Upload(name=name, claimed=None, content=content)
    return attach(tx, to, upload, expected_version=None, now=NOON)


def take_off(tx: Tx, campaign: Campaign) -> Campaign:
    return detach(tx, campaign.id, campaign.attachments[0].id, expected_version=None, now=NOON)


def kept(tx: Tx) -> int:
    return tx.execute(select(func.count()).select_from(attached_files)).scalar_one()


def test_a_file_is_attached_under_a_safe_name_and_the_type_that_it_is(tx: Tx) -> None:
    campaign = put(tx, "C:\\x\\Übersicht\r\n.pdf", b"%PDF-1.7")

    [one] = campaign.attachments
    assert (one.name, one.content_type, one.size) == ("Übersicht .pdf", "application/pdf", 8)
    assert files.read(tx, one.sha256) == b"%PDF-1.7"
    assert campaign.version == 2
    assert store.list_(tx, after=None, limit=5) == [campaign]


def test_together_they_may_have_so_many_bytes_and_not_one_more(tx: Tx) -> None:
    put(tx, "a.bin", b"a" * (MAX_BYTES - 10))
    put(tx, "b.bin", b"b" * 10)

    with pytest.raises(TooLarge, match="they may have 10 MB together"):
        put(tx, "c.bin", b"c")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.pdf", b"", "a.pdf is empty"),
        ("OFFER.pdf", b"%PDF-2", "OFFER.pdf is attached already"),
        ("a.exe", b"x", "a.exe is a program"),
    ],
)
def test_what_can_t_be_attached_is_refused_with_a_sentence(
    tx: Tx, name: str, content: bytes, sentence: str
) -> None:
    put(tx)

    with pytest.raises(Invalid, match=sentence) as refused:
        put(tx, name, content)

    assert [e.field for e in refused.value.errors] == ["file"]
    assert store.get(tx, 1).version == 2


def test_no_mail_goes_with_more_files_than_a_reader_would_look_at(tx: Tx) -> None:
    for number in range(MOST):
        put(tx, f"{number}.txt", b"x")

    with pytest.raises(Invalid, match="20 files are attached"):
        put(tx, "one more.txt", b"x")


def test_nothing_is_attached_to_or_taken_off_an_older_version(tx: Tx) -> None:
    campaign = put(tx)
    upload = Upload(name="b.txt", claimed=None, content=b"x")

    with pytest.raises(Stale):
        attach(tx, 1, upload, expected_version=1, now=NOON)
    with pytest.raises(Stale):
        detach(tx, 1, campaign.attachments[0].id, expected_version=1, now=NOON)

    assert store.get(tx, 1) == campaign


def test_another_campaign_s_attachment_is_not_found(tx: Tx) -> None:
    attachment_id = put(tx).attachments[0].id
    other = store.create(tx, campaign_fields(), NOON)

    with pytest.raises(NotFound, match="has no attachment"):
        detach(tx, other.id, attachment_id, expected_version=None, now=NOON)
    with pytest.raises(NotFound):
        attaching.find(other, attachment_id)


def test_a_copy_shares_the_content_and_outlives_the_first(tx: Tx) -> None:
    first = put(tx)
    copy = store.duplicate(tx, 1, NOON)

    store.delete(tx, 1, expected_version=None)

    assert kept(tx) == 1
    assert copy.attachments[0].sha256 == first.attachments[0].sha256
    assert copy.attachments[0].id != first.attachments[0].id
    take_off(tx, copy)
    assert kept(tx) == 0


def test_content_that_nobody_names_any_more_goes(tx: Tx) -> None:
    take_off(tx, put(tx))
    put(tx)

    store.delete(tx, 1, expected_version=None)

    assert kept(tx) == 0


def test_content_that_was_changed_is_never_given_out_as_what_was_attached(tx: Tx) -> None:
    put(tx)
    snapshot = store.freeze(tx, 1)
    assert [file.content for file in files.contents(tx, snapshot.attachments)] == [b"%PDF-1.7"]

    tx.execute(update(attached_files).values(content=b"%PDF-6.6"))

    with pytest.raises(Invalid, match="is not there any more"):
        files.contents(tx, snapshot.attachments)

    put(tx, "once more.pdf")
    assert [file.content for file in files.contents(tx, snapshot.attachments)] == [b"%PDF-1.7"]
