"""Makes the product: opens the data directory, brings the database up to date, and plugs the rooms together."""

import functools
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from accounts import store as account_store
from accounts.endpoint import endpoint_of
from accounts.model import Account
from assembly.background import Background
from assembly.last_words import LastWords
from assembly.leader import Leader
from assembly.resealing import reseal
from audience import csv_import
from delivery.dispatcher import Dispatcher
from delivery.outcome import Patience
from foundation.clock import Clock, SystemClock
from foundation.errors import Unavailable
from foundation.settings import Settings
from mail import opening
from mail.opening import Endpoint
from mail.reply import Broken, Reply
from mail.sandbox import SandboxServer
from mail.transport import Transport
from scheduler.deeds import note_changes
from scheduler.edits import apply_edit
from scheduler.json_store import JsonStore
from scheduler.parts import SchedulerParts
from scheduler.steady_clock import Beat, SteadyClock
from scheduler.thread import SchedulerThread, scheduler_thread
from storage import aliveness, installation
from storage.database import Database, Tx
from storage.disk import Disk, OsDisk
from storage.filesystem import make_private, prepare_folder
from storage.migrate import migrate
from storage.replacement import refuse_unfinished
from storage.sealed import SecretKey, load_secret_key
from storage.witness import Witness

DEFAULT_PUBLIC_URL = "http://127.0.0.1:8025"
_START_WAIT_SECONDS = 60


async def _connect(endpoint: Endpoint) -> Transport | Reply | Broken:
    return await opening.connect(endpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Where the product touches the world: time, disk, network, its own end. The simulation has edges of its own."""

    clock: Clock = field(default_factory=SystemClock)
    disk: Disk = field(default_factory=OsDisk)
    connect: Callable[[Endpoint], Awaitable[Transport | Reply | Broken]] = _connect
    end_process: Callable[[int], None] = os._exit


@dataclass(frozen=True, kw_only=True)
class Sendonce:
    """All parts of one process on one data directory."""

    settings: Settings
    clock: SteadyClock
    disk: Disk
    database: Database
    key: SecretKey
    store: JsonStore
    scheduler: SchedulerParts
    leader: Leader
    dispatcher: Dispatcher
    sandbox: SandboxServer
    outbox: Path
    public_url: str
    background: Background
    connect: Callable[[Account], Awaitable[Transport | Reply | Broken]]
    thread: SchedulerThread = field(default_factory=lambda: scheduler_thread)

    def start(self) -> None:
        """Start the sandbox mail server and the scheduler's thread, which leads if nobody else does."""
        with self.database.write(durable=True) as tx:
            csv_import.fail_orphans(tx, boot_id=aliveness.boot_id(), alive=_is_another_s)
        self.sandbox.start()
        self.thread.start(self.scheduler, self.leader)

    def stop(self) -> None:
        """Stop sending as a clean stop does, then everything else. 10 seconds at most."""
        self.thread.stop()
        self.sandbox.stop()
        self.database.close()


def assemble(settings: Settings, edges: Edges | None = None) -> Sendonce:
    """Make the product over the data directory; nothing runs before start().

    Raises Unavailable, with a sentence, when the directory can't be used.
    """
    edges = edges or Edges()
    folder = settings.data_dir
    prepare_folder(folder)
    last_words = LastWords(edges.end_process)
    database = Database(folder / "sendonce.db", on_io_error=last_words.say)
    key = _open(folder, database, settings, edges)
    with database.read() as tx:
        clock = SteadyClock(edges.clock, _last_beat(tx))
        name = installation.read(tx).name
    witness = last_words.witness = Witness(
        folder, disk=edges.disk, state_dir=settings.state_dir, name=name
    )
    store = JsonStore(
        folder,
        disk=edges.disk,
        database=database,
        clock=clock,
        on_edit=apply_edit,
        note=functools.partial(note_changes, key=key),
    )
    outbox = folder / "outbox"
    sandbox = SandboxServer(outbox, clock)
    connect = functools.partial(_connect_account, edges, sandbox)
    public_url = settings.public_url or DEFAULT_PUBLIC_URL
    dispatcher = Dispatcher(
        database=database,
        clock=clock,
        key=key,
        public_url=public_url,
        connect=connect,
        patience=Patience(retry_delay=settings.retry_delay, give_up_after=settings.give_up_after),
        testify=functools.partial(witness.write, boot_id=aliveness.boot_id()),
    )
    leader = Leader(
        database=database,
        clock=clock,
        store=store,
        dispatcher=dispatcher,
        witness=witness,
        retry_delay=settings.retry_delay,
        window=settings.catch_up_window,
    )
    scheduler = SchedulerParts(
        database=database,
        key=key,
        store=store,
        clock=clock,
        check_interval=settings.scheduler_check_interval,
        buffer=settings.execution_buffer,
        catch_up_window=settings.catch_up_window,
        wake=dispatcher.wake,
        epoch=lambda: leader.epoch,
    )
    return Sendonce(
        settings=settings,
        clock=clock,
        disk=edges.disk,
        database=database,
        key=key,
        store=store,
        scheduler=scheduler,
        leader=leader,
        dispatcher=dispatcher,
        sandbox=sandbox,
        outbox=outbox,
        public_url=public_url,
        background=Background(),
        connect=connect,
    )


def _open(folder: Path, database: Database, settings: Settings, edges: Edges) -> SecretKey:
    """Bring the database up to date and read the key, one process at a time."""
    lock = FileLock(
        folder / "start.lock", mode=0o600, timeout=_START_WAIT_SECONDS, fallback_to_soft=False
    )
    try:
        with lock:
            refuse_unfinished(folder)
            make_private(database.path)
            migrate(database)
            key = load_secret_key(
                edges.disk,
                folder / "secret_key",
                settings.secret_key,
                old=settings.secret_key_old,
            )
            with database.write(durable=True) as tx:
                installation.ensure(tx, edges.clock.now())
                account_store.ensure_sandbox(tx, edges.clock.now())
                reseal(tx, key)
    except Timeout:
        raise Unavailable(
            f"Another process is starting on {folder} and does not get on. Look at it, then start again."
        ) from None
    except OSError as error:
        raise Unavailable(f"The data directory {folder} can't be used ({error}).") from None
    return key


def _last_beat(tx: Tx) -> Beat | None:
    """Return the last moment that the ledger knows; the counting clock begins anew with each boot."""
    last = aliveness.newest_leader(tx)
    if last is None:
        return None
    is_this_boot = last.boot_id is not None and last.boot_id == aliveness.boot_id()
    return Beat(now=last.heartbeat_at, elapsed=last.heartbeat_elapsed if is_this_boot else None)


def _is_another_s(pid: int) -> bool:
    # This process has begun none yet: its number was another one's before, as in a container.
    return pid != os.getpid() and aliveness.process_lives(pid)


async def _connect_account(
    edges: Edges, sandbox: SandboxServer, account: Account
) -> Transport | Reply | Broken:
    return await edges.connect(endpoint_of(account, sandbox_port=sandbox.start()))
