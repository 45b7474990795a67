"""The database: reads, and writes of two strengths. All that only SQLite can do is in this file.

WAL on a local disk; every write begins as a writer (BEGIN IMMEDIATE: a deferred one fails at once when it finds that
somebody else wrote meanwhile, whatever the busy timeout). A durable write is on the platter when it returns. A
relaxed one has reached the kernel: it survives the death of the process, not of the machine, and the next durable one
carries it along.

What can go wrong with the store, and what it means:

| fault | raises | then |
| --- | --- | --- |
| another program writes for too long | Busy | try again |
| full, read-only, gone, damaged | Unavailable | nothing of it has happened; try again when the store is well |
| a read, a write or an fsync failed | calls on_io_error first | the process ends: what was promised may be lost |
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, ExceptionContext, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from foundation.errors import Unavailable

Tx = Connection
StoreFault = OperationalError
"""The database can't be read or written just now, or is damaged; read() and write() turn it into Unavailable."""
Refused = IntegrityError
"""The database said no: a unique key, a foreign key or a check stands against the statement."""

CHECKPOINT_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
"""Before that version a checkpoint that meets a commit can lose data; the leader alone checkpoints."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
# What the disk did not do, as extended codes. Not among them, since no page is lost by them: a lock or shared memory
# that can't be had (a full disk makes IOERR_SHMSIZE of that), no memory, a file that can't be closed or deleted. A full
# disk while writing is SQLITE_FULL; a quota, or a file that may not grow, is IOERR_WRITE, as a bad disk is.
_LOSES_PAGES = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_WRITE,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_FSTAT,
        sqlite3.SQLITE_IOERR_SEEK,
        sqlite3.SQLITE_IOERR_DATA,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    }
)
_BUSY = timedelta(seconds=15)
_BUSY_IN_A_HURRY = timedelta(seconds=0.2)
_LOOK_UP_EVERY = timedelta(seconds=0.1)
_CHECKPOINT_BUSY_MILLISECONDS = 50
_PAGES_AT_ONCE = 1024
# The bytes that SQLite itself locks, as its file format says: whoever has the file open in WAL mode has a shared lock
# on all of them, idle or not.
_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510


class Busy(Unavailable):
    """Somebody else has been writing for longer than we wait; nothing is wrong with the store."""


def _go_on(sentence: str) -> None:
    """Leave it at the Unavailable that is raised: for a process that sends nothing."""


class Database:
    """One SQLite file. Safe to use from any number of threads and processes.

    busy is how long a write waits for other writes. on_io_error is called, with a sentence, as soon as the disk has not
    done what it was told to: pages that were written may be lost then, and a second fsync may call them safe. Who sends
    ends the process there, so that the next start believes nothing of this one; if it returns, Unavailable is raised.
    writes counts the transactions that this object has committed: while it stands still, its process changed nothing.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy: timedelta = _BUSY,
        on_io_error: Callable[[str], None] = _go_on,
    ) -> None:
        self.path = path
        self.busy = busy
        self._on_io_error = on_io_error
        self.writes = 0
        self._hurries: list[object] = []  # a list, since its changes are never half done
        # Writers of one process queue here instead of polling for SQLite's lock.
        self._writers = threading.Lock()
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: _connect(path, _milliseconds(busy)),
            poolclass=QueuePool,
            # The one used last has its pages at hand; what another has read is void as soon as somebody writes.
            pool_use_lifo=True,
            # Errors are logged; a statement's values are addresses and passwords.
            hide_parameters=True,
            pool_size=8,
            max_overflow=56,
            pool_timeout=30,
            # The pool's own rollback would be one statement more for each use; we end what we begin.
            pool_reset_on_return=None,
        )
        event.listen(self._engine, "begin", _begin)
        event.listen(self._engine, "handle_error", _as_store_fault)
        # No connection crosses a fork: the child forgets the parent's without closing them, since
        # closing any descriptor of the file drops the locks that the process holds on it.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_connections)

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Give a consistent view of the database.

        Raises Unavailable when it can't be read.
        """
        with self._sentences("read"), self._engine.connect() as tx:
            tx = tx.execution_options(sendonce_begin="BEGIN", sendonce_busy=self.busy)
            with _whole(tx):
                yield tx

    @contextlib.contextmanager
    def write(self, *, durable: bool, wait: timedelta | None = None) -> Iterator[Tx]:
        """Run a transaction that may write; it is committed when the block ends without an error.

        A durable one is fsynced when the block has been left. wait: how long at most to wait for other writes, where
        that is less than the database's own busy. Raises Refused when a constraint stands against it, Busy when others
        write all the time, Unavailable when the database can't be written; nothing of it has happened then.
        """
        patience = _Patience(self.busy if wait is None else min(wait, self.busy), self)
        with self._sentences("written"), self._turn(patience), self._engine.connect() as tx:
            tx = tx.execution_options(
                sendonce_begin="BEGIN IMMEDIATE",
                sendonce_synchronous="FULL" if durable else "NORMAL",
                sendonce_patience=patience,
            )
            with _whole(tx):
                yield tx
            self.writes += 1  # one at a time: the turn is still ours

    @contextlib.contextmanager
    def hurried(self) -> Iterator[None]:
        """Let nobody wait for other writes in this block, for longer than a moment: a stop must not hang on them."""
        self._hurries.append(object())
        try:
            yield
        finally:
            self._hurries.pop()

    @property
    def is_hurried(self) -> bool:
        """Whether the process is about to stop; under gunicorn and Flask's reloader the main thread is just gone."""
        return bool(self._hurries) or not threading.main_thread().is_alive()

    def checkpoint(self) -> None:
        """Move the log's pages into the database and empty the log, unless somebody is in the way.

        Only the leader calls this: before SQLite 3.51.3 two checkpoints that meet a commit can lose data.
        """
        try:
            with contextlib.closing(_connect(self.path, _CHECKPOINT_BUSY_MILLISECONDS)) as one:
                one.execute("PRAGMA synchronous=FULL")
                one.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.DatabaseError as error:
            # Busy, or no room: the log keeps everything, and the next time will do. A failed fsync is never repeated.
            self._look_for_lost_pages(error)

    def faults(self) -> list[str]:
        """Return what is wrong with the file's structure, nothing when it is sound. Reads all of it.

        Raises Unavailable when it can't be read.
        """
        with self.read() as tx:
            found = [str(line) for line in tx.exec_driver_sql("PRAGMA quick_check(20)").scalars()]
        return [] if found == ["ok"] else found

    def copy_to(self, path: Path, *, on_progress: Callable[[float], None]) -> None:
        """Copy the database, as it stands at one moment, into a file that is empty or not there; others go on writing.

        on_progress is called with the share that is done. Raises Unavailable when it can't be read, or the copy can't
        be written.
        """
        with self.read() as tx, contextlib.closing(sqlite3.connect(path)) as copy:
            # Keeps one view through all steps: else each write of somebody else makes the copy begin anew, for ever.
            tx.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar()
            driver: Any = tx.connection.driver_connection
            try:
                driver.backup(
                    copy,
                    pages=_PAGES_AT_ONCE,
                    progress=lambda status, left, total: on_progress(1 - left / max(total, 1)),
                )
            except sqlite3.Error as error:
                raise Unavailable(
                    f"The database can't be copied to {path.parent} ({error}). Check the free space there, and the"
                    " database by `doctor`."
                ) from error

    def log_size_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _turn(self, patience: "_Patience") -> Iterator[None]:
        """Be the one writer of this process in this block."""
        writers = self._writers
        while not writers.acquire(timeout=patience.next_wait.total_seconds()):
            if patience.is_over:
                raise _busy("written", "this process is writing something else")
        try:
            yield
        finally:
            writers.release()

    @contextlib.contextmanager
    def _sentences(self, what: str) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            code = _code(error.orig)
            if code & 0xFF == sqlite3.SQLITE_BUSY:
                raise _busy(what, error.orig) from error
            if code & 0xFF in _DAMAGED:
                raise Unavailable(
                    f"The database is damaged or no database at all ({error.orig}). Stop every process that uses the"
                    " data directory and put back a backup."
                ) from error
            self._look_for_lost_pages(error.orig)
            if isinstance(error.orig, sqlite3.OperationalError):
                raise Unavailable(
                    f"The database can't be {what} just now ({error.orig}). Check free disk space and"
                    " permissions of the data directory, then try again."
                ) from error
            raise

    def _look_for_lost_pages(self, error: BaseException | None) -> None:
        if _code(error) in _LOSES_PAGES:
            name = getattr(error, "sqlite_errorname", "SQLITE_IOERR")
            self._on_io_error(
                f"The disk has failed the database ({error}, {name}), so what was written last may be lost."
                " Check the disk and its file system, then start again."
            )

    def _forget_connections(self) -> None:
        self._writers = threading.Lock()
        self._engine.dispose(close=False)


