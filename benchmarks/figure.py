"""What a benchmark finds: a value, and what was measured beside it, so that the two make a ratio."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.sizes import Sizes

YARDSTICK = "yardstick"
NOTHING = "-"
"""What is compared as it is: memory, which no machine makes smaller by being fast."""


class Better(StrEnum):
    """Which way is better; NONE: anything but zero is wrong."""

    LESS = "less"
    MORE = "more"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing measured once. beside: what it is compared with, measured in the same minute and in the same unit.

    Against the yardstick, which is a time, it is None: the runner measures that. So such a figure is a time as well.
    """

    name: str
    value: float
    unit: str
    against: str = YARDSTICK
    beside: float | None = None
    better: Better = Better.LESS


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One thing measured: a name for --only, and a function that finds its figures at these sizes."""

    name: str
    measure: Callable[[Sizes], Iterable[Figure]]


def memory(name: str, mib: float) -> Figure:
    """Return a figure of memory."""
    return Figure(name=name, value=mib, unit="MiB", against=NOTHING, beside=1.0)


def miscounted(name: str, found: tuple[int, int]) -> Iterator[Figure]:
    """Yield what must be nought in a run: duplicates, and people who got nothing."""
    for what, number in zip(("duplicates", "missing"), found, strict=True):
        yield Figure(
            name=f"{name}: {what}",
            value=number,
            unit="messages",
            against=NOTHING,
            beside=1.0,
            better=Better.NONE,
        )
