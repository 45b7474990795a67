"""Brings a CSV file into an audience from the command line, and says what became of every row."""

import os
from pathlib import Path

import click

from assembly import Sendonce
from audience import csv_import
from audience import store as audience_store
from audience.model import Import, ImportStatus, Rejected
from delivery import reads
from foundation.errors import Unavailable
from foundation.interpreter import spare_what_is_here
from ops import deeds
from ops.progress import progress
from ops.serve import stop_on_signals
from storage.aliveness import boot_id
from storage.database import Tx

_SHOWN = 20
_PAGE = 1000


def import_file(house: Sendonce, id_or_name: str, file: Path, *, dry_run: bool) -> None:
    """Import the file. A server may run on the data directory meanwhile.

    Raises a SendonceError when there is no such audience, or the file can't be read or not to its end; whatever came in
    before stays.
    """
    spare_what_is_here()
    if not file.is_file():
        raise Unavailable(f"There is no file {file}. Give the path of a CSV file.")
    if not os.access(file, os.R_OK):
        raise Unavailable(f"{file} can't be read. Give this user the right to read it.")
    # What is wrong with the file as a whole is said before anything is written.
    csv_import.read_rows(file, None).close()
    with house.database.write(durable=True) as tx:
        audience = audience_store.find_by_name(tx, id_or_name)
        begun = csv_import.start_import(
            tx,
            audience.id,
            dry_run=dry_run,
            boot_id=boot_id(),
            pid=os.getpid(),
            now=house.clock.now(),
        )
        if not dry_run:
            said = {"label": audience.name, "after": {"import": begun.id}}
            deeds.note(house, tx, "import", f"audience:{audience.id}", **said)
    ended = _import(house, begun, file)
    _report(house, ended, audience.name, file)
    if ended.status is ImportStatus.FAILED:
        raise Unavailable(ended.detail or "The import failed.")


def _import(house: Sendonce, begun: Import, file: Path) -> Import:
    waits = _Waits(begun.audience_id)
    with stop_on_signals() as stopping, progress("Importing") as show:
        return csv_import.run_import(
            house.database,
            begun.id,
            file,
            None,
            house.clock,
            stopping=stopping,
            must_wait=waits,
            is_sending=reads.is_sending,
            on_progress=lambda found: show(found.progress, note=_counts(found)),
        )


class _Waits:
    """Whether the audience is just being turned into a run's deliveries; says so once."""

    def __init__(self, audience_id: int) -> None:
        self._audience_id = audience_id
        self._said = False

    def __call__(self, tx: Tx) -> bool:
        run_id = reads.being_materialised(tx, self._audience_id)
        if run_id is not None and not self._said:
            self._said = True
            click.echo(
                f"Run {run_id} is just taking its recipients from this audience; the import waits."
                " That needs a server that runs.",
                err=True,
            )
        return run_id is not None


def _counts(found: Import) -> str:
    return f"{found.added:,} added, {found.updated:,} updated, {found.rejected:,} rejected"


def _report(house: Sendonce, ended: Import, name: str, file: Path) -> None:
    would = "would be " if ended.dry_run else ""
    click.echo(
        f'"{name}": {ended.added:,} {would}added, {ended.updated:,} {would}updated,'
        f" {ended.rejected:,} {would}rejected."
    )
    if ended.status is ImportStatus.COMPLETED and ended.detail:
        click.echo(ended.detail)
    if ended.rejected:
        rejected = _rejected(house, ended)
        for row in rejected[:_SHOWN]:
            click.echo(f"  line {row.row}: {row.email or '(no address)'}: {row.reason}")
        if len(rejected) > _SHOWN:
            click.echo(f"  and {len(rejected) - _SHOWN:,} more")
        click.echo(f"All rejected rows are in {_write(file, rejected)}")


def _rejected(house: Sendonce, ended: Import) -> list[Rejected]:
    found: list[Rejected] = []
    after: int | None = None
    while True:
        with house.database.read() as tx:
            page = csv_import.rejections(tx, ended.id, after=after, limit=_PAGE)
        found += page
        if len(page) < _PAGE:
            return found
        after = page[-1].row


def _write(file: Path, rejected: list[Rejected]) -> Path:
    """Write the rows beside the file, over nothing that is there."""
    number = 1
    while True:
        suffix = ".rejected.csv" if number == 1 else f".rejected-{number}.csv"
        target = file.with_name(file.name.removesuffix(".csv") + suffix)
        try:
            with target.open("x", encoding="utf-8", newline="") as out:
                out.writelines(csv_import.rejected_csv(rejected))
        except FileExistsError:
            number += 1
        except OSError as error:
            raise Unavailable(
                f"{target} can't be written ({error.strerror}); the import itself is done."
            ) from None
        else:
            return target
