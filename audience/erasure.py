"""The audiences' part in erasing a person: every entry, what was noted of rows that were not taken, the suppression."""

from sqlalchemy import delete, func, or_, update

from audience.tables import audiences, import_rejections, recipients, suppressions
from mail.address import Address
from storage.database import Tx


def erase(tx: Tx, address: Address, *, keep_suppression: bool) -> int:
    """Take a person out of every audience, and return out of how many.

    keep_suppression: the address stays among those that get nothing, so that no later import writes to it again.
    """
    gone = delete(recipients).where(recipients.c.address_key == address.key)
    left = tx.scalars(gone.returning(recipients.c.audience_id)).all()
    for audience_id in left:
        its = audiences.c.id == audience_id
        tx.execute(update(audiences).where(its).values(recipients=audiences.c.recipients - 1))
    # As it stood in the file: with a name before it, perhaps, or blanks around it.
    noted = func.lower(import_rejections.c.email)
    spellings = {address.key, address.written.lower()}
    contains = [noted.contains(spelling, autoescape=True) for spelling in spellings]
    tx.execute(delete(import_rejections).where(or_(*contains)))
    if not keep_suppression:
        tx.execute(delete(suppressions).where(suppressions.c.address_key == address.key))
    return len(left)
