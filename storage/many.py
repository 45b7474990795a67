"""Thousands of rows or values in one statement, past SQLAlchemy's binding of each, which takes longer than SQLite."""

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from sqlalchemy import Column, ColumnElement, Insert, func, select

from storage.database import Tx


def insert_many(tx: Tx, statement: Insert, columns: Sequence[str], rows: Sequence[Any]) -> None:
    """Insert rows: tuples in the order of the columns, which is the table's, of values as the driver takes them.

    Raises ValueError where the statement wants other values.
    """
    compiled = statement.compile(dialect=tx.dialect, column_keys=list(columns))
    if compiled.positiontup != list(columns):
        raise ValueError(f"the statement wants {compiled.positiontup}, not {list(columns)}")
    tx.exec_driver_sql(str(compiled), rows)


def as_kept(tx: Tx, column: Column[Any], value: Any) -> Any:
    """Return the value as the driver takes it for this column."""
    processor = column.type.dialect_impl(tx.dialect).bind_processor(tx.dialect)
    return value if processor is None else processor(value)


def is_one_of(column: ColumnElement[Any], values: Collection[str | int]) -> ColumnElement[bool]:
    """Return the condition that the column is one of the values, however many: they go to the database as one."""
    together = func.json_each(orjson.dumps(list(values)).decode()).table_valued("value")
    return column.in_(select(together.c.value))
