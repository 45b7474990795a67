"""audience.csv_file: CSV as people have it."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audience.csv_file import read_rows
from audience.model import NewRecipient, Rejected
from foundation.errors import Invalid


def read(folder: Path, data: bytes | str, mapping: dict[str, str] | None = None) -> list[Any]:
    """Read these bytes as a file and return its rows."""
    path = folder / "list.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with read_rows(path, mapping) as reader:
        return list(reader)


def people(rows: list[Any]) -> list[tuple[int, str, str, dict[str, Any]]]:
    return [
        (r.row, r.email, r.name, dict(r.attributes)) for r in rows if isinstance(r, NewRecipient)
    ]


def refused(
    folder: Path, data: bytes | str, mapping: dict[str, str] | None = None
) -> tuple[str, str]:
    with pytest.raises(Invalid) as caught:
        read(folder, data, mapping)
    error = caught.value.errors[0]
    return error.field, error.message


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    rows = read(tmp_path, "email,name,City\nada@example.com, Ada ,London\nbob@example.com,,\n")

    assert people(rows) == [
        (2, "ada@example.com", "Ada", {"City": "London"}),
        (3, "bob@example.com", "", {}),
    ]


def test_excel_s_semicolons_and_code_page_are_read(tmp_path: Path) -> None:
    text = (
        "E-Mail-Adresse;Name;Straße;Betrag\r\n"
        'jörg@example.de;Jörg Müller;"Königstraße 5; Hinterhof";12,50 €\r\n'
        "anne@example.de;Änne Weiß;Süßer Weg;3\r\n"
    )

    rows = read(tmp_path, text.encode("cp1252"))

    assert people(rows) == [
        (
            2,
            "jörg@example.de",
            "Jörg Müller",
            {"Straße": "Königstraße 5; Hinterhof", "Betrag": "12,50 €"},
        ),
        (3, "anne@example.de", "Änne Weiß", {"Straße": "Süßer Weg", "Betrag": "3"}),
    ]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", "Jörg 日本 😀"),
        ("utf-8-sig", "Jörg 日本 😀"),
        ("utf-16", "Jörg 日本 😀"),
        ("utf-16-le", "Jörg"),
        ("utf-16-be", "Jörg"),
        ("utf-32", "Jörg"),
        ("cp1252", "François Lefèvre, Besançon"),
        ("cp1252", "Íñigo Muñoz"),
        ("cp1252", "Jörg"),
        (
            "cp1250",
            "Łukasz Wójcik, Łódź; Święta Grażyna, Gdańsk; Zbigniew Brzęczyszczykiewicz, Kraków",
        ),
        ("cp1251", "Иван Петров, Москва; Ольга Иванова, Казань; Сергей Кузнецов, Самара"),
        ("cp932", "山田太郎、東京都; 鈴木花子、大阪府; 佐藤さくら、ひろしま"),
        ("ascii", "Ada"),
    ],
)
def test_the_encoding_is_found(tmp_path: Path, encoding: str, name: str) -> None:
    rows = read(tmp_path, f'email,name\nada@example.com,"{name}"\n'.encode(encoding))

    assert [row.name for row in rows] == [name]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str, line_end: str) -> None:
    lines = [["email", "a,;|b"], ["ada@example.com", "x"]]
    text = line_end.join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)

    assert people(read(tmp_path, text)) == [(2, "ada@example.com", "", {"a,;|b": "x"})]


def test_excel_s_first_line_names_the_delimiter(tmp_path: Path) -> None:
    rows = read(tmp_path, "sep=;\r\nemail;a,b,c\r\nada@example.com;x\r\n")

    assert people(rows) == [(3, "ada@example.com", "", {"a,b,c": "x"})]


def test_quotes_and_line_breaks_inside_cells_are_kept_and_lines_counted(tmp_path: Path) -> None:
    rows = read(tmp_path, 'email,note\na@example.com,"one ""two""\r\nthree"\n\nb@example.com,x\n')

    assert people(rows) == [
        (2, "a@example.com", "", {"note": 'one "two"\r\nthree'}),
        (5, "b@example.com", "", {"note": "x"}),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "email",
        "E-Mail",
        " EMAIL ",
        "e_mail",
        "Mail",
        "E-Mail-Adresse",
        "Email Address",
        "Correo electrónico",
    ],
)
def test_the_column_of_the_address_has_many_names(tmp_path: Path, header: str) -> None:
    assert people(read(tmp_path, f"x,{header}\n1,a@example.com\n")) == [
        (2, "a@example.com", "", {"x": "1"})
    ]


def test_a_mapping_says_what_each_column_is(tmp_path: Path) -> None:
    mapping = {"Kontakt": "email", "Anrede": "name", "Ort": "city", "intern": "", "email": "old"}

    rows = read(tmp_path, "Kontakt,Anrede,Ort,intern,email,x\na@example.com,A,B,C,D,E\n", mapping)

    assert people(rows) == [(2, "a@example.com", "A", {"city": "B", "old": "D", "x": "E"})]


def test_an_empty_header_gets_a_number_and_a_trailing_delimiter_does_no_harm(
    tmp_path: Path,
) -> None:
    rows = read(tmp_path, "email,,x,\na@example.com,1,2,\nb@example.com,1,2,,,\n")

    assert [attributes for _, _, _, attributes in people(rows)] == [{"column_2": "1", "x": "2"}] * 2


@pytest.mark.parametrize(
    ("data", "mapping", "field", "words"),
    [
        (b"", None, "file", "empty"),
        (b"\xef\xbb\xbf", None, "file", "empty"),
        (b"\n \n", None, "file", "empty"),
        (b"a@example.com,Ada\n", None, "file", "Line 1 names no column"),
        (b"name,city\n", None, "file", "name, city"),
        (b"email,x,x\n", None, "file", "two columns 'x'"),
        (b"email,mail\n", None, "mapping", "email, mail"),
        (b"email,x\n", {"y": "name"}, "mapping", "no column 'y'"),
        (b"email,x\n", {"x": "email"}, "mapping", None),
        (b"email,x,y\n", {"x": "z", "y": "z"}, "mapping", "'z'"),
        (b"email,x\n", {"email": ""}, "file", "names no column"),
        (b"PK\x03\x04" + b"\0" * 50, None, "file", "workbook"),
        (b"\x89PNG\r\n", None, "file", "not a CSV"),
        (b"email\n" + b"x" * 1_100_000, None, "file", "Line 2 is longer"),
        (b"email," * 600 + b"\n", None, "file", "columns"),
        ("email\na@example.com\n".encode("utf-16")[:-1], None, "file", "utf-16"),
    ],
)
def test_a_file_that_can_not_be_used_says_why(
    tmp_path: Path, data: bytes, mapping: dict[str, str] | None, field: str, words: str | None
) -> None:
    if words is None:
        assert people(read(tmp_path, data + b"a,b@example.com\n", mapping)) == [
            (2, "b@example.com", "", {"email": "a"})
        ]
        return
    told = refused(tmp_path, data, mapping)

    assert told[0] == field
    assert words in told[1]


def test_a_row_with_more_cells_than_the_header_is_rejected_with_its_line(tmp_path: Path) -> None:
    rows = read(tmp_path, "email,x\na@example.com,1,2\nb@example.com,1\n")

    assert isinstance(rows[0], Rejected)
    assert (rows[0].row, rows[0].email) == (2, "a@example.com")
    assert "3 cells" in rows[0].reason
    assert rows[1].email == "b@example.com"


def test_a_quotation_mark_that_is_never_closed_swallows_no_rows_silently(tmp_path: Path) -> None:
    rows = read(tmp_path, 'email,x\na@example.com,"oops\nb@example.com,1\nc@example.com,2\n')

    assert [(type(r), r.row) for r in rows] == [(Rejected, 2)]
    assert "line 2 to line 4" in rows[0].reason


def test_a_huge_cell_is_rejected_and_the_rest_is_read(tmp_path: Path) -> None:
    rows = read(tmp_path, f"email,x\na@example.com,{'y' * 200_000}\nb@example.com,1\n")

    assert [(type(r), r.row) for r in rows] == [(Rejected, 2), (NewRecipient, 3)]


def test_the_share_that_is_read_goes_up_to_one(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("email\n" + "a@example.com\n" * 20_000)

    with read_rows(path, None) as reader:
        shares = [reader.share for _ in reader]

    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1.0


_cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    cells=st.lists(st.tuples(_cell, _cell), max_size=5),
    dialect=st.sampled_from([(d, e) for d in ",;\t|" for e in ("\n", "\r\n")]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_what_is_written_as_csv_is_read_back(
    tmp_path: Path, cells: list[tuple[str, str]], dialect: tuple[str, str], encoding: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=dialect[0], lineterminator=dialect[1], quoting=csv.QUOTE_ALL)
    writer.writerow(["email", "a", "b"])
    writer.writerows(["ada@example.com", a, b] for a, b in cells)

    rows = read(tmp_path, out.getvalue().encode(encoding))

    assert [attributes for _, _, _, attributes in people(rows)] == [
        {key: cell.strip() for key, cell in (("a", a), ("b", b)) if cell.strip()} for a, b in cells
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    data=st.binary(max_size=300), header=st.sampled_from([b"", b"email,x\n", b"sep=;\nmail;y\n"])
)
def test_any_bytes_are_rows_or_one_sentence(tmp_path: Path, data: bytes, header: bytes) -> None:
    found = _rows_or_refusal(tmp_path, header + data)

    assert all(isinstance(row, NewRecipient | Rejected | Invalid) for row in found)


def _rows_or_refusal(folder: Path, data: bytes) -> list[Any]:
    try:
        return read(folder, data)
    except Invalid as invalid:
        return [invalid]
