"""What is done from the command line, for the audit log: by the name that the operating system has for who does it."""

import os
import pwd
from typing import Any

from assembly import Sendonce
from identity import audit
from identity.audit import Author
from identity.model import Token, User
from storage.database import Tx


def command_line() -> Author:
    """Return who has given this command."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # as in a container that runs under a number of its own
        name = f"user id {os.getuid()}"
    return Author(actor="command line", by=f"{name}, on the command line")


def note(house: Sendonce, tx: Tx, action: str, object_: str, **what: Any) -> None:
    """Note what the command does, in the transaction that does it; what: label, before and after (audit.Deed)."""
    deed = command_line().did(action, object_, **what)
    audit.record(tx, deed, key=house.key, now=house.clock.unchecked())


def note_token(house: Sendonce, tx: Tx, action: str, token: Token) -> None:
    """Note that a token was made or revoked."""
    told = {"name": token.name, "role": str(token.role), "expires_at": token.expires_at}
    how = {"after": told} if action == "create" else {"before": told}
    note(house, tx, action, f"token:{token.id}", label=token.name, **how)


def note_user(house: Sendonce, tx: Tx, action: str, user: User, **what: Any) -> None:
    """Note what was done to a user."""
    note(house, tx, action, f"user:{user.id}", label=user.email, **what)
