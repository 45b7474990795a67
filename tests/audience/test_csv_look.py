"""audience.csv_look: what is in a file, before it is imported."""

from pathlib import Path

import pytest

from audience.csv_file import read_rows
from audience.csv_look import look_into
from audience.model import NewRecipient
from foundation.errors import Invalid


def a_file(folder: Path, content: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_look_says_how_the_file_is_read_and_what_is_in_it(tmp_path: Path) -> None:
    text = "E-Mail;Name;Stadt;\nann@example.com;Ann;Köln;\nbob@example.com;Bob;Köln;\n"

    look = look_into(a_file(tmp_path, text.encode("cp1252")))

    assert (look.encoding, look.delimiter, look.has_header, look.rows) == ("cp1252", ";", True, 2)
    assert [(c.name, c.guess, c.sample) for c in look.columns] == [
        ("E-Mail", "email", ("ann@example.com", "bob@example.com")),
        ("Name", "name", ("Ann", "Bob")),
        ("Stadt", "=Stadt", ("Köln",)),
        ("column_4", "", ()),
    ]


def test_a_column_of_addresses_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    text = "Kontakt,Mail\nann@example.com,yes\nbob@example.com,no\n"

    look = look_into(a_file(tmp_path, text))

    assert [c.guess for c in look.columns] == ["email", "=Mail"]


def test_of_two_columns_that_may_hold_the_address_the_first_is_taken(tmp_path: Path) -> None:
    look = look_into(a_file(tmp_path, "email,mail\nann@example.com,ann@example.org\n"))

    assert [c.guess for c in look.columns] == ["email", "=mail"]


def test_a_file_without_a_heading_loses_nobody(tmp_path: Path) -> None:
    path = a_file(tmp_path, "ann@example.com,Ann\nbob@example.com,Bob\n")

    look = look_into(path)
    with read_rows(path, {"column_1": "email", "column_2": "name"}, has_header=False) as reader:
        rows = list(reader)

    assert (look.has_header, look.rows) == (False, 2)
    assert [(c.name, c.guess) for c in look.columns] == [
        ("column_1", "email"),
        ("column_2", "name"),
    ]
    assert rows == [
        NewRecipient(row=1, email="ann@example.com", name="Ann", attributes={}),
        NewRecipient(row=2, email="bob@example.com", name="Bob", attributes={}),
    ]


def test_a_person_may_say_that_the_first_row_is_no_heading(tmp_path: Path) -> None:
    path = a_file(tmp_path, "sep=;\n\nx;y\n")

    look = look_into(path, has_header=False)
    with read_rows(path, {"column_1": "email"}, has_header=False) as reader:
        (row,) = list(reader)

    assert [c.sample for c in look.columns] == [("x",), ("y",)]
    assert (row.row, row.email) == (3, "x")


def test_long_values_are_shown_short(tmp_path: Path) -> None:
    look = look_into(a_file(tmp_path, f"email,notes\nann@example.com,{'x' * 500}\n"))

    assert look.columns[1].sample == ("x" * 39 + "…",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"email,email\nx,y\n"])
def test_what_can_t_be_imported_is_said_at_once(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        look_into(a_file(tmp_path, content))

    assert [error.field for error in refused.value.errors] == ["file"]
