"""What belongs to the request in hand: the house it is answered from, and who is asking."""

from typing import cast

from flask import current_app, g

from assembly import Sendonce
from identity.model import Principal


def the_house() -> Sendonce:
    """Return the parts that this application was built over."""
    return cast(Sendonce, current_app.extensions["sendonce"])


def the_caller() -> Principal:
    """Return who is asking; the guard has let nobody through without a name."""
    return cast(Principal, g.principal)


def caller_in_words() -> str:
    """Return who is asking, for records that people read: an e-mail address, or which token."""
    caller = the_caller()
    return caller.label or caller.name
