"""python -m benchmarks: measures, and says what has become worse."""

import json
import signal
from pathlib import Path

import click

from benchmarks import baseline, table
from benchmarks.baseline import TOLERANCE
from benchmarks.catalogue import IN_PROCESS, WHEN_NAMED, WHOLE
from benchmarks.figure import Benchmark
from benchmarks.runner import Result, run
from benchmarks.sizes import FULL, QUICK, Sizes
from foundation.log import set_up_logging

_ALL = (*IN_PROCESS, *WHOLE)
_NAMES = tuple(b.name for b in (*_ALL, *WHEN_NAMED))
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="Measure less of each: minutes, not half an hour.")
@click.option("--only", multiple=True, type=click.Choice(_NAMES), help="Measure this; repeatable.")
@click.option("--repeats", type=click.IntRange(min=1), help="Take everything so many times.")
@click.option("--json", "json_file", type=_FILE, help="Write the results to this file.")
@click.option(
    "--save-baseline",
    "saved",
    type=_FILE,
    is_flag=False,
    flag_value=str(baseline.PATH),
    help="Make these results the baseline, that of the repository or in another file.",
)
@click.option(
    "--compare",
    "compared",
    type=_FILE,
    is_flag=False,
    flag_value=str(baseline.PATH),
    help="Compare with the baseline, that of the repository or another file; ends with 1 if something is worse.",
)
@click.option("--tolerance", default=TOLERANCE, help="How much worse is worse: 0.25 is a quarter.")
def main(
    *,
    quick: bool,
    only: tuple[str, ...],
    repeats: int | None,
    json_file: Path | None,
    saved: Path | None,
    compared: Path | None,
    tolerance: float,
) -> None:
    """Measure what was asked for."""
    sizes = QUICK if quick else FULL
    results = run(
        _chosen(only),
        sizes,
        repeats=repeats or sizes.repeats,
        say=lambda line: click.echo(line, err=True),
    )
    is_worse = any(r.is_wrong for r in results)
    if compared is None:
        click.echo(table.measured(results))
    else:
        comparisons = baseline.compare(
            results, baseline.load(compared, sizes.name), tolerance=tolerance
        )
        click.echo(table.compared(comparisons))
        is_worse = any(c.is_worse for c in comparisons)
    if json_file is not None:
        json_file.write_text(json.dumps(_as_json(results, sizes), indent=1) + "\n")
    if saved is not None:
        baseline.save(saved, sizes.name, results)
    raise SystemExit(1 if is_worse else 0)


def _chosen(only: tuple[str, ...]) -> list[Benchmark]:
    return [b for b in (*_ALL, *WHEN_NAMED) if b.name in only] if only else list(_ALL)


def _as_json(results: list[Result], sizes: Sizes) -> dict[str, object]:
    figures = {r.name: baseline.as_json(r) for r in results}
    return {"sizes": sizes.name, "where": baseline.where(), "figures": figures}


if __name__ == "__main__":
    # As Ctrl-C does: what was started is ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    set_up_logging("console", level="WARNING")
    main()
