"""A look into a CSV file before it is imported: how it is read, which columns it has, and what is in them."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from audience.csv_columns import guesses
from audience.csv_file import CsvFile
from audience.model import Rejected

_ROWS_LOOKED_AT = 200
_SAMPLE = 3
_LONGEST_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a file. guess: what it most likely is, as roles_of says it; sample: some of its values."""

    name: str
    guess: str
    sample: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was found. rows counts the people in the file, those that will be rejected too."""

    encoding: str
    delimiter: str
    has_header: bool
    columns: tuple[Column, ...]
    rows: int


def look_into(path: Path, *, has_header: bool | None = None) -> Look:
    """Read the whole file and say what is in it. has_header: as in CsvFile. Raises Invalid on "file"."""
    with closing(CsvFile(path, has_header=has_header)) as file:
        values: list[list[str]] = [[] for _ in file.names]
        rows = 0
        for record in file.records():
            rows += 1
            if rows <= _ROWS_LOOKED_AT and not isinstance(record, Rejected):
                for found, cell in zip(values, record[1], strict=False):
                    if cell.strip():
                        found.append(cell.strip())
        columns = [
            Column(name=name, guess=guess, sample=_sample(found))
            for name, guess, found in zip(
                file.names, guesses(file.names, values), values, strict=True
            )
        ]
        return Look(
            encoding=file.encoding,
            delimiter=file.delimiter,
            has_header=file.has_header,
            columns=tuple(columns),
            rows=rows,
        )


def _sample(values: list[str]) -> tuple[str, ...]:
    distinct = list(dict.fromkeys(values))[:_SAMPLE]
    return tuple(
        value if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"
        for value in distinct
    )
