"""People as they are pasted: out of a mail program, a list, or a spreadsheet's columns.

Loses nothing: whatever stands in the text comes back, with what is wrong where it can't be read. Whether an address is
one is not for here to say.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from audience.csv_columns import is_email_column
from mail.address import MAX_BYTES

MOST = 10_000

_IN_BRACKETS = re.compile(
    r'(?P<name>\s*"(?:[^"\\]|\\.)*"\s*|[^<>]*)<\s*(?:mailto:)?(?P<email>[^<>]*)>', re.DOTALL
)
_LOOKS_TRIED = re.compile(r"\S\.\S")
_TOO_MANY_CELLS = (
    "This line has more than an address and a name. Import a table with more columns as a CSV file."
)
_NO_ADDRESS = "There is no address in it: an address has an @-sign. Correct it or leave it out."
_SEVERAL = (
    "It is not clear what belongs together here. Write one person on each line, as"
    " Ann Doe <ann@example.com>."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """One person in the text. text is what was pasted of them; wrong: why it can't be read, where it can't."""

    line: int
    text: str
    email: str
    name: str
    wrong: str | None = None


def read_pasted(text: str) -> list[Pasted]:
    """Return the people in a text, in order.

    One on each line, or with commas or semicolons between; as an address, `Name <address>`, `"Last, First" <address>`
    or `Name address`, or as a spreadsheet's row of address and name. A heading such as "E-Mail" is passed over.
    """
    found: list[Pasted] = []
    for number, line in enumerate(_lines(text), start=1):
        if line.strip() and (found or not _is_heading(line)):
            found += _row(number, line) if "\t" in line.strip() else _list(number, line)
    return found


def _lines(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n|\u2028|\u2029", text)


def _is_heading(line: str) -> bool:
    cells = line.split("\t") if "\t" in line else re.split("[,;]", line)
    return "@" not in line and any(is_email_column(cell) for cell in cells)


def _row(number: int, line: str) -> list[Pasted]:
    """Read cells of a spreadsheet: one holds the address, at most one other the name."""
    cells = [_unquoted_cell(cell) for cell in line.split("\t") if cell.strip()]
    addresses = [cell for cell in cells if "@" in cell]
    others = [cell for cell in cells if "@" not in cell]
    if len(addresses) > 1 and not others:
        return [person for cell in addresses for person in _list(number, cell)]
    if not addresses:
        return [_unread(number, line, _NO_ADDRESS)]
    if len(addresses) > 1 or len(others) > 1:
        return [_unread(number, line, _TOO_MANY_CELLS)]
    if not others:
        return _list(number, addresses[0])
    if "<" in addresses[0]:
        return [_unread(number, line, _TOO_MANY_CELLS)]
    email = _bare(addresses[0])
    return [Pasted(line=number, text=line.strip(), email=email, name=others[0])]


def _unquoted_cell(cell: str) -> str:
    cell = cell.strip()
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        return cell[1:-1].replace('""', '"').strip()
    return cell


def _list(number: int, line: str) -> list[Pasted]:
    """Read people with commas or semicolons between them."""
    return [
        _person(number, part)
        for piece in _whole_names(_pieces(line))
        for part in _with_blanks_between(piece)
    ]


def _pieces(line: str) -> list[tuple[str, str]]:
    """Cut a line at its commas and semicolons, but not inside quotation marks or <>; each piece with what ended it."""
    pieces, is_open = _cut(line, quotes=True)
    # A mark that is never closed is a letter like any other.
    return _cut(line, quotes=False)[0] if is_open else pieces


def _cut(line: str, *, quotes: bool) -> tuple[list[tuple[str, str]], bool]:
    """Return the pieces, and whether a quotation mark is still open at the end."""
    pieces: list[tuple[str, str]] = []
    begin = 0
    quoted = bracketed = escaped = False
    for at, letter in enumerate(line):
        if escaped:
            escaped = False
        elif quoted and letter == "\\":
            escaped = True
        elif quotes and letter == '"' and not bracketed:
            quoted = not quoted
        elif quoted:
            pass
        elif letter == "<":
            bracketed = True
        elif bracketed and letter == ">":
            # What follows without a separator is the next person.
            bracketed = False
            pieces.append((line[begin : at + 1], ">"))
            begin = at + 1
        elif not bracketed and letter in ",;":
            pieces.append((line[begin:at], letter))
            begin = at + 1
    return [*pieces, (line[begin:], "")], quoted


def _whole_names(pieces: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Put a name back together that holds a comma: Doe, Ann <ann@example.com>. Blank pieces are left out."""
    held = ""
    for piece, end in pieces:
        together = f"{held}{piece}"
        if held and "<" not in piece:
            yield held[:-1].strip()
            together = piece
        held = ""
        if not together.strip():
            continue
        # What holds a dot was meant as an address, and is not to vanish in somebody's name.
        if end == "," and "@" not in together and not _LOOKS_TRIED.search(together):
            held = together + ","
        else:
            yield together.strip()
    if held:
        yield held[:-1].strip()


def _with_blanks_between(piece: str) -> list[str]:
    """Cut addresses apart that have nothing but blanks between them."""
    words = piece.split()
    addresses_only = all("@" in word for word in words) and "<" not in piece and ">" not in piece
    return words if addresses_only else [piece]


def _person(number: int, piece: str) -> Pasted:
    in_brackets = _IN_BRACKETS.fullmatch(piece)
    if in_brackets is not None:
        email, name = in_brackets["email"].strip(), _unquoted(in_brackets["name"])
        return Pasted(line=number, text=piece, email=email, name=name)
    if "<" in piece or ">" in piece:
        return _unread(number, piece, _SEVERAL)
    words = piece.split()
    addresses = [word for word in words if "@" in word]
    if not addresses:
        return _unread(number, piece, _NO_ADDRESS)
    if len(addresses) > 1:
        return _unread(number, piece, _SEVERAL)
    name = " ".join(word for word in words if word is not addresses[0])
    return Pasted(line=number, text=piece, email=_bare(addresses[0]), name=_unquoted(name))


def _bare(address: str) -> str:
    address = address.removeprefix("mailto:")
    for left, right in (("'", "'"), ('"', '"'), ("(", ")")):
        if len(address) > 1 and address.startswith(left) and address.endswith(right):
            return address[1:-1]
    return address


def _unquoted(name: str) -> str:
    name = name.strip()
    for left, right in (('"', '"'), ("'", "'"), ("(", ")")):
        if len(name) > 1 and name.startswith(left) and name.endswith(right):
            return re.sub(r"\\(.)", r"\1", name[1:-1]).strip()
    return name


def _unread(number: int, text: str, why: str) -> Pasted:
    shown = text.strip()
    return Pasted(line=number, text=shown, email=shown[:MAX_BYTES], name="", wrong=why)
