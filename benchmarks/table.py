"""Results as a table for a terminal, which is a table in Markdown too."""

from collections.abc import Iterable, Sequence

from benchmarks.baseline import Comparison
from benchmarks.runner import Result

_MEASURED = ("measured", "value", "unit", "compared with", "ratio")
_COMPARED = (*_MEASURED, "baseline", "change", "")


def measured(results: Iterable[Result]) -> str:
    """Return what was found."""
    return _table(_MEASURED, [_cells(r) for r in results])


def compared(comparisons: Iterable[Comparison]) -> str:
    """Return what was found beside the baseline; what has become worse is marked."""
    return _table(_COMPARED, [_compared_cells(c) for c in comparisons])


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.name,
        _number(result.value),
        result.unit,
        result.against,
        _number(result.ratio),
    )


def _compared_cells(c: Comparison) -> tuple[str, ...]:
    return (
        *_cells(c.result),
        "-" if c.before is None else _number(c.before),
        "-" if c.change is None else f"{c.change:+.0%}",
        "WORSE" if c.is_worse else "",
    )


def _number(value: float) -> str:
    """Return three digits, and no more after the point than say something."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{2 if abs(value) < 10 else 1}f}" if abs(value) >= 0.1 else f"{value:.2g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    # The name and what it is compared with are words, the others are numbers.
    words = {0, 2, 3, 7}

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.ljust(width) if n in words else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return f"| {' | '.join(cells)} |"

    rule = line([("-" * w) if n in words else "-" * (w - 1) + ":" for n, w in enumerate(widths)])
    return "\n".join([line(head), rule, *map(line, rows)])
