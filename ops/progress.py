"""What long work shows while it goes on: a bar on a terminal, plain lines anywhere else; and tables for both."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

_PLAIN_WIDTH = 200
_STEPS = 4


class Show(Protocol):
    """Shows how far the work is; note is what is worth knowing just now, as its counts."""

    def __call__(self, share: float, *, note: str) -> None: ...


def console() -> Console:
    """Return where a person reads; a pipe or a file gets lines that are not cut at 80 columns."""
    is_terminal = sys.stdout.isatty()
    return Console(width=None if is_terminal else _PLAIN_WIDTH, highlight=False, soft_wrap=True)


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Give a function that shows the share that is done, 0 to 1."""
    screen = console()
    if screen.is_terminal:
        with _bar(screen, title) as show:
            yield show
    else:
        yield _Lines(screen, title)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table."""
    drawn = Table(*columns, box=None if not console().is_terminal else Table().box)
    for row in rows:
        drawn.add_row(*row)
    console().print(drawn)


@contextmanager
def _bar(screen: Console, title: str) -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task(title, total=1.0, note="")

        def show(share: float, *, note: str) -> None:
            bar.update(task, completed=share, note=note)

        yield show


class _Lines:
    """A line for each quarter of the work."""

    def __init__(self, screen: Console, title: str) -> None:
        self._screen = screen
        self._title = title
        self._shown = -1

    def __call__(self, share: float, *, note: str) -> None:
        step = int(share * _STEPS)
        if step > self._shown:
            self._shown = step
            self._screen.print(f"{self._title}: {share:.0%} {note}", markup=False)
