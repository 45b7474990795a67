"""audience.csv_import: files on their way into an audience."""

import csv
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from audience import csv_import, store, suppressions
from audience.model import Import, ImportStatus, Rejected, SuppressionReason
from foundation.errors import NotFound
from storage.database import Database
from tests.audience.builders import add, an_audience
from tests.builders import NOON, a_database
from tests.fake_clock import FakeClock


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        an_audience(tx)
    yield database
    database.close()


def a_file(folder: Path, text: str) -> Path:
    path = folder / "list.csv"
    path.write_text(text, newline="")
    return path


def begun(database: Database, *, dry_run: bool = False, boot_id: str = "b", pid: int = 7) -> Import:
    with database.write(durable=False) as tx:
        return csv_import.start_import(tx, 1, dry_run=dry_run, boot_id=boot_id, pid=pid, now=NOON)


def imported(database: Database, path: Path, *, dry_run: bool = False) -> Import:
    started = begun(database, dry_run=dry_run)
    return csv_import.run_import(database, started.id, path, None, FakeClock())


def recipients_in(database: Database) -> int:
    with database.read() as tx:
        return store.get_audience(tx, 1).recipients


MIXED = (
    "email,name,city\nada@example.com,Ada,London\nnobody,,\nbob@example.com,Bob,Rome\n"
    "ADA@example.com,Ada L,Paris\nx@example.com,X,Y,Z\n"
)


def test_a_file_is_imported_and_every_row_accounted_for(tmp_path: Path, database: Database) -> None:
    done = imported(database, a_file(tmp_path, MIXED))

    assert (done.status, done.progress) == (ImportStatus.COMPLETED, 1.0)
    assert (done.added, done.updated, done.rejected) == (2, 1, 2)
    with database.read() as tx:
        ada = store.find(tx, [1], "ada@example.com")
        rejected = csv_import.rejections(tx, done.id, after=None, limit=9)
    assert ada is not None
    assert (ada.name, ada.attributes) == ("Ada L", {"city": "Paris"})
    assert [(row.row, row.email) for row in rejected] == [(3, "nobody"), (6, "x@example.com")]


def test_a_dry_run_counts_the_same_and_keeps_nothing(tmp_path: Path, database: Database) -> None:
    with database.write(durable=False) as tx:
        add(tx, 1, ["bob@example.com"])

    dry = imported(database, a_file(tmp_path, MIXED), dry_run=True)
    before = recipients_in(database)
    real = imported(database, a_file(tmp_path, MIXED))

    assert before == 1
    assert (dry.added, dry.updated, dry.rejected) == (1, 2, 2)
    assert (real.added, real.updated, real.rejected) == (1, 2, 2)


def test_a_large_file_goes_in_batch_by_batch(tmp_path: Path, database: Database) -> None:
    lines = "".join(f"p{number % 10_000}@example.com\n" for number in range(12_000))
    path = a_file(tmp_path, "email\n" + lines)
    seen: list[Import] = []

    dry = imported(database, path, dry_run=True)
    started = begun(database)
    done = csv_import.run_import(
        database,
        started.id,
        path,
        None,
        FakeClock(),
        is_sending=lambda tx: True,
        on_progress=seen.append,
    )

    assert (done.added, done.updated) == (dry.added, dry.updated) == (10_000, 2_000)
    assert [step.added + step.updated for step in seen] == [5_000, 10_000, 12_000]
    assert [step.progress for step in seen] == sorted(step.progress for step in seen)
    assert recipients_in(database) == 10_000


def test_batches_grow_while_nothing_is_sent(tmp_path: Path, database: Database) -> None:
    path = a_file(tmp_path, "email\n" + "".join(f"p{n}@example.com\n" for n in range(12_000)))
    started = begun(database)
    seen: list[Import] = []

    csv_import.run_import(database, started.id, path, None, FakeClock(), on_progress=seen.append)

    assert [step.added for step in seen] == [5_000, 12_000]


def test_a_file_that_can_not_be_read_fails_with_a_sentence(
    tmp_path: Path, database: Database
) -> None:
    done = imported(database, a_file(tmp_path, "name\nAda\n"))

    assert done.status is ImportStatus.FAILED
    assert "names no column for the address" in str(done.detail)


def test_what_came_before_the_damage_stays(tmp_path: Path, database: Database) -> None:
    good = "".join(f"p{number}@example.com\n" for number in range(6_000))

    done = imported(database, a_file(tmp_path, "email\n" + good + "x" * 1_100_000))

    assert done.status is ImportStatus.FAILED
    assert "Line 6002" in str(done.detail)
    assert recipients_in(database) == done.added == 5_000


def test_an_audience_deleted_meanwhile_ends_the_import(tmp_path: Path, database: Database) -> None:
    started = begun(database)
    with database.write(durable=False) as tx:
        store.delete_audience(tx, 1, expected_version=None)

    with pytest.raises(NotFound):
        csv_import.run_import(database, started.id, a_file(tmp_path, MIXED), None, FakeClock())


def test_an_import_waits_while_a_run_takes_its_audience(tmp_path: Path, database: Database) -> None:
    answers = [True, True, False]
    clock = FakeClock()
    began = clock.now()
    started = begun(database)

    done = csv_import.run_import(
        database,
        started.id,
        a_file(tmp_path, MIXED),
        None,
        clock,
        must_wait=lambda tx: answers.pop(0),
    )

    assert (done.added, answers) == (2, [])
    assert clock.now() > began


