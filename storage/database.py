"""The database: reads, and writes of two strengths. All that only SQLite can do is in this file.

WAL on a local disk; every write begins as a writer (BEGIN IMMEDIATE: a deferred one fails at once when it finds that
somebody else wrote meanwhile, whatever the busy timeout). A durable write is on the platter when it returns. A
relaxed one has reached the kernel: it survives the death of the process, not of the machine, and the next durable one
carries it along.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import QueuePool

from foundation.errors import Unavailable

Tx = Connection
StoreFault = OperationalError
"""The database can't be read or written just now; read() and write() turn it into Unavailable."""
Refused = IntegrityError
"""The database said no: a unique key, a foreign key or a check stands against the statement."""

CHECKPOINT_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
"""Before that version a checkpoint that meets a commit can lose data; the leader alone checkpoints."""

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_BUSY = timedelta(seconds=15)
_CHECKPOINT_BUSY_MILLISECONDS = 50


class Database:
    """One SQLite file. Safe to use from any number of threads and processes.

    busy is how long a write waits for another process's write.
    """

    def __init__(self, path: Path, *, busy: timedelta = _BUSY) -> None:
        self.path = path
        busy_milliseconds = busy // timedelta(milliseconds=1)
        # Writers of one process queue here, in order, instead of polling for SQLite's lock.
        self._writers = threading.Lock()
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: _connect(path, busy_milliseconds),
            poolclass=QueuePool,
            # Errors are logged; a statement's values are addresses and passwords.
            hide_parameters=True,
            pool_size=8,
            max_overflow=56,
            pool_timeout=30,
            # The pool's own rollback would be one statement more for each use; we end what we begin.
            pool_reset_on_return=None,
        )
        event.listen(self._engine, "begin", _begin)
        # No connection crosses a fork: the child forgets the parent's without closing them, since
        # closing any descriptor of the file drops the locks that the process holds on it.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget_connections)

    @contextlib.contextmanager
    def read(self) -> Iterator[Tx]:
        """Give a consistent view of the database.

        Raises Unavailable when it can't be read.
        """
        with _sentences("read"), self._engine.connect() as tx:
            tx = tx.execution_options(sendonce_begin="BEGIN")
            with tx.begin():
                yield tx

    @contextlib.contextmanager
    def write(self, *, durable: bool) -> Iterator[Tx]:
        """Run a transaction that may write; it is committed when the block ends without an error.

        A durable one is fsynced when the block has been left. Raises Refused when a constraint stands against it,
        Unavailable when the database can't be written; nothing of it has happened then.
        """
        with _sentences("written"), self._writers, self._engine.connect() as tx:
            tx = tx.execution_options(
                sendonce_begin="BEGIN IMMEDIATE",
                sendonce_synchronous="FULL" if durable else "NORMAL",
            )
            with tx.begin():
                yield tx

    def checkpoint(self) -> None:
        """Move the log's pages into the database and empty the log, unless somebody is in the way.

        Only the leader calls this: before SQLite 3.51.3 two checkpoints that meet a commit can lose data.
        """
        connection = _connect(self.path, _CHECKPOINT_BUSY_MILLISECONDS)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            with contextlib.suppress(sqlite3.OperationalError):  # busy: the next time will do
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.close()

    def faults(self) -> list[str]:
        """Return what is wrong with the file's structure, nothing when it is sound. Reads all of it.

        Raises Unavailable when it can't be read.
        """
        with self.read() as tx:
            found = [str(line) for line in tx.exec_driver_sql("PRAGMA quick_check(20)").scalars()]
        return [] if found == ["ok"] else found

    def log_size_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        """Close all connections that are not in use."""
        self._engine.dispose()

    def _forget_connections(self) -> None:
        self._writers = threading.Lock()
        self._engine.dispose(close=False)


def insert_into(tx: Tx, table: Table) -> sqlite.Insert:
    """Return an INSERT that can say on_conflict_do_nothing and on_conflict_do_update, in this database's dialect."""
    return sqlite.insert(table)


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
    synchronous = options.get("sendonce_synchronous")
    if synchronous:  # has no effect inside a transaction, so it goes before BEGIN
        tx.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
    tx.exec_driver_sql(options.get("sendonce_begin", "BEGIN"))


@contextlib.contextmanager
def _sentences(what: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", None) in _DAMAGED:
            raise Unavailable(
                f"The database is damaged or no database at all ({error.orig}). Stop every process that uses the data"
                " directory and put back a backup."
            ) from error
        if isinstance(error.orig, sqlite3.OperationalError):
            raise Unavailable(
                f"The database can't be {what} just now ({error.orig}). Check free disk space and"
                " permissions of the data directory, then try again."
            ) from error
        raise
