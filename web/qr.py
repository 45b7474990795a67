"""QR codes as the path of an SVG: one stroke for each row of dark squares, so a page needs neither image nor style."""

from collections.abc import Iterable
from dataclasses import dataclass

import segno

_QUIET = 4
"""The light border that readers need, in squares (ISO 18004)."""


@dataclass(frozen=True, slots=True)
class Qr:
    """A code. size: of its square, in squares, with the border; path: strokes one square wide."""

    size: int
    path: str


def qr(text: str) -> Qr:
    """Return the code that says this text."""
    rows = list(segno.make_qr(text, error="m").matrix_iter(border=_QUIET))
    path = "".join(
        f"M{begin} {y}.5h{length}" for y, row in enumerate(rows) for begin, length in _dark(row)
    )
    return Qr(size=len(rows), path=path)


def _dark(row: Iterable[int]) -> list[tuple[int, int]]:
    """Return where each run of dark squares begins, and its length."""
    found: list[tuple[int, int]] = []
    for x, is_dark in enumerate(row):
        if is_dark and found and sum(found[-1]) == x:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        elif is_dark:
            found.append((x, 1))
    return found
