"""Whether the link of the first start has let somebody in who is no user yet: they become one before others do."""

from web import sessions

FIRST_YOU = (
    "Give yourself an e-mail and a password first: adding somebody else would end your session, and nobody would be"
    " admin. Nobody was added."
)


def comes_first() -> bool:
    """Say whether it is such a session: with the first user the link ends, and with it the session that it began."""
    session = sessions.current()
    return session is not None and session.user_id is None
