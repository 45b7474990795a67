"""Takes the benchmarks one after the other, then all again, so that a busy minute of the machine meets all of them."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figure import YARDSTICK, Benchmark, Better, Figure
from benchmarks.sizes import Sizes
from benchmarks.timing import yardstick_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What all repeats found for one thing, medians: its value, and its ratio to what it is compared with."""

    name: str
    value: float
    unit: str
    against: str
    ratio: float
    better: Better

    @property
    def is_wrong(self) -> bool:
        """Whether there is something that must not be: a duplicate, a missing message."""
        return self.better is Better.NONE and self.value != 0


def run(
    benchmarks: Sequence[Benchmark],
    sizes: Sizes,
    *,
    repeats: int,
    say: Callable[[str], None],
) -> list[Result]:
    """Measure; say what is being measured. Returns the results in the order in which they were found."""
    found: dict[str, list[tuple[Figure, float]]] = {}
    for repeat in range(1, repeats + 1):
        for benchmark in benchmarks:
            say(f"[{repeat}/{repeats}] {benchmark.name}")
            for figure, ratio in _measured(benchmark, sizes):
                found.setdefault(figure.name, []).append((figure, ratio))
    return [_result(several) for several in found.values()]


def _measured(benchmark: Benchmark, sizes: Sizes) -> list[tuple[Figure, float]]:
    """Return the figures of one repeat, each with its ratio; the yardstick is laid on before and after."""
    before = yardstick_us()
    figures = list(benchmark.measure(sizes))
    yardstick = (before + yardstick_us()) / 2
    ratios = []
    for figure in figures:
        beside = yardstick if figure.against == YARDSTICK else figure.beside
        assert beside, figure
        ratios.append((figure, figure.value / beside))
    return ratios


def _result(several: Sequence[tuple[Figure, float]]) -> Result:
    figure, _ = several[0]
    # Of what must be nought the worst counts.
    middle = max if figure.better is Better.NONE else statistics.median
    return Result(
        name=figure.name,
        value=middle([f.value for f, _ in several]),
        unit=figure.unit,
        against=figure.against,
        ratio=middle([ratio for _, ratio in several]),
        better=figure.better,
    )
