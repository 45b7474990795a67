"""Ids that are never used again, not even after what had them was deleted."""

from sqlalchemy import Column, Integer, String, Table, select, update

from storage.database import Tx, insert_into
from storage.metadata import metadata

sequences = Table(
    "sequences",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Integer, nullable=False),
)


def next_id(tx: Tx, name: str) -> int:
    """Return the next number of the sequence, starting with 1."""
    tx.execute(insert_into(tx, sequences).values(name=name, value=0).on_conflict_do_nothing())
    row = sequences.c.name == name
    tx.execute(update(sequences).where(row).values(value=sequences.c.value + 1))
    value: int = tx.execute(select(sequences.c.value).where(row)).scalar_one()
    return value


def reserve(tx: Tx, name: str, *, at_least: int) -> None:
    """See to it that ids up to at_least are never given out: somebody else has used them."""
    insert = insert_into(tx, sequences).values(name=name, value=at_least)
    tx.execute(
        insert.on_conflict_do_update(
            index_elements=[sequences.c.name],
            set_={"value": insert.excluded.value},
            where=sequences.c.value < insert.excluded.value,
        )
    )


def last_id(tx: Tx, name: str) -> int | None:
    """Return the highest number that was given out or reserved, None for a sequence that was never begun."""
    value: int | None = tx.execute(
        select(sequences.c.value).where(sequences.c.name == name)
    ).scalar_one_or_none()
    return value
