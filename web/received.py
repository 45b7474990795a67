"""What the sandbox mail server has received, as this process knows it."""

from typing import cast

from flask import current_app

from mail.outbox_index import OutboxIndex
from web.current import the_house

_WHERE = "sendonce_outbox_index"


def the_outbox(*, read: int, or_nothing: bool = False) -> OutboxIndex:
    """Return the index of the outbox, up to date as OutboxIndex.look says."""
    house = the_house()
    index = cast(
        OutboxIndex,
        current_app.extensions.setdefault(_WHERE, OutboxIndex(house.outbox, house.clock)),
    )
    index.look(read=read, or_nothing=or_nothing)
    return index
