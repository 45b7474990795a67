"""An account as pages show it: where it delivers, how it does, how much went through. Never with its password."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounts import usage
from accounts.model import DAY, HOUR, Account, Kind, Security, State
from accounts.usage import Used
from mail.networks import IN_WORDS, Network
from storage.database import Tx

_SECURITY = {Security.NONE: "not encrypted", Security.STARTTLS: "STARTTLS", Security.TLS: "TLS"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """How much of a limit is used; limit is None where there is none."""

    used: int
    limit: int | None

    @property
    def is_full(self) -> bool:
        return self.limit is not None and self.used >= self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One account. status: ok, failing, paused; full where a limit is reached, new where it was never tried.

    reason: in the server's words.
    is_in_clear: the password goes over a network, and anybody on the way can read it. is_unverified: its server's
    certificate is not checked. network: in words, where it is one that strangers do not reach.
    next_try: until when a failing one rests, None where it is tried with the next e-mail. room_at: when a full one goes
    on, where that was looked up.
    """

    id: int
    version: int
    name: str
    is_sandbox: bool
    where: str
    security: str
    username: str | None
    signs_in: bool
    is_in_clear: bool
    is_unverified: bool
    network: str | None
    sender: str
    reply_to: str | None
    max_connections: int
    pipelining: bool
    rate_per_second: float | None
    status: str
    reason: str | None
    next_try: datetime | None
    room_at: datetime | None
    hour: Meter
    day: Meter


def cards_of(tx: Tx, accounts: Sequence[Account], now: datetime) -> list[Card]:
    """Return the accounts' cards, in their order."""
    used = usage.used_by_each(tx, [account.id for account in accounts], now)
    return [_card(account, used[account.id], now, room_at=None) for account in accounts]


def card_of(tx: Tx, account: Account, now: datetime) -> Card:
    """Return one account's card, with the time at which a limit that is reached lets it go on."""
    limits = ((account.limit_per_hour, HOUR), (account.limit_per_day, DAY))
    times = [_room_at(tx, account.id, limit, within, now) for limit, within in limits]
    room_at = max((time for time in times if time is not None), default=None)
    return _card(account, usage.used(tx, account.id, now), now, room_at=room_at)


def _room_at(
    tx: Tx, account_id: int, limit: int | None, within: timedelta, now: datetime
) -> datetime | None:
    if limit is None:
        return None
    return usage.room_at(tx, account_id, limit=limit, within=within, now=now)


def _card(account: Account, used: Used, now: datetime, *, room_at: datetime | None) -> Card:
    is_sandbox = account.kind is Kind.SANDBOX
    hour = Meter(used=used.hour, limit=account.limit_per_hour)
    day = Meter(used=used.day, limit=account.limit_per_day)
    is_new = account.state is State.OK and account.worked_at is None and not is_sandbox
    is_full = account.state is State.OK and (hour.is_full or day.is_full)
    return Card(
        id=account.id,
        version=account.version,
        name=account.name,
        is_sandbox=is_sandbox,
        where="built-in mail server" if is_sandbox else _where(account),
        security=_SECURITY[account.security],
        username=account.username,
        signs_in=_signs_in(account),
        is_in_clear=_signs_in(account)
        and account.security is Security.NONE
        and account.network is not Network.LOOPBACK,
        is_unverified=not account.verify_tls and account.security is not Security.NONE,
        network=None if is_sandbox else IN_WORDS.get(account.network),
        sender=f"{account.from_name} <{account.from_email}>"
        if account.from_name
        else account.from_email,
        reply_to=account.reply_to,
        max_connections=account.max_connections,
        pipelining=account.pipelining,
        rate_per_second=account.rate_per_second,
        status="full" if is_full else "new" if is_new else account.state.value,
        reason=account.state_reason,
        next_try=_next_try(account, now),
        room_at=room_at if is_full else None,
        hour=hour,
        day=day,
    )


def _next_try(account: Account, now: datetime) -> datetime | None:
    until = account.rest_until
    return until if account.state is State.FAILING and until and until > now else None


def _signs_in(account: Account) -> bool:
    return account.username is not None and account.password is not None


def _where(account: Account) -> str:
    host = f"[{account.host}]" if ":" in account.host else account.host
    return f"{host}:{account.port}"
