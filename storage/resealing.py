"""Bringing what is sealed in a column under a new key, and counting what is not yet."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, bindparam, select, update

from foundation.errors import Unavailable
from storage.database import Tx
from storage.sealed import SecretKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How many values are sealed with which key; lost: with neither the new nor the old one."""

    new: int = 0
    old: int = 0
    lost: int = 0

    def __add__(self, other: "Standing") -> "Standing":
        return Standing(
            new=self.new + other.new, old=self.old + other.old, lost=self.lost + other.lost
        )


def standing(tx: Tx, column: Column[Any], key: SecretKey) -> Standing:
    """Count the sealed values of a column."""
    found = Standing()
    for _, sealed in _sealed(tx, column):
        if key.is_under_new(sealed):
            found += Standing(new=1)
        else:
            found += Standing(lost=1) if _opened(key, sealed) is None else Standing(old=1)
    return found


def reseal(tx: Tx, column: Column[Any], key: SecretKey) -> int:
    """Seal with the new key whatever the old one sealed; return how many values that were.

    What neither opens stays: its key may yet be found.
    """
    primary = tuple(column.table.primary_key.columns)
    left = [(at, sealed) for at, sealed in _sealed(tx, column) if not key.is_under_new(sealed)]
    opened = [(at, text) for at, sealed in left if (text := _opened(key, sealed)) is not None]
    if opened:
        here = [part == bindparam(f"at_{n}") for n, part in enumerate(primary)]
        tx.execute(
            update(column.table).where(*here).values({column: bindparam("resealed")}),
            [
                {f"at_{n}": part for n, part in enumerate(at)} | {"resealed": key.seal(text)}
                for at, text in opened
            ],
        )
    return len(opened)


def _sealed(tx: Tx, column: Column[Any]) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    primary = tuple(column.table.primary_key.columns)
    for *at, sealed in tx.execute(select(*primary, column).where(column.is_not(None))):
        yield tuple(at), sealed


def _opened(key: SecretKey, sealed: bytes) -> str | None:
    try:
        return key.unseal(sealed)
    except Unavailable:
        return None
