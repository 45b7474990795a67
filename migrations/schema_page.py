"""Writes docs/schema.md from the tables: `python -m migrations.schema_page > docs/schema.md`, or `make schema`."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import CheckConstraint, Column, Table, UniqueConstraint
from sqlalchemy.dialects import sqlite

from storage.metadata import metadata

_ROOT = Path(__file__).parent.parent
_STORAGE = ("storage.aliveness", "storage.installation", "storage.replays", "storage.sequence")

_HEAD = """\
# The tables

Made from the code by `make schema`; do not edit. Who owns a table, and why it is as it is, stands in the `tables.py` of
its room. Instants are UTC.
"""


def page() -> str:
    """Return the page as Markdown."""
    # Each import adds its tables to the metadata.
    rooms = (f"{path.parent.name}.tables" for path in sorted(_ROOT.glob("*/tables.py")))
    for module in (*rooms, *_STORAGE):
        importlib.import_module(module)
    tables = sorted(metadata.tables.values(), key=lambda table: table.name)
    return _HEAD + "".join(f"\n{_section(table)}" for table in tables)


def _section(table: Table) -> str:
    lines = [
        f"## {table.name}",
        "",
        "| column | type | may be null | refers to |",
        "| --- | --- | --- | --- |",
        *map(_row, table.columns),
    ]
    notes = sorted(_notes(table))
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def _row(column: "Column[object]") -> str:
    name = f"**{column.name}**" if column.primary_key else column.name
    kind = column.type.compile(sqlite.dialect())
    nullable = "yes" if column.nullable else ""
    refers = ", ".join(
        f"{key.target_fullname} ({(key.ondelete or 'no action').lower()})"
        for key in sorted(column.foreign_keys, key=lambda key: key.target_fullname)
    )
    return f"| {name} | {kind} | {nullable} | {refers} |"


def _notes(table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        if isinstance(constraint, UniqueConstraint):
            yield f"- unique: {', '.join(column.name for column in constraint.columns)}"
        elif isinstance(constraint, CheckConstraint):
            yield f"- check: `{' '.join(str(constraint.sqltext).split())}`"
    for index in table.indexes:
        where = index.dialect_options["sqlite"]["where"]
        columns = ", ".join(str(column.name) for column in index.columns)
        only = f", where `{where}`" if where is not None else ""
        yield f"- {'unique ' if index.unique else ''}index: {columns}{only}"


if __name__ == "__main__":
    sys.stdout.write(page())
