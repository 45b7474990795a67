"""The main job, for real, with nothing configured: a campaign, a schedule, invented people, the sandbox mail server.

Everything it makes is in a temporary folder, its state folder too, and no setting of the user's reaches it.
"""

import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import click

from accounts import store as account_store
from assembly import Sendonce, assemble
from delivery import reads
from delivery.model import Counts, Run
from foundation.settings import Settings
from ops import first_start
from ops.first_start import url_of
from ops.progress import progress
from ops.reconciliation import Reconciliation, received_in, reconcile
from ops.serve import (
    Build,
    listen_nearby,
    running,
    stop_on_signals,
    wait_for,
)
from ops.trial import LOOK_EVERY, PATIENCE, Plan, environment, prepare, settled, why_not_done

HOST = "127.0.0.1"
_NOBODY = Counts(recipients=0, queued=0, sending=0, sent=0, failed=0, skipped=0, in_doubt=0)


def demo(recipients: int, *, port: int, leave: bool, build: Build) -> int:
    """Run the demo and return its exit status: 0 only if everything adds up.

    leave: end once that is known; else go on serving until SIGTERM or SIGINT.
    """
    with (
        tempfile.TemporaryDirectory(prefix="sendonce-demo-") as folder,
        stop_on_signals() as stopping,
    ):
        listening = listen_nearby(HOST, port)
        url = url_of(listening)
        house = assemble(replace(Settings.load(environment(Path(folder))), public_url=url))
        with running(house, build, listening) as server:
            _say_what_comes(recipients, Path(folder))
            adds_up = _send(house, recipients, stopping)
            if not leave and not stopping.is_set():
                _show_around(house, url)
                wait_for(stopping, server)
    return 0 if adds_up else 1


def _say_what_comes(recipients: int, folder: Path) -> None:
    click.echo(
        f"A campaign to {recipients:,} invented recipients, through the built-in mail server."
    )
    click.echo(
        "Nothing leaves this machine. Its schedule is due at once: the undo window, 30 seconds"
    )
    click.echo("as a rule, is 0 here.")
    click.echo(f"Everything is kept in {folder}, which is removed at the end.\n")


def _send(house: Sendonce, recipients: int, stopping: threading.Event) -> bool:
    with house.database.read() as tx:
        account = account_store.sandbox(tx, house.key)
    plan = prepare(house, recipients, account_id=account.id)
    run = _watch(house, plan, stopping)
    schedule = settled(house, plan, stopping)
    if stopping.is_set():
        _say_how_far(run, recipients)
        return False
    found = reconcile(plan.addresses, run.counts if run else _NOBODY, received_in(house.outbox))
    _print(found, run)
    undone = why_not_done(schedule)
    if undone is not None:
        click.echo(undone)
    return found.adds_up and undone is None


def _say_how_far(run: Run | None, recipients: int) -> None:
    sent = run.counts.sent if run else 0
    click.echo(f"\nStopped before the end: {sent:,} of {recipients:,} sent so far.")


def _watch(house: Sendonce, plan: Plan, stopping: threading.Event) -> Run | None:
    """Show the run's progress until it ends, somebody says stop, or nothing happens any more."""
    run: Run | None = None
    last, moved = _NOBODY, house.clock.elapsed()
    with progress("Sending") as show:
        while not (run and run.finished_at) and not stopping.is_set():
            with house.database.read() as tx:
                found = reads.list_runs(
                    tx, schedule_id=plan.schedule_id, status=None, before=None, limit=1
                )
            run = found[0] if found else None
            counts = run.counts if run else _NOBODY
            show(_share(counts, len(plan.addresses)), note=_note(counts))
            if counts != last:
                last, moved = counts, house.clock.elapsed()
            if house.clock.elapsed() - moved > PATIENCE:
                click.echo("Nothing happens any more.", err=True)
                break
            house.clock.wait(stopping, LOOK_EVERY)
    return run


def _share(counts: Counts, wanted: int) -> float:
    return (counts.recipients - counts.queued - counts.sending) / wanted if wanted else 1.0


def _note(counts: Counts) -> str:
    return f"{counts.sent:,} sent, {counts.failed:,} failed, {counts.in_doubt:,} in doubt"


def _print(found: Reconciliation, run: Run | None) -> None:
    counts = found.counts
    rows = (
        ("recipients", counts.recipients),
        ("= sent", counts.sent),
        ("+ failed", counts.failed),
        ("+ skipped", counts.skipped),
        ("+ in doubt", counts.in_doubt),
        ("duplicates", found.duplicates),
        ("missing", found.missing),
    )
    click.echo("\nReconciliation")
    for what, number in rows:
        click.echo(f"  {what:<12}{number:>10,}")
    click.echo(f"\nThe mail server's outbox holds {found.received:,} messages.")
    if found.adds_up and run and run.started_at and run.finished_at:
        seconds = (run.finished_at - run.started_at).total_seconds()
        click.echo(f"It adds up: each of them got exactly one, in {seconds:.1f} seconds.")
    else:
        click.echo("It does not add up.")


def _show_around(house: Sendonce, url: str) -> None:
    click.echo(
        "\nIt goes on serving until Ctrl-C. This link lets one browser in, once, to look around:"
    )
    click.echo(first_start.link(house, url))
    click.echo(f"The messages themselves are in {house.outbox / 'new'}")
