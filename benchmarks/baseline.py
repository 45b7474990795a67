"""What was measured before, in a file of the repository, and what has become worse since.

Compared are ratios, to a yardstick or to another program that was measured in the same run: so a baseline of another
machine still says something.
"""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figure import Better
from benchmarks.runner import Result
from foundation.clock import SystemClock

PATH = Path(__file__).parent / "baseline.json"
TOLERANCE = 0.25
"""How much worse a figure may be before it is marked: what a machine that does something else makes of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure beside its baseline. change: by what share its ratio is larger; None where there is no baseline."""

    result: Result
    before: float | None
    change: float | None
    is_worse: bool


def compare(
    results: Sequence[Result], baseline: dict[str, float], *, tolerance: float = TOLERANCE
) -> list[Comparison]:
    """Put each result beside the ratio that it had, by its name."""
    return [_compared(r, baseline.get(r.name), tolerance) for r in results]


def _compared(result: Result, before: float | None, tolerance: float) -> Comparison:
    if result.better is Better.NONE:
        return Comparison(result=result, before=before, change=None, is_worse=result.is_wrong)
    if not before:
        return Comparison(result=result, before=None, change=None, is_worse=False)
    change = result.ratio / before - 1
    # A quarter worse is 1.25 times the time, and 0.8 times the rate.
    worse = before / result.ratio if result.better is Better.MORE else result.ratio / before
    return Comparison(result=result, before=before, change=change, is_worse=worse > 1 + tolerance)


def load(path: Path, sizes_name: str) -> dict[str, float]:
    """Return the ratio of each figure at these sizes; empty where none was saved."""
    figures = _read(path).get(sizes_name, {}).get("figures", {})
    return {name: float(figure["ratio"]) for name, figure in figures.items()}


def save(path: Path, sizes_name: str, results: Sequence[Result]) -> None:
    """Put these results in the place of those that the file had for the same figures; the others stay."""
    kept = _read(path)
    figures = kept.get(sizes_name, {}).get("figures", {})
    figures |= {r.name: as_json(r) for r in results if r.better is not Better.NONE}
    kept[sizes_name] = {"where": where(), "figures": figures}
    path.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


def as_json(result: Result) -> dict[str, Any]:
    """Return a result for a file, without its name; figures to four digits."""
    found = asdict(result) | {
        "value": float(f"{result.value:.4g}"),
        "ratio": float(f"{result.ratio:.4g}"),
    }
    del found["name"]
    return found


def where() -> dict[str, str]:
    """Return where and when was measured."""
    return {
        "date": SystemClock().now().date().isoformat(),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text())
    return found
