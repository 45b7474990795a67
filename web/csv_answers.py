"""Tables as CSV: streamed page by page, and safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from flask import Response

PAGE = 1000

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

T = TypeVar("T")
Cell = str | int | None


def pages(read: Callable[[int | None], Sequence[T]], key: Callable[[T], int]) -> Iterator[T]:
    """Yield everything that read gives, page after page; read takes the last key it gave.

    Each page is read in a transaction of its own, so that a slow client holds nothing open.
    """
    after: int | None = None
    while page := read(after):
        yield from page
        after = key(page[-1])


def csv_answer(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Response:
    """Return the table as a download."""
    return Response(
        _lines(header, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def defused(cell: Cell) -> Cell:
    """Return a cell that no spreadsheet takes for a formula."""
    if isinstance(cell, str) and cell.startswith(_FORMULA):
        return "'" + cell
    return cell


def _lines(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for count, row in enumerate(rows, start=1):
        writer.writerow([defused(cell) for cell in row])
        if count % PAGE == 0:
            yield _taken(buffer)
    yield _taken(buffer)


def _taken(buffer: io.StringIO) -> bytes:
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return text.encode()