class _Patience:
    """How long one write waits for the others: in short waits, so that a stop is seen in between."""

    def __init__(self, at_most: timedelta, database: Database) -> None:
        self._at_most = at_most
        self._database = database
        self._since = time.monotonic()

    @property
    def next_wait(self) -> timedelta:
        return max(timedelta(0), min(self._left, _LOOK_UP_EVERY))

    @property
    def is_over(self) -> bool:
        return self._left <= timedelta(0)

    @property
    def _left(self) -> timedelta:
        is_hurried = self._database.is_hurried
        at_most = min(self._at_most, _BUSY_IN_A_HURRY) if is_hurried else self._at_most
        return at_most - timedelta(seconds=time.monotonic() - self._since)


@contextlib.contextmanager
def sole_use(path: Path) -> Iterator[bool]:
    """Keep every other process out of the database file in this block; give False where one has it open already.

    For a process that has no connection to it, since the end of the block would drop that one's locks. The file may be
    damaged or missing: nothing of it is read. Raises OSError when it can't be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _is_locked(descriptor)
    finally:
        os.close(descriptor)


def run_directly(tx: Tx, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
    """Give a statement to the driver, past SQLAlchemy, whose way there takes ten times as long as the statement itself.

    Raises what SQLAlchemy would raise.
    """
    driver: Any = tx.connection.driver_connection
    try:
        cursor: sqlite3.Cursor = driver.execute(sql, values)
    except sqlite3.Error as error:
        _raise_damage(error)
        raise DBAPIError.instance(sql, None, error, sqlite3.Error, hide_parameters=True) from error
    return cursor


def insert_into(tx: Tx, table: Table) -> sqlite.Insert:
    """Return an INSERT that can say on_conflict_do_nothing and on_conflict_do_update, in this database's dialect."""
    return sqlite.insert(table)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
    except (BlockingIOError, PermissionError):  # POSIX allows either
        return False
    return True


