"""What came of handing one message to a server: its reply, a break, or our own withdrawal. Data, never exceptions."""

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """What the conversation had reached; for a reply, what it answers."""

    CONNECT = "connect"
    BANNER = "banner"
    EHLO = "ehlo"
    STARTTLS = "starttls"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    CONTENT = "content"  # content is going out, its end was not given to the socket yet
    END_GIVEN = "end"  # the write that holds the final dot was called


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A complete reply (RFC 5321 4.2).

    text joins its lines with LF, at most 1,000 characters; the code is not in it.
    """

    stage: Stage
    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """No complete reply: refused, reset, closed, timed out, or not SMTP. detail is a sentence for people."""

    stage: Stage
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """The fence said no after the server's 354: the connection was closed without a dot, nothing was sent."""


Answer = Reply | Broken | Withdrawn
