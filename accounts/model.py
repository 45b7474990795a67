"""Sender accounts: where mail is handed over, as whom, and how much of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    SANDBOX = "sandbox"
    SMTP = "smtp"


class Security(StrEnum):
    NONE = "none"
    STARTTLS = "starttls"
    TLS = "tls"


class State(StrEnum):
    """How an account does.

    | state | set by | ended by |
    | --- | --- | --- |
    | ok | | |
    | failing | a fault of the account (refused, 421, TLS …): it rests until rest_until | a mail handed over, a test that is ok, resume |
    | paused | a 5xx to AUTH | a test that is ok, resume |
    """

    OK = "ok"
    FAILING = "failing"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A sender account. password is in clear and never leaves the process but for AUTH."""

    id: int
    version: int
    name: str
    kind: Kind
    host: str
    port: int
    security: Security
    username: str | None
    password: str | None
    from_email: str
    from_name: str | None
    reply_to: str | None
    max_connections: int
    rate_per_second: float | None
    limit_per_hour: int | None
    limit_per_day: int | None
    state: State
    state_reason: str | None
    rest_until: datetime | None
    created_at: datetime

    def __repr__(self) -> str:
        return f"Account(id={self.id}, name={self.name!r}, state={self.state})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of testing an account: connect, ehlo, starttls, tls, auth, mail, rcpt, data, content."""

    step: str
    ok: bool
    detail: str
    ms: int
