"""Statements that are carried out for every message or slot: made into SQL once, and given to the driver directly."""

from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import Any

from sqlalchemy import String, Table
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from storage.database import Tx, run_directly
from storage.metadata import Instant

_DIALECT = sqlite.dialect()


class Prepared:
    """One INSERT, UPDATE or DELETE with parameters."""

    def __init__(self, statement: UpdateBase) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self._sql = str(compiled)
        binds = [compiled.binds[name] for name in compiled.positiontup or ()]
        self._places = [(compiled.bind_names[bind], _turn_of(bind.type)) for bind in binds]
        self._constants: dict[str, Any] = {
            compiled.bind_names[b]: b.effective_value for b in binds if not b.required
        }

    def run(self, tx: Tx, values: dict[str, Any]) -> int:
        """Carry it out with these values for its parameters; return the number of rows that it met.

        Raises what the statement raises through SQLAlchemy; KeyError where a parameter has no value.
        """
        return run_directly(tx, self._sql, self._filled(values)).rowcount

    def insert(self, tx: Tx, values: dict[str, Any]) -> int:
        """Carry out an INSERT of one row as run() does; return the row's id."""
        row_id = run_directly(tx, self._sql, self._filled(values)).lastrowid
        assert row_id is not None
        return row_id

    def _filled(self, values: dict[str, Any]) -> list[Any]:
        given = self._constants | values
        return [given[name] if turn is None else turn(given[name]) for name, turn in self._places]


def insert_unless_there(table: Table) -> sqlite.Insert:
    """Return an INSERT, to be prepared, of all columns but those that get values here: what exists stands."""
    return sqlite.insert(table).on_conflict_do_nothing()


def _turn_of(its_type: TypeEngine[Any]) -> Callable[[Any], Any] | None:
    """Return what makes of a value what the driver takes: by its column's type, and of an enumeration its text."""
    processor = its_type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
    if processor is None:
        return _plain if isinstance(its_type, String) else None
    # Most moments are the same one in all statements of a transaction.
    return lru_cache(maxsize=32)(processor) if isinstance(its_type, Instant) else processor


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
