"""The promise, tried on the user's own machine: a server that is killed again and again while it sends, and the proof.

The mail server runs in this process, so what it has outlives every kill; the server that is killed is a process of its
own. Everything is in a temporary folder, and no setting of the user's reaches it.
"""

import functools
import random
import tempfile
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import click

from accounts import store as account_store
from accounts.model import AccountFields
from assembly import assemble
from delivery import reads
from delivery.certificate import certify
from delivery.model import DeliveryStatus, Run
from foundation.errors import Unavailable
from foundation.settings import Settings
from mail.sandbox import HOST, SandboxServer
from ops.chaos_server import VictimServer
from ops.chaos_verdict import Doubt, Kill, Verdict, judge
from ops.progress import Show, progress
from ops.proof import print_proof
from ops.reconciliation import received_in
from ops.serve import stop_on_signals
from ops.trial import PATIENCE, Plan, environment, prepare, settled, why_not_done
from storage import aliveness

T = TypeVar("T")

CONNECTIONS = 4
_LOOK_EVERY = timedelta(seconds=0.02)
_SENDING_TAKES = timedelta(seconds=6)
"""About so long the mail server makes the sending last, so that there is something to be killed in the middle of."""

_LONGEST_PAUSE = timedelta(seconds=0.1)
_LAST_KILL = 0.95
"""Which share of the people may have it at most when the server is killed last: later there is little to hit."""

_PAGE = 1000
_SHOWN_DOUBTS = 20


class _Stopped(Exception):
    """Somebody has said stop."""


def chaos(recipients: int, *, kills: int, seed: int | None, serve: Sequence[str]) -> int:
    """Send to so many invented people while the server is killed so often; return 0 only if the promise has held.

    serve: the command that starts a server. seed: for the moments of the kills; None takes a new one. Raises
    Unavailable where the trial itself can't go on.
    """
    seed = random.randrange(1_000_000) if seed is None else seed  # noqa: S311 - dice
    try:
        with (
            tempfile.TemporaryDirectory(prefix="sendonce-chaos-") as folder,
            stop_on_signals() as stopping,
        ):
            return _Trial(Path(folder), recipients, kills, seed, stopping).run(serve)
    except OSError as error:
        raise Unavailable(
            f"The trial can't go on in {tempfile.gettempdir()} ({error.strerror or error}). Free some room there, or"
            " set TMPDIR to another folder."
        ) from error


