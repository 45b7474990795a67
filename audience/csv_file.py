"""CSV as people have it: any common encoding, comma, semicolon, tab or bar, Excel's habits, and rows that do not fit.

Reads a file of any size in a little memory. A mistake of the whole file is Invalid on "file" or "mapping"; a mistake of
one row is a Rejected with its line.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from audience.csv_columns import all_addresses, column_names, roles_of
from audience.model import NewRecipient, Rejected
from foundation.errors import Invalid

MAX_LINE = 1_000_000

_DELIMITERS = (",", ";", "\t", "|")
_WESTERN = ("cp1252", "cp1250", "cp1254", "cp1257")
_SAMPLE = 64 * 1024


class CsvFile:
    """A file that is open: how it is read, what its first row says, and its records, each with its line.

    has_header False: the first row is a person already. None: whether it is shows in it (an address names no column).
    """

    def __init__(self, path: Path, *, has_header: bool | None) -> None:
        self._size = path.stat().st_size
        self.encoding = _encoding_of(path)
        self._bytes = path.open("rb")
        try:
            self._lines = _Lines(self._bytes, self.encoding)
            lines = iter(self._lines)
            self.delimiter = self._find_delimiter(lines)
            self._records = csv.reader(lines, delimiter=self.delimiter)
            self._first = self._find_first()
            self.has_header = _is_header(self._first[1]) if has_header is None else has_header
            heading = self._first[1] if self.has_header else [""] * len(self._first[1])
            self.names = column_names(heading)
        except BaseException:
            self.close()
            raise

    @property
    def share(self) -> float:
        return min(1.0, self._bytes.tell() / self._size) if not self._bytes.closed else 1.0

    def close(self) -> None:
        self._bytes.close()

    def records(self) -> Iterator[tuple[int, list[str]] | Rejected]:
        """Go through the rows that are not blank, each with its line. Raises Invalid where the file breaks off."""
        if not self.has_header:
            yield self._first
        while True:
            begins = self._lines.number + 1
            self._lines.quotes = 0
            try:
                cells = next(self._records)
            except StopIteration:
                return
            except csv.Error:
                yield self._too_large(begins)
                continue
            except UnicodeError:
                raise _unreadable(self._lines.number + 1, self.encoding) from None
            if any(cells):
                yield begins, cells

    def _too_large(self, begins: int) -> Rejected:
        return Rejected(
            row=begins,
            email="",
            reason=(
                f"A cell is larger than {csv.field_size_limit() // 1024} KB; lines {begins} to"
                f" {self._lines.number} were not read. Is a quotation mark missing?"
            ),
        )

    def _find_delimiter(self, lines: Iterator[str]) -> str:
        """Look at the first line, and leave it to be read again unless it is Excel's "sep=;"."""
        first = self._lines.peek()
        says = re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE)
        if says is not None:
            next(lines)
            return says[1]
        unquoted = re.sub(r'"[^"]*"', "", first)
        return max(_DELIMITERS, key=unquoted.count)

    def _find_first(self) -> tuple[int, list[str]]:
        try:
            begins, cells = self._lines.number + 1, next(self._records)
            while not any(cell.strip() for cell in cells):
                begins, cells = self._lines.number + 1, next(self._records)
        except StopIteration:
            raise Invalid.field(
                "file", "The file is empty. Its first line must name the columns, as email,name."
            ) from None
        except csv.Error as error:
            raise Invalid.field("file", f"Line 1 can't be read as CSV: {error}.") from None
        except UnicodeError:
            raise _unreadable(1, self.encoding) from None
        return begins, cells


class CsvReader(CsvFile):
    """The rows of one file. Iterate once; share says how much of the file has been read, 0 to 1."""

    def __init__(
        self, path: Path, mapping: Mapping[str, str] | None, *, has_header: bool = True
    ) -> None:
        super().__init__(path, has_header=has_header)
        try:
            self._roles = roles_of(self.names, mapping or {})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "CsvReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[NewRecipient | Rejected]:
        """Go through the rows; row is the line on which each begins. Raises Invalid where the file can't be read on."""
        roles, width = self._roles, len(self._roles)
        email_at = roles.index("email")
        name_at = roles.index("name") if "name" in roles else None
        said = [(at, role[1:]) for at, role in enumerate(roles) if role.startswith("=")]
        for record in self.records():
            if isinstance(record, Rejected):
                yield record
                continue
            begins, cells = record
            if len(cells) != width or self._lines.number > begins:
                wrong = self._misfit(cells, begins, width)
                if wrong is not None:
                    email = cells[email_at].strip() if email_at < len(cells) else ""
                    yield Rejected(row=begins, email=email[:320], reason=wrong)
                    continue
                cells += [""] * (width - len(cells))
            # An empty cell is an attribute that the recipient lacks.
            attributes = {attribute: cell for at, attribute in said if (cell := cells[at].strip())}
            name = "" if name_at is None else cells[name_at]
            yield NewRecipient(begins, cells[email_at].strip(), name.strip(), attributes)

    def _misfit(self, cells: Sequence[str], begins: int, width: int) -> str | None:
        if len(cells) > width and any(cell.strip() for cell in cells[width:]):
            return (
                f"The row has {len(cells)} cells, the header {width}. Put cells that hold"
                f' "{self.delimiter}" into quotation marks.'
            )
        if self._lines.number > begins and self._lines.quotes % 2:
            return (
                f"A quotation mark is not closed: the row runs from line {begins} to line"
                f" {self._lines.number}."
            )
        return None