def _connect(path: Path, busy_milliseconds: int) -> sqlite3.Connection:
    # isolation_level None: the driver begins nothing by itself, so a SELECT never starts a read
    # transaction that cannot become a write.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={busy_milliseconds}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA fullfsync=ON")
    connection.execute("PRAGMA cache_size=-16000")
    return connection


def _begin(tx: Connection) -> None:
    options: Any = tx.get_execution_options()
    patience: _Patience | None = options.get("sendonce_patience")
    if patience is None:
        _set_pragma(tx, "busy_timeout", _milliseconds(options.get("sendonce_busy", _BUSY)))
        run_directly(tx, options.get("sendonce_begin", "BEGIN"))
        return
    # Has no effect inside a transaction, so it goes before BEGIN.
    _set_pragma(tx, "synchronous", options["sendonce_synchronous"])
    while True:
        _set_pragma(tx, "busy_timeout", _milliseconds(patience.next_wait))
        try:
            # The only statement of a write that waits for others.
            run_directly(tx, options["sendonce_begin"])
        except OperationalError as error:
            if _code(error.orig) & 0xFF != sqlite3.SQLITE_BUSY or patience.is_over:
                raise
        else:
            return


@contextlib.contextmanager
def _whole(tx: Connection) -> Iterator[None]:
    """Run the block in a transaction that has an end whatever happens."""
    try:
        with tx.begin():
            yield
    except BaseException:
        driver: Any = None if tx.invalidated else tx.connection.driver_connection
        if driver is not None and driver.in_transaction:
            # A COMMIT that fails may leave it open, with its locks, and the pool would hand it to the next.
            tx.invalidate()
        raise


def _set_pragma(tx: Connection, name: str, value: str | int) -> None:
    """Set what the connection keeps until it is closed, where it is not so already."""
    if tx.info.get(name) != value:
        run_directly(tx, f"PRAGMA {name}={value}")
        tx.info[name] = value


def _as_store_fault(context: ExceptionContext) -> None:
    _raise_damage(context.original_exception)


def _raise_damage(error: BaseException) -> None:
    """Let damage be the store's fault as a full disk is: for the driver it is an error of another kind."""
    if _code(error) & 0xFF in _DAMAGED:
        raise StoreFault(None, None, error, hide_parameters=True) from error


def _code(error: BaseException | None) -> int:
    """Return SQLite's extended code of an error, 0 where it has none."""
    return getattr(error, "sqlite_errorcode", None) or 0


def _busy(what: str, why: object) -> Busy:
    return Busy(
        f"The database can't be {what} just now, somebody else is writing to it ({why}). Close other programs that"
        " have it open if this goes on, then try again."
    )


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