def test_an_import_that_is_stopped_has_failed_and_keeps_its_rows(
    tmp_path: Path, database: Database
) -> None:
    lines = "".join(f"p{number}@example.com\n" for number in range(12_000))
    stopping = threading.Event()
    started = begun(database)

    done = csv_import.run_import(
        database,
        started.id,
        a_file(tmp_path, "email\n" + lines),
        None,
        FakeClock(),
        stopping=stopping,
        on_progress=lambda step: stopping.set(),
    )

    assert done.status is ImportStatus.FAILED
    assert "stopped" in str(done.detail)
    assert recipients_in(database) == done.added == 5_000


def test_an_import_whose_process_died_has_failed(database: Database) -> None:
    mine, dead = begun(database, pid=1), begun(database, pid=2)
    other_boot = begun(database, boot_id="c", pid=1)

    with database.write(durable=False) as tx:
        count = csv_import.fail_orphans(tx, boot_id="b", alive=lambda pid: pid == 1)
        again = csv_import.fail_orphans(tx, boot_id="b", alive=lambda pid: pid == 1)
        statuses = [csv_import.get_import(tx, one.id).status for one in (mine, dead, other_boot)]

    assert (count, again) == (2, 0)
    assert statuses == [ImportStatus.RUNNING, ImportStatus.FAILED, ImportStatus.FAILED]


def test_imports_that_are_not_there_are_not_found(database: Database) -> None:
    with database.write(durable=False) as tx:
        with pytest.raises(NotFound, match="There is no import 9"):
            csv_import.get_import(tx, 9)
        with pytest.raises(NotFound):
            csv_import.rejections(tx, 9, after=None, limit=5)
        with pytest.raises(NotFound, match="There is no audience 9"):
            csv_import.start_import(tx, 9, dry_run=False, boot_id=None, pid=1, now=NOON)


def test_the_encoding_that_was_guessed_is_told(tmp_path: Path, database: Database) -> None:
    path = tmp_path / "excel.csv"
    path.write_bytes("E-Mail;Name\r\nmueller@example.de;Jörg Müller\r\n".encode("cp1252"))

    done = imported(database, path)

    assert (done.added, done.detail) == (1, "The file was read as cp1252.")


def test_rejected_rows_are_listed_page_by_page(tmp_path: Path, database: Database) -> None:
    done = imported(database, a_file(tmp_path, "email\na\nb\nc\n"))

    with database.read() as tx:
        first = csv_import.rejections(tx, done.id, after=None, limit=2)
        rest = csv_import.rejections(tx, done.id, after=first[-1].row, limit=2)

    assert [row.email for row in first + rest] == ["a", "b", "c"]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_rejected_cell_is_a_formula_to_a_spreadsheet(begin: str) -> None:
    rows = [Rejected(row=2, email=f'{begin}cmd|"/c calc"', reason="It is wrong, so wrong.")]

    text = "".join(csv_import.rejected_csv(rows))

    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["row", "email", "reason"],
        ["2", f'\'{begin}cmd|"/c calc"', "It is wrong, so wrong."],
    ]


def test_half_a_character_in_a_rejected_row_does_no_harm(
    tmp_path: Path, database: Database
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes("email\nno\n".encode("utf-16-le").replace(b"n\0", b"\x00\xd8"))

    done = imported(database, path)

    assert done.status in (ImportStatus.COMPLETED, ImportStatus.FAILED)
    assert done.rejected + (done.status is ImportStatus.FAILED) == 1


def test_an_import_in_detail_counts_repeats_and_who_gets_no_mail(
    tmp_path: Path, database: Database
) -> None:
    with database.write(durable=False) as tx:
        add(tx, 1, ["bob@example.com"])
        suppressions.add(tx, "ADA@example.com", SuppressionReason.MANUAL, NOON)
        suppressions.add(tx, "else@example.com", SuppressionReason.MANUAL, NOON)
    text = "email\nada@example.com\nbob@example.com\nBob@example.com\nada@example.com\ncy@example.com\nno\n"
    path = a_file(tmp_path, text)

    tried = imported(database, path, dry_run=True)
    started = begun(database)
    done = csv_import.run_import(database, started.id, path, None, FakeClock(), in_detail=True)

    for one in (tried, done):
        assert (one.added, one.updated, one.rejected) == (2, 3, 1)
        assert (one.duplicates, one.suppressed) == (2, 1)


def test_repeats_are_known_across_batches(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_import, "BATCH", 1)
    text = "email\nada@example.com\nbob@example.com\nada@example.com\n"

    tried = imported(database, a_file(tmp_path, text), dry_run=True)

    assert (tried.added, tried.updated, tried.duplicates) == (2, 1, 1)


def test_an_import_that_is_not_in_detail_does_not_pretend(
    tmp_path: Path, database: Database
) -> None:
    done = imported(database, a_file(tmp_path, MIXED))

    assert (done.duplicates, done.suppressed) == (None, None)


def test_imports_that_run_are_listed_without_dry_runs(database: Database) -> None:
    started = begun(database)
    begun(database, dry_run=True)

    with database.read() as tx:
        assert csv_import.running_imports(tx) == [started]