def read_rows(
    path: Path, mapping: Mapping[str, str] | None, *, has_header: bool = True
) -> CsvReader:
    """Open a CSV file. mapping: as in csv_columns.roles_of. has_header False: its first row is a person already.

    Raises Invalid on "file" or "mapping".
    """
    return CsvReader(path, mapping, has_header=has_header)


def _is_header(cells: Sequence[str]) -> bool:
    return not any(cell.strip() and all_addresses([cell]) for cell in cells)


class _Lines:
    """The lines of the file as text, with their line ends, counted."""

    def __init__(self, file: io.BufferedReader, encoding: str) -> None:
        self._text = io.TextIOWrapper(file, encoding=encoding, newline="")
        self._peeked: str | None = None
        self.number = 0
        self.quotes = 0

    def peek(self) -> str:
        try:
            self._peeked = self._text.readline(MAX_LINE)
        except UnicodeError:
            raise _unreadable(1, self._text.encoding) from None
        self._refuse_overlong(self._peeked)
        return self._peeked

    def __iter__(self) -> Iterator[str]:
        read = self._text.readline
        while line := read(MAX_LINE) if self._peeked is None else self._peeked:
            self._peeked = None
            if len(line) >= MAX_LINE:
                self._refuse_overlong(line)
            self.number += 1
            self.quotes += line.count('"')
            yield line

    def _refuse_overlong(self, line: str) -> None:
        if len(line) == MAX_LINE:
            raise Invalid.field(
                "file",
                f"Line {self.number + 1} is longer than {MAX_LINE:,} characters. Is this a CSV file?",
            )


# Encodings


def _encoding_of(path: Path) -> str:
    """Say how the file's bytes are to be read: by its mark, as UTF-8 when all of it is, else by the look of it."""
    with path.open("rb") as file:
        start = file.read(_SAMPLE)
        _refuse_other_formats(start)
        for mark, encoding in (
            (codecs.BOM_UTF8, "utf-8-sig"),
            (codecs.BOM_UTF32_LE, "utf-32"),
            (codecs.BOM_UTF32_BE, "utf-32"),
            (codecs.BOM_UTF16_LE, "utf-16"),
            (codecs.BOM_UTF16_BE, "utf-16"),
        ):
            if start.startswith(mark):
                return encoding
        if start[:4000].count(0) > len(start[:4000]) // 4:
            return "utf-16-le" if start[1:2] == b"\0" else "utf-16-be"
        sample = _beyond_ascii(file, start)
    return "utf-8" if sample is None else _guess(sample)


def _refuse_other_formats(start: bytes) -> None:
    if not start.strip():
        raise Invalid.field(
            "file", "The file is empty. Its first line must name the columns, as email,name."
        )
    if start.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise Invalid.field(
            "file", "This is a workbook, not CSV. Save it as CSV (in Excel: Save As, CSV UTF-8)."
        )
    if start.startswith((b"%PDF", b"\x89PNG", b"\x1f\x8b", b"GIF8", b"\xff\xd8\xff")):
        raise Invalid.field("file", "This is not a CSV file. Save the list as CSV and send that.")


def _beyond_ascii(file: io.BufferedReader, start: bytes) -> bytes | None:
    """Return lines that hold more than ASCII when the file is not UTF-8, else None."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    sample = bytearray()
    is_utf8 = True
    block = start
    while True:
        if len(sample) < _SAMPLE and not block.isascii():
            sample += b"\n".join(line for line in block.splitlines() if not line.isascii())
        try:
            if is_utf8:
                decoder.decode(block, final=not block)
        except UnicodeDecodeError:
            is_utf8 = False
        if not block or (not is_utf8 and len(sample) >= _SAMPLE):
            return None if is_utf8 else bytes(sample[:_SAMPLE])
        block = file.read(1024 * 1024)


def _guess(sample: bytes) -> str:
    # Here, since few files need it and every server would keep its tables in memory.
    from charset_normalizer import from_bytes

    if not _is_mostly_beyond_ascii(sample):
        # Western letters stand alone among ASCII ones, and a guess by language alone confuses é with its neighbours:
        # what Excel writes most holds unless another page fits better.
        found = [(page, from_bytes(sample, cp_isolation=[page]).best()) for page in _WESTERN]
        fitting = [(best.coherence, -_WESTERN.index(page), page) for page, best in found if best]
        return max(fitting)[2] if fitting else "latin-1"
    best = from_bytes(sample).best()
    return best.encoding if best is not None else "latin-1"


def _is_mostly_beyond_ascii(sample: bytes) -> bool:
    high = len(re.findall(rb"[\x80-\xff]", sample))
    in_words = sum(len(run) for run in re.findall(rb"[\x80-\xff]{3,}", sample))
    return in_words * 2 > high


def _unreadable(line: int, encoding: str) -> Invalid:
    return Invalid.field(
        "file",
        f"Line {line} can't be read as {encoding}. Save the file as UTF-8 and send it again.",
    )
