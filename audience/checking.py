"""What a recipient given may be: each row is either kept as it is written here, or refused with the reason.

Nothing here asks the database. A file has a million rows, so what is made for each of them is a tuple, which takes a
third of a frozen dataclass's time.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from audience.model import NewRecipient, Rejected
from mail.address import normalise_fast

MAX_NAME = 200
MAX_ATTRIBUTES_BYTES = 16 * 1024
MAX_DEPTH = 20

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Accepted(NamedTuple):
    """A row as it is kept; encoded are its attributes as JSON."""

    row: int
    email: str
    address_key: str
    name: str
    attributes: Mapping[str, Any]
    encoded: str


class Known(NamedTuple):
    """What is kept of a recipient already."""

    email: str
    name: str
    encoded: str

    @property
    def attributes(self) -> Mapping[str, Any]:
        attributes: Mapping[str, Any] = orjson.loads(self.encoded)
        return attributes

    def is_as(self, row: Accepted) -> bool:
        """Say whether the row changes nothing."""
        return (row.email, row.name, row.encoded) == self


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Rows that can be kept, and those that can't; false when there are none at all."""

    accepted: Sequence[Accepted]
    rejected: Sequence[Rejected]

    def __bool__(self) -> bool:
        return bool(self.accepted or self.rejected)


def check(new: Iterable[NewRecipient | Rejected]) -> Checked:
    """Say of each row how it is kept, or why it is not; what was rejected before stays so.

    Give rows as they are made, and not in a list: what lives only for a moment costs the garbage collector nothing.
    """
    accepted: list[Accepted] = []
    rejected: list[Rejected] = []
    for row in new:
        checked = row if isinstance(row, Rejected) else _checked(row)
        if isinstance(checked, str):
            rejected.append(Rejected(row=row.row, email=row.email[:320], reason=checked))
        elif isinstance(checked, Rejected):
            rejected.append(checked)
        else:
            accepted.append(checked)
    return Checked(accepted=accepted, rejected=rejected)


def brought_up_to_date(
    accepted: Sequence[Accepted], there: Mapping[str, Known]
) -> tuple[dict[str, Accepted], list[Rejected]]:
    """Return the rows to keep, by address key, and those that would make a recipient too large."""
    rows: dict[str, Accepted] = {}
    too_large: list[Rejected] = []
    for row in accepted:
        key = row.address_key
        before = rows.get(key) or there.get(key)
        together = row if before is None else _over(before, row)
        if isinstance(together, str):
            too_large.append(Rejected(row=row.row, email=row.email, reason=together))
        else:
            rows[key] = together
    return rows, too_large


def is_unicode(text: str) -> bool:
    """Say whether the text holds no half of a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _checked(row: NewRecipient) -> Accepted | str:
    address = normalise_fast(row.email)
    if isinstance(address, str):
        return address
    name = row.name.strip()
    if len(name) > MAX_NAME:
        return f"The name is longer than {MAX_NAME} characters."
    if not name.isprintable() and CONTROL.search(name):
        return "The name holds a line break or another control character."
    if not name.isascii() and not is_unicode(name):
        return "The name holds half a character (a lone surrogate)."
    attributes = row.attributes
    encoded = _encoded(attributes) if attributes else b"{}"
    if isinstance(encoded, str):
        return encoded
    return Accepted(row.row, address.written, address.key, name, attributes, encoded.decode())


def _over(before: Accepted | Known, row: Accepted) -> Accepted | str:
    """Return the row with what it does not say from before, or the reason why they can't be kept together."""
    name = row.name or before.name
    if before.encoded in ("{}", row.encoded):
        return row if name == row.name else row._replace(name=name)
    attributes = {**before.attributes, **row.attributes}
    encoded = _encoded(attributes)
    if isinstance(encoded, str):
        return f"{encoded} That is with those the recipient has already."
    return row._replace(name=name, attributes=attributes, encoded=encoded.decode())


def _encoded(attributes: Mapping[str, Any]) -> bytes | str:
    """Return the attributes as JSON, or the reason why they can't be kept."""
    attributes = attributes if type(attributes) is dict else dict(attributes)
    wrong = _wrong_inside(attributes)
    if wrong is not None:
        return wrong
    try:
        encoded = orjson.dumps(attributes)
    except TypeError as error:  # half a character, an integer of more than 64 bits
        return f"The attributes can't be kept as JSON: {error}."
    if len(encoded) > MAX_ATTRIBUTES_BYTES:
        return (
            f"The attributes take {len(encoded):,} bytes as JSON;"
            f" at most {MAX_ATTRIBUTES_BYTES:,} are kept."
        )
    return encoded


def _wrong_inside(attributes: dict[str, Any]) -> str | None:
    level: list[Any] = [attributes]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for group in level:
            for value in group.values() if isinstance(group, dict) else group:
                if isinstance(value, str):
                    continue
                if isinstance(value, dict | list | tuple):
                    inner.append(value)
                elif isinstance(value, float) and not math.isfinite(value):
                    return "The attributes hold a number that JSON has not (NaN or infinity)."
        if not inner:
            return None
        level = inner
    return f"The attributes are nested deeper than {MAX_DEPTH} levels."
