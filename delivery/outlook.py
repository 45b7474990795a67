"""What is to be expected of runs that are running: how long they will take, and what keeps them waiting. Reads only.

From the numbers that sending itself keeps to: what accounts may send, what they have used of it, how they do, and the
pace that was measured.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from accounts import store as account_store
from accounts import usage
from accounts.capacity import Capacity, capacity_of, room_at, seconds_for
from accounts.model import DAY, HOUR, MINUTE, Allowance, Minutes, State
from delivery import outlines
from delivery.outlines import Underway
from storage.database import Tx

# The pace of late is that of the best of these last minutes: the server may have been slow for a moment.
_MINUTES_OF_LATE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is to be expected of a run. eta_seconds: until its last message has begun; None where that can't be told.

    waits_for: why it does not get on, where every account of it is in the way.
    """

    eta_seconds: float | None = None
    waits_for: str | None = None


NOTHING = Outlook()
"""Of a run that is not running nothing is to be expected."""


def outlooks(tx: Tx, now: datetime) -> dict[int, Outlook]:
    """Return what is to be expected of each run that is running."""
    running = outlines.underway(tx)
    if not running:
        return {}
    known = _Known.of(tx, {i for run in running for i in run.account_ids}, now)
    usable = {
        i: known.present(i, running)
        for i, account in known.accounts.items()
        if account.state != State.PAUSED
    }
    return {
        run.id: Outlook(
            eta_seconds=_eta_seconds(run, running, usable),
            waits_for=_waits_for(run, known),
        )
        for run in running
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """So many messages through these accounts, begun at that time."""

    messages: int
    account_ids: tuple[int, ...]
    at: datetime


def expected_seconds(
    tx: Tx, messages: int, account_ids: Collection[int], *, at: datetime, now: datetime
) -> float | None:
    """Return how long so many messages will take through these accounts, begun at some time, if nobody else sends.

    How the accounts do now says nothing of then: none is taken to rest.
    """
    sending = Sending(messages=messages, account_ids=tuple(account_ids), at=at)
    return expected_of_each(tx, [sending], now)[0]


def expected_of_each(tx: Tx, sendings: Sequence[Sending], now: datetime) -> list[float | None]:
    """Return how long each of these will take, as expected_seconds does, with as many questions as for one."""
    known = _Known.of(tx, {i for sending in sendings for i in sending.account_ids}, now)
    # What an account has used by now is counted no more a day on: from then on the same is the same.
    latest = now + DAY + 2 * MINUTE
    alike = [replace(sending, at=min(sending.at, latest)) for sending in sendings]
    told = {
        one: seconds_for(
            one.messages, [known.planned(i, one.at) for i in one.account_ids if i in known.accounts]
        )
        for one in set(alike)
    }
    return [told[one] for one in alike]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What is known of accounts: how much they may send, what they sent in which minute, and their pace of old."""

    accounts: Mapping[int, Allowance]
    minutes: Mapping[int, Minutes]
    paces: Mapping[int, float]
    now: datetime

    @classmethod
    def of(cls, tx: Tx, account_ids: Collection[int], now: datetime) -> "_Known":
        accounts = account_store.allowances(tx, account_ids)
        longest = DAY if any(a.limit_per_day is not None for a in accounts.values()) else HOUR
        has_pace = all(a.rate_per_second is not None for a in accounts.values())
        return cls(
            accounts=accounts,
            minutes=usage.by_minute(tx, accounts, since=now - longest - MINUTE),
            paces={} if has_pace else outlines.last_paces(tx),
            now=now,
        )

    def present(self, account_id: int, running: Sequence[Underway]) -> Capacity:
        """Return what the account can send from now on for the runs that go through it."""
        its = [run for run in running if account_id in run.account_ids]
        account = self.accounts[account_id]
        since = min((run.started_at for run in its if run.started_at), default=self.now)
        late = [n for m, n in self.minutes[account_id] if since <= m <= self.now - MINUTE]
        of_late = max(late[-_MINUTES_OF_LATE:], default=0) / MINUTE.total_seconds()
        rate = account.rate_per_second
        if rate is not None:
            pace: float | None = min(rate, of_late) if of_late else rate
        else:
            pace = of_late or sum(self._shown(run) for run in its) or self._past(account_id)
        return capacity_of(account, self.minutes[account_id], per_second=pace, now=self.now)

    def planned(self, account_id: int, at: datetime) -> Capacity:
        """Return what the account can send from that time on."""
        account = self.accounts[account_id]
        pace = account.rate_per_second or self._past(account_id)
        minutes = self.minutes[account_id]
        return capacity_of(replace(account, rest_until=None), minutes, per_second=pace, now=at)

    def _shown(self, run: Underway) -> float:
        """Return the pace that the run has shown at one of its accounts, before a whole minute can say more."""
        if run.started_at is None or self.now <= run.started_at:
            return 0.0
        seconds = (self.now - run.started_at).total_seconds()
        return run.settled / seconds / len(run.account_ids)

    def _past(self, account_id: int) -> float | None:
        # Both are less than what it can: a run ends with retries, a minute is seldom full.
        best = max((n for _, n in self.minutes[account_id]), default=0) / MINUTE.total_seconds()
        return max(best, self.paces.get(account_id, 0.0)) or None


def _eta_seconds(
    run: Underway, running: Sequence[Underway], usable: Mapping[int, Capacity]
) -> float | None:
    mine = {i for i in run.account_ids if i in usable}
    # Runs that share an account get as much of it each: of a larger one no more than of this goes before its end.
    sharing = (other for other in running if not mine.isdisjoint(other.account_ids))
    messages = sum(min(run.queued, other.queued) for other in sharing)
    return seconds_for(messages, [usable[i] for i in mine])


def _waits_for(run: Underway, known: _Known) -> str | None:
    if not run.queued:
        return None
    accounts = [known.accounts[i] for i in run.account_ids if i in known.accounts]
    faults = [
        f"{account.name} is {account.state} ({account.state_reason})"
        for account in accounts
        if account.state != State.OK
    ]
    limits = [
        said
        for account in accounts
        if account.state == State.OK and (said := _used_up(account, run.zone, known))
    ]
    if not accounts or len(faults) + len(limits) < len(accounts):
        return None
    return "; ".join(([f"waits for its account: {'; '.join(faults)}"] if faults else []) + limits)


def _used_up(account: Allowance, zone: str, known: _Known) -> str | None:
    """Say which limit of the account is used up and until when; None where it may send."""
    minutes = known.minutes[account.id]
    limits = (("hour", account.limit_per_hour, HOUR), ("day", account.limit_per_day, DAY))
    reached = [
        (until, name)
        for name, limit, within in limits
        if limit is not None
        and (until := room_at(minutes, limit=limit, within=within, now=known.now))
    ]
    if not reached:
        return None
    until, name = max(reached)
    return f"the {name} limit of account {account.name} is used up until {_told(until, zone, known.now)}"


def _told(instant: datetime, zone: str, now: datetime) -> str:
    there = instant.astimezone(ZoneInfo(zone))
    is_today = there.date() == now.astimezone(ZoneInfo(zone)).date()
    return (
        f"{there:%H:%M} {zone}" if is_today else f"{there:%a} {there.day} {there:%b %H:%M} {zone}"
    )
