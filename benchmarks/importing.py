"""A CSV file into an audience: our import beside the plainest one that a program could have, and its memory."""

import csv
import re
import resource
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from operator import itemgetter
from pathlib import Path

import orjson

from audience import csv_import
from audience import store as audience_store
from audience.model import ImportStatus
from benchmarks.figure import Better, Figure, memory
from benchmarks.process import in_a_process
from benchmarks.sizes import Sizes
from foundation.clock import SystemClock
from storage.database import Database
from tests.builders import a_database

_ADDRESS = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,63}"
)
_INSERT = (
    "INSERT INTO recipients (audience_id, email, address_key, name, attributes, created_at)"
    " VALUES (1, ?, ?, ?, ?, ?) ON CONFLICT (audience_id, address_key)"
    " DO UPDATE SET name = excluded.name, attributes = excluded.attributes"
)
_AT_ONCE = 20_000


def importing(sizes: Sizes) -> Iterator[Figure]:
    """Import a file of four columns, each way twice, by turns, in a process and a database of its own."""
    with tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as folder:
        path = Path(folder) / "people.csv"
        write_csv(path, sizes.csv_rows)
        took = [(_in(import_plainly, path), _in(import_as_we_do, path)) for _ in range(2)]
        plain = min((plain for plain, _ in took), key=itemgetter("seconds"))
        ours = min((ours for _, ours in took), key=itemgetter("seconds"))
    yield Figure(
        name="import",
        value=sizes.csv_rows / ours["seconds"],
        unit="rows/s",
        against="plain csv",
        beside=sizes.csv_rows / plain["seconds"],
        better=Better.MORE,
    )
    yield memory("import: peak", ours["peak_mib"])


def _in(import_: Callable[[str], dict[str, float]], path: Path) -> dict[str, float]:
    found: dict[str, float] = in_a_process(import_, str(path))
    return found


def write_csv(path: Path, rows: int) -> None:
    """Write a list as people have it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("email", "name", "town", "plan"))
        writer.writerows(
            (f"rider{n}@example{n % 500}.com", f"Jörg Nr. {n}", f"Town {n % 300}", "abc"[n % 3])
            for n in range(rows)
        )


def import_as_we_do(path: str) -> dict[str, float]:
    """Import as a page or the command does, in a thread that is not the main one; return seconds and peak_mib."""
    with tempfile.TemporaryDirectory() as folder:
        database = _with_an_audience(Path(folder))
        with database.write(durable=False) as tx:
            begun = csv_import.start_import(
                tx, 1, dry_run=False, boot_id=None, pid=1, now=SystemClock().now()
            )
        importer = threading.Thread(
            target=csv_import.run_import, args=(database, begun.id, Path(path), None, SystemClock())
        )
        started = time.perf_counter()
        importer.start()
        importer.join()
        seconds = time.perf_counter() - started
        with database.read() as tx:
            assert csv_import.get_import(tx, begun.id).status is ImportStatus.COMPLETED
        database.close()
    return {"seconds": seconds, "peak_mib": _peak_mib()}


def import_plainly(path: str) -> dict[str, float]:
    """Import with csv.reader, one expression for the address, and executemany; return seconds and peak_mib."""
    with tempfile.TemporaryDirectory() as folder:
        _with_an_audience(Path(folder)).close()
        database = sqlite3.connect(Path(folder) / "sendonce.db", isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("PRAGMA cache_size=-65536")
        started = time.perf_counter()
        now = SystemClock().now().replace(tzinfo=None).isoformat(" ")
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            _, _, *columns = next(reader)
            while lines := list(islice(reader, _AT_ONCE)):
                rows = [
                    (
                        email,
                        email.lower(),
                        name,
                        orjson.dumps(dict(zip(columns, cells, strict=True))),
                        now,
                    )
                    for email, name, *cells in lines
                    if _ADDRESS.fullmatch(email)
                ]
                database.execute("BEGIN IMMEDIATE")
                database.executemany(_INSERT, rows)
                database.execute("COMMIT")
        seconds = time.perf_counter() - started
        database.close()
    return {"seconds": seconds, "peak_mib": _peak_mib()}


def _with_an_audience(folder: Path) -> Database:
    database = a_database(folder)
    with database.write(durable=False) as tx:
        audience_store.create_audience(tx, "Riders", SystemClock().now())
    return database


def _peak_mib() -> float:
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
