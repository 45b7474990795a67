"""Sender accounts: where mail is handed over, as whom, and how much of it."""

import ipaddress
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from foundation.errors import FieldError, Invalid
from mail.address import normalise
from mail.networks import Network, network_of

MAX_CONNECTIONS = 50
SLOWEST_PER_SECOND = 0.00001  # about one message a day
FASTEST_PER_SECOND = 100_000
LONGEST_REST = timedelta(minutes=15)  # after a fault

# What limits look at; usage is counted by the minute.
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

Minutes = Sequence[tuple[datetime, int]]
"""How many messages went through an account in which minute, oldest first; minutes without any are left out."""


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
    | failing | a fault of the account (refused, 421, TLS …) | a mail handed over; what ends paused |
    | paused | a 5xx to AUTH | a test that is ok, resume, another connection in an edit |

    A failing one is not used before rest_until.
    """

    OK = "ok"
    FAILING = "failing"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFields:
    """What a person can write of an account."""

    name: str
    host: str
    port: int
    security: Security = Security.NONE
    verify_tls: bool = True
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    from_email: str
    from_name: str | None = None
    reply_to: str | None = None
    max_connections: int = 4
    pipelining: bool = True
    rate_per_second: float | None = None
    limit_per_hour: int | None = None
    limit_per_day: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A sender account. password is in clear and never leaves the process but for AUTH.

    pipelining False: even a server that offers it (RFC 2920) is sent one command at a time. verify_tls False:
    whoever sits between can pass for the server, and read the password.
    """

    id: int
    version: int
    name: str
    kind: Kind
    host: str
    port: int
    security: Security
    verify_tls: bool = True
    username: str | None
    password: str | None
    from_email: str
    from_name: str | None
    reply_to: str | None
    max_connections: int
    pipelining: bool
    rate_per_second: float | None
    limit_per_hour: int | None
    limit_per_day: int | None
    state: State
    state_reason: str | None
    rest_until: datetime | None
    worked_at: datetime | None = None
    created_at: datetime

    @property
    def network(self) -> Network:
        """Where its host is, as far as can be said without looking a name up."""
        return network_of(self.host)

    def __repr__(self) -> str:
        return f"Account(id={self.id}, name={self.name!r}, state={self.state})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How an account does, and how much it may send: all that an estimate is made from."""

    id: int
    name: str
    state: State
    state_reason: str | None
    rest_until: datetime | None
    rate_per_second: float | None
    limit_per_hour: int | None
    limit_per_day: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of testing an account: connect, ehlo, starttls, tls, auth, mail, rcpt, data, content."""

    step: str
    ok: bool
    detail: str
    ms: int


def check(fields: AccountFields, *, kind: Kind = Kind.SMTP) -> AccountFields:
    """Return the fields as they are kept: without the blanks around names and addresses.

    Raises Invalid, naming every field that is wrong. The Sandbox account has port 0: its server takes a free one.
    """
    fields = _stripped(fields)
    mistakes = [FieldError(name, message) for name, message in _mistakes(fields, kind)]
    if mistakes:
        raise Invalid(mistakes)
    return replace(
        fields,
        from_email=normalise(fields.from_email).written,
        reply_to=normalise(fields.reply_to).written if fields.reply_to else None,
    )


def _stripped(fields: AccountFields) -> AccountFields:
    return replace(
        fields,
        name=fields.name.strip(" "),
        host=fields.host.strip(" "),
        from_name=_or_none(fields.from_name),
        reply_to=_or_none(fields.reply_to),
    )


def _or_none(text: str | None) -> str | None:
    return text.strip(" ") or None if text else None


def _mistakes(fields: AccountFields, kind: Kind) -> Iterator[tuple[str, str]]:
    found = {
        "name": _about_line(fields.name, longest=200) if fields.name else "must not be empty",
        "host": _about_host(fields.host),
        "port": _about_number(fields.port, 0 if kind is Kind.SANDBOX else 1, 65_535),
        "username": _about_line(fields.username, longest=320),
        "password": _about_password(fields),
        "from_email": _about_address(fields.from_email),
        "from_name": _about_line(fields.from_name, longest=200),
        "reply_to": _about_address(fields.reply_to) if fields.reply_to else None,
        "max_connections": _about_number(fields.max_connections, 1, MAX_CONNECTIONS),
        "rate_per_second": _about_rate(fields.rate_per_second),
        "limit_per_hour": _about_limit(fields.limit_per_hour),
        "limit_per_day": _about_limit(fields.limit_per_day),
    }
    return ((name, message) for name, message in found.items() if message)


def _about_line(text: str | None, *, longest: int) -> str | None:
    if text is None:
        return None
    if not text:
        return "must not be empty; leave it out (null) when there is none"
    if len(text) > longest:
        return f"has {len(text)} characters; at most {longest} fit"
    if _odd_character(text):
        return "must be one line without control characters"
    return None


def _about_password(fields: AccountFields) -> str | None:
    # The value is never part of the sentence: it would end up in an answer or a log.
    if fields.password is None:
        return None
    if fields.username is None:
        return "needs a username; give both or neither"
    return _about_line(fields.password, longest=1000)


def _about_host(host: str) -> str | None:
    if not host:
        return "must not be empty; give a name as mail.example.com, or an IP address"
    if len(host) > 255 or not (_is_ip_address(host) or _is_host_name(host)):
        return (
            "must be a host's name as mail.example.com, or an IP address, without a scheme,"
            " a port or blanks"
        )
    return None


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return host.isprintable()  # the scope of an IPv6 address could be anything


def _is_host_name(host: str) -> bool:
    name = host.removesuffix(".")
    if not name or not all(c.isalnum() or c in "-_." for c in name):
        return False
    try:
        name.encode("idna")  # what the resolver will do: refuses labels that are empty or too long
    except UnicodeError:
        return False
    return True


def _about_address(address: str) -> str | None:
    try:
        normalise(address)
    except Invalid as error:
        return error.errors[0].message
    return None


def _about_number(number: int, lowest: int, highest: int) -> str | None:
    if lowest <= number <= highest:
        return None
    return f"must be from {lowest} to {highest:,}, not {number}"


def _about_rate(rate: float | None) -> str | None:
    # Written so that it is wrong for NaN too.
    if rate is None or SLOWEST_PER_SECOND <= rate <= FASTEST_PER_SECOND:
        return None
    return (
        f"must be more than 0 (from {SLOWEST_PER_SECOND:f}) and at most {FASTEST_PER_SECOND:,}"
        f" messages a second, not {rate}"
    )


def _about_limit(limit: int | None) -> str | None:
    if limit is None or 1 <= limit <= 1_000_000_000:
        return None
    return f"must be from 1 to 1,000,000,000, or null for no limit; not {limit}"


def _odd_character(text: str) -> bool:
    # Control characters, lone surrogates, and the separators that some programs take for line ends.
    return any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in text)
