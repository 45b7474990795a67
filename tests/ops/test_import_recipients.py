from collections.abc import Iterator
from pathlib import Path

import pytest

from assembly import Sendonce
from audience import store
from audience.model import Recipient
from foundation.errors import Conflict, Invalid, NotFound, Unavailable
from ops.import_recipients import import_file
from tests.house import a_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Sendonce]:
    with a_house(tmp_path) as house:
        with house.database.write(durable=True) as tx:
            store.create_audience(tx, "Readers", house.clock.now())
        yield house


def a_file(folder: Path, text: str, name: str = "people.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode())
    return file


def members(house: Sendonce) -> list[Recipient]:
    with house.database.read() as tx:
        return store.list_recipients(tx, 1, q=None, after=None, limit=100)


@pytest.mark.parametrize("name", ["Readers", "1"])
def test_a_file_comes_into_the_audience_of_that_id_or_name(
    house: Sendonce, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a_file(tmp_path, "email,name,city\nann@example.com,Ann,Cork\nben@example.com,Ben,\n")

    import_file(house, name, file, dry_run=False)

    assert [(r.email, r.name, r.attributes) for r in members(house)] == [
        ("ann@example.com", "Ann", {"city": "Cork"}),
        ("ben@example.com", "Ben", {}),
    ]
    assert '"Readers": 2 added, 0 updated, 0 rejected.' in capsys.readouterr().out
    assert list(tmp_path.glob("*.rejected*")) == []


def test_a_repeated_import_updates(
    house: Sendonce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a_file(tmp_path, "email,name\nann@example.com,Ann\n")
    import_file(house, "Readers", file, dry_run=False)
    a_file(tmp_path, "email,name\nann@example.com,Ann Berg\n")

    import_file(house, "Readers", file, dry_run=False)

    assert [r.name for r in members(house)] == ["Ann Berg"]
    assert "0 added, 1 updated, 0 rejected." in capsys.readouterr().out


def test_a_dry_run_says_what_would_come_of_it_and_changes_nothing(
    house: Sendonce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = a_file(tmp_path, "email,name\nann@example.com,Ann\nnobody,Nobody\n")

    import_file(house, "Readers", file, dry_run=True)

    assert members(house) == []
    assert "1 would be added, 0 would be updated, 1 would be rejected" in capsys.readouterr().out


def test_rejected_rows_are_told_with_the_reason_and_kept_beside_the_file(
    house: Sendonce, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"person-{n}" for n in range(30)]
    file = a_file(tmp_path, "email\nann@example.com\n" + "\n".join(rows) + "\n")

    import_file(house, "Readers", file, dry_run=False)

    said = capsys.readouterr().out
    assert "  line 3: person-0: " in said
    assert said.count("  line ") == 20
    assert "and 10 more" in said
    kept = (tmp_path / "people.rejected.csv").read_text().splitlines()
    assert kept[0] == "row,email,reason"
    assert [line.split(",")[1] for line in kept[1:]] == rows


def test_rejected_rows_go_over_no_file_that_is_there(house: Sendonce, tmp_path: Path) -> None:
    file = a_file(tmp_path, "email\nnobody\n")
    mine = a_file(tmp_path, "mine", name="people.rejected.csv")

    import_file(house, "Readers", file, dry_run=False)
    import_file(house, "Readers", file, dry_run=False)

    assert mine.read_text() == "mine"
    assert "nobody" in (tmp_path / "people.rejected-2.csv").read_text()
    assert "nobody" in (tmp_path / "people.rejected-3.csv").read_text()


def test_a_file_without_addresses_is_refused_before_anything_is_written(
    house: Sendonce, tmp_path: Path
) -> None:
    with pytest.raises(Invalid, match="names no column for the address"):
        import_file(house, "Readers", a_file(tmp_path, "a,b\n1,2\n"), dry_run=False)


def test_what_is_no_file_is_refused(house: Sendonce, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="There is no file"):
        import_file(house, "Readers", tmp_path, dry_run=False)


def test_an_audience_that_is_not_there_is_refused(house: Sendonce, tmp_path: Path) -> None:
    file = a_file(tmp_path, "email\nann@example.com\n")

    with pytest.raises(NotFound):
        import_file(house, "Writers", file, dry_run=False)


def test_a_name_that_several_audiences_have_is_refused(house: Sendonce, tmp_path: Path) -> None:
    with house.database.write(durable=True) as tx:
        store.create_audience(tx, "Readers", house.clock.now())

    with pytest.raises(Conflict, match="by id: 1, 2"):
        import_file(house, "Readers", a_file(tmp_path, "email\na@example.com\n"), dry_run=False)


def test_a_file_that_breaks_off_in_the_middle_is_an_error_and_what_came_before_stays(
    house: Sendonce, tmp_path: Path
) -> None:
    long_line = "x" * 1_100_000
    rows = "".join(f"reader-{n}@example.com\n" for n in range(6000))
    file = a_file(tmp_path, f"email\n{rows}{long_line}\n")

    with pytest.raises(Unavailable, match="is longer than"):
        import_file(house, "Readers", file, dry_run=False)

    with house.database.read() as tx:
        assert store.get_audience(tx, 1).recipients == 5000