class _Trial:
    """One trial, in its folder."""

    def __init__(
        self, folder: Path, recipients: int, kills: int, seed: int, stopping: threading.Event
    ) -> None:
        self._folder = folder
        self._recipients = recipients
        self._wanted_kills = kills
        self._seed = seed
        self._stopping = stopping
        self._dice = random.Random(seed)  # noqa: S311
        self._outbox = folder / "mail"
        self._kills: list[Kill] = []

    def run(self, serve: Sequence[str]) -> int:
        settings = environment(self._folder)
        self._house = assemble(Settings.load(settings))
        self._server = VictimServer(serve, settings, log=self._folder / "server.log")
        mail = SandboxServer(self._outbox, self._house.clock, pause=self._pauses())
        self._say_what_comes()
        try:
            plan = self._prepare(mail.start())
            run = self._send(plan)
            undone = why_not_done(settled(self._house, plan, self._stopping))
            self._server.stop()
            return self._conclude(plan, run, undone)
        except _Stopped:
            arrived = self._arrived()
            click.echo(f"\nStopped before the end: {arrived:,} of {self._recipients:,} had it.")
            return 1
        finally:
            self._server.kill()
            mail.stop()
            self._house.database.close()

    def _say_what_comes(self) -> None:
        click.echo(
            f"A campaign to {self._recipients:,} invented people. The server that sends it is killed without warning"
        )
        click.echo(
            f"{self._wanted_kills} times meanwhile (kill -9), and started again. Nothing leaves this machine: the mail"
            " server is a part"
        )
        click.echo(
            f"of this program, and counts. The moments are dice: --seed {self._seed} throws the same.\n"
        )

    def _pauses(self) -> Callable[[], timedelta]:
        """Return what says how long the mail server takes: dice of their own, for they roll in its thread."""
        dice = random.Random(self._seed)  # noqa: S311
        # Two pauses for each message, on all connections at once.
        mean = min(_LONGEST_PAUSE, CONNECTIONS * _SENDING_TAKES / (2 * self._recipients))
        return lambda: 2 * mean * dice.random()

    def _prepare(self, port: int) -> Plan:
        fields = AccountFields(
            name="The mail server of this trial",
            host=HOST,
            port=port,
            from_email="letter@sendonce.test",
            max_connections=CONNECTIONS,
        )
        house = self._house
        with house.database.write(durable=True) as tx:
            account = account_store.create(tx, fields, key=house.key, now=house.clock.now())
        return prepare(house, self._recipients, account_id=account.id)

    def _send(self, plan: Plan) -> Run:
        """Let it be sent, with all the kills; return the run when it has ended."""
        self._server.start()
        with progress("Sending") as show:
            for moment in self._moments():
                self._until(functools.partial(self._is_so_far, plan, moment), show)
                if self._ended(plan) is not None:
                    break
                self._kill(plan, show)
            return self._until(lambda: self._ended(plan), show)

    def _moments(self) -> list[int]:
        """Return how many people have it at each kill: one moment in each part of the sending."""
        part = _LAST_KILL * self._recipients / max(1, self._wanted_kills)
        return [int((i + self._dice.random()) * part) for i in range(self._wanted_kills)]

    def _is_so_far(self, plan: Plan, moment: int) -> bool:
        return self._ended(plan) is not None or self._arrived() > moment

    def _kill(self, plan: Plan, show: Show) -> None:
        """Kill the server, start another, and note whom the first has left in doubt."""
        before, epoch = self._in_doubt(plan), self._epoch()
        self._house.clock.wait(self._stopping, 2 * _LOOK_EVERY * self._dice.random())
        self._server.kill()
        arrived, killed = self._arrived(), self._house.clock.elapsed()
        self._server.start()
        self._until(lambda: self._epoch() > epoch, show)
        seconds = (self._house.clock.elapsed() - killed).total_seconds()
        doubts = frozenset(self._in_doubt(plan) - before)
        self._kills.append(Kill(after=arrived, in_doubt=doubts))
        click.echo(
            f"Killed at {arrived:,} of {self._recipients:,}, started again in {seconds:.1f} s: {len(doubts)} in doubt."
        )

    def _until(self, fact: Callable[[], T | None], show: Show) -> T:
        """Wait for a fact, and show how far it is. Raises _Stopped, and Unavailable where nothing happens any more."""
        clock = self._house.clock
        last, moved = self._arrived(), clock.elapsed()
        while not (found := fact()):
            self._server.look()
            arrived = self._arrived()
            show(
                min(1.0, arrived / self._recipients),
                note=f"{arrived:,} have it, killed {len(self._kills)} of {self._wanted_kills} times",
            )
            if arrived != last:
                last, moved = arrived, clock.elapsed()
            if clock.elapsed() - moved > PATIENCE:
                raise Unavailable(
                    f"Nothing has happened for {PATIENCE.total_seconds():.0f} seconds. The last that the server said:"
                    f" {self._server.last_words()}"
                )
            if clock.wait(self._stopping, _LOOK_EVERY):
                raise _Stopped
        return found

    def _arrived(self) -> int:
        """Return how many messages the mail server has."""
        return sum(1 for _ in (self._outbox / "new").iterdir())

    def _epoch(self) -> int:
        with self._house.database.read() as tx:
            return aliveness.current_epoch(tx)

    def _run(self, plan: Plan) -> Run | None:
        with self._house.database.read() as tx:
            found = reads.list_runs(
                tx, schedule_id=plan.schedule_id, status=None, before=None, limit=1
            )
        return found[0] if found else None

    def _ended(self, plan: Plan) -> Run | None:
        run = self._run(plan)
        return run if run is not None and run.finished_at is not None else None

    def _in_doubt(self, plan: Plan) -> set[str]:
        run = self._run(plan)
        listed = {} if run is None else self._ledger(run.id, status=DeliveryStatus.IN_DOUBT)
        return set(listed)

    def _ledger(
        self, run_id: int, *, status: DeliveryStatus | None = None
    ) -> dict[str, DeliveryStatus]:
        """Return what the ledger says of everybody, or of those in this state."""
        found: dict[str, DeliveryStatus] = {}
        after: int | None = None
        with self._house.database.read() as tx:
            while page := reads.list_deliveries(
                tx, run_id, status=status, q=None, after=after, limit=_PAGE
            ):
                found |= {delivery.email: delivery.status for delivery in page}
                after = page[-1].id
        return found

    def _conclude(self, plan: Plan, run: Run, undone: str | None) -> int:
        verdict = judge(
            plan.addresses,
            ledger=self._ledger(run.id),
            received=received_in(self._outbox),
            kills=self._kills,
            connections=CONNECTIONS,
        )
        with self._house.database.read() as tx:
            certificate = certify(tx, run.id, self._house.clock.now())
        click.echo("")
        print_proof(certificate)
        click.echo("")
        _print(verdict, self._kills)
        faults = [*verdict.faults, *([undone] if undone else [])]
        if not certificate.holds:
            faults.append("The certificate above does not hold.")
        for fault in faults:
            click.echo(f"BROKEN: {fault}")
        if faults:
            click.echo(f"The promise has NOT held. Please report it, with --seed {self._seed}.")
            return 1
        click.echo(
            "The promise has held: nobody got two, nobody was lost, and every doubt is listed."
        )
        return 0


def _print(verdict: Verdict, kills: Sequence[Kill]) -> None:
    """Say what came of it, in words that need no explanation."""
    click.echo("What the mail server has, held against the ledger, person by person")
    rows = (
        ("people", verdict.people),
        ("messages that arrived", verdict.received),
        ("people who got two", len(verdict.twice)),
        ("people who were lost", len(verdict.lost)),
        ("sent, by the ledger", verdict.sent),
        ("in doubt, by the ledger", len(verdict.in_doubt)),
    )
    for what, number in rows:
        click.echo(f"  {what:<26}{number:>8,}")
    most = max((len(kill.in_doubt) for kill in kills), default=0)
    after = ", ".join(f"{kill.after:,}" for kill in kills)
    click.echo(
        f"\nThe server was killed {len(kills)} times, when the mail server had {after} messages. A kill may leave one"
        f" person in doubt\nfor each of its {CONNECTIONS} connections; the worst of these left {most}."
    )
    if verdict.in_doubt:
        click.echo(
            "\nIn doubt: the server was killed between giving the mail away and reading the answer."
        )
        click.echo("With a real mail server nobody could tell who has it; this one can:")
        for doubt in verdict.in_doubt[:_SHOWN_DOUBTS]:
            click.echo(f"  {_line(doubt)}")
        if len(verdict.in_doubt) > _SHOWN_DOUBTS:
            click.echo(f"  and {len(verdict.in_doubt) - _SHOWN_DOUBTS:,} more")
        click.echo("Nobody of them was sent it again: that is for a person to decide.")
    click.echo("")


def _line(doubt: Doubt) -> str:
    has = "has it" if doubt.has_it else "does not have it"
    since = "" if doubt.kill is None else f"since the kill at {doubt.kill.after:,}"
    return f"{doubt.email:<34} {has:<18}{since}"
