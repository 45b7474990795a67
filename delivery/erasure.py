"""The ledger's part in erasing a person: what tells who they are goes, and a keyed hash stays in its place.

So every run still adds up, one address is still one row of a run, and nobody can read from it who that was. Whoever has
the key and the address could compute the hash again; without the key nobody can, by trying addresses neither.
"""

import re

from sqlalchemy import select, update

from delivery import history
from delivery.model import DeliveryStatus
from delivery.tables import deliveries
from foundation.errors import Conflict
from storage.database import Tx
from storage.many import is_one_of

ERASED = "erased:"
_SHOWN = 12

_OPEN = (DeliveryStatus.LEASED, DeliveryStatus.SENDING)


def erase(tx: Tx, address_key: str, *, keyed_hash: str) -> int:
    """Take the address out of every delivery to it, and return how many there were.

    keyed_hash, in hexadecimal, takes the address's place. What still waits to be sent is not, once the person is in no
    audience any more. Raises Conflict, with run_id, while a message to the person is on its way or in doubt: what
    becomes of that could not be noted any more.
    """
    ids = history.ids_of_person(tx, address_key)
    rows = tx.execute(select(deliveries).where(is_one_of(deliveries.c.id, ids))).all()
    for row in rows:
        if row.status in _OPEN:
            raise Conflict(
                f"A message to {row.email} is just being sent by run {row.run_id}. Nothing was erased: try again in a"
                " moment.",
                run_id=row.run_id,
            )
        if row.status == DeliveryStatus.IN_DOUBT:
            raise Conflict(
                f"The message of run {row.run_id} to {row.email} is in doubt. Nothing was erased: decide about it"
                " first, since afterwards nobody could.",
                run_id=row.run_id,
            )
    for row in rows:
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id == row.id)
            .values(
                email=ERASED + keyed_hash[:_SHOWN],
                address_key=ERASED + keyed_hash,
                reason=_without(row.reason, row.email, address_key),
                smtp_reply=_without(row.smtp_reply, row.email, address_key),
            )
        )
    return len(rows)


def _without(text: str | None, *addresses: str) -> str | None:
    """Return what a server has said without the address, which most of them repeat."""
    for address in addresses if text else ():
        text = re.sub(re.escape(address), "[erased]", str(text), flags=re.IGNORECASE)
    return text
