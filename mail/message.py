"""One recipient's email as bytes (RFC 5322, 2045-2047, 8058).

Written by hand because the standard library's writer takes thirty times as long; its parser is the judge in the tests.
Whatever a name, a subject or a body holds, the result has CRLF line ends only, no line over 998 bytes, and no header
that was not asked for.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an email is made of; empty names are left out. Addresses are such as mail.address takes."""

    from_email: str
    from_name: str
    to_email: str
    to_name: str
    reply_to: str | None
    subject: str
    text: str
    html: str | None
    date: datetime
    message_id: str
    unsubscribe_url: str | None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An email ready for SMTP: the envelope, and content with CRLF line ends, its end among them, not dot-stuffed.

    needs_smtputf8 says that a local part is beyond ASCII: only a server that offers SMTPUTF8 can take it (RFC 6531).
    """

    mail_from: str
    rcpt_to: str
    content: bytes
    needs_smtputf8: bool
