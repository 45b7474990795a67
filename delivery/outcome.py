"""What one attempt to deliver means. Pure: no clock, no network, no database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from accounts.model import LONGEST_REST
from mail.reply import Broken, Reply, Stage, Withdrawn

_DOUBLED_UP_TO = timedelta(hours=1)
_JITTER = 0.2
LONGEST_DELAY = _DOUBLED_UP_TO * (1 + _JITTER)
"""How long a delivery waits for its next try at most, at the settings that are usual."""

# What a server says to these is about the account or the server, never about a recipient.
_BEFORE_MAIL = frozenset(
    {Stage.CONNECT, Stage.BANNER, Stage.EHLO, Stage.STARTTLS, Stage.TLS, Stage.AUTH}
)


@dataclass(frozen=True, slots=True)
class Sent:
    """The server's final 2xx was read."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Put off by the server, or broken off before the end of the content was given."""

    answer: Reply | Broken
    at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    """Refused for good, or (gave_up) put off for too long. reply is None when the last attempt had none."""

    reply: Reply | None
    reason: str
    gave_up: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The end of the content may have reached the server, and no complete reply was read."""

    reason: str


@dataclass(frozen=True, slots=True)
class AccountFault:
    """The account's fault, not the recipient's: no try is counted; the account rests, or (pause) waits for a person."""

    answer: Reply | Broken
    pause: bool


@dataclass(frozen=True, slots=True)
class NotBegun:
    """Nothing was sent, and nobody is at fault: our own fence said no, or a connection had been closed while idle."""


Outcome = Sent | TryAgain | Failed | InDoubt | AccountFault | NotBegun


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """RETRY_DELAY and GIVE_UP_AFTER."""

    retry_delay: timedelta
    give_up_after: timedelta


def judge(
    answer: Reply | Broken | Withdrawn,
    *,
    attempts: int,
    first_attempt_at: datetime,
    now: datetime,
    patience: Patience,
    roll: float,
) -> Outcome:
    """Say what one attempt to deliver means.

    attempts counts this one; roll, from 0 to 1, is the dice for the jitter. A break is a doubt only once the end of the
    content was given to the socket: before that the server must drop what it has (RFC 5321 4.1.1.10), after it nobody
    can know (RFC 1047).
    """
    match answer:
        case Withdrawn():
            return NotBegun()
        case Reply() | Broken() if is_account_fault(answer):
            return AccountFault(
                answer,
                pause=isinstance(answer, Reply)
                and answer.stage == Stage.AUTH
                and answer.code >= 500,
            )
        case Broken(stage=Stage.END_GIVEN):
            return InDoubt(answer.detail)
        case Reply() if answer.code >= 500:
            return Failed(answer, _refusal(answer))
        case Reply() if answer.stage == Stage.END_GIVEN and 200 <= answer.code < 300:
            return Sent(answer)
        case Reply() if answer.stage == Stage.END_GIVEN and answer.code < 400:
            return InDoubt(f"an answer that makes no sense here: {answer}")
        case Reply() | Broken():
            if now - first_attempt_at >= patience.give_up_after:
                reply = answer if isinstance(answer, Reply) else None
                reason = f"gave up after {attempts} tries; the last: {_words(answer)}"
                return Failed(reply, reason, gave_up=True)
            return TryAgain(answer, now + backoff(attempts, patience.retry_delay, roll))
        case _:
            assert_never(answer)


def is_account_fault(answer: Reply | Broken) -> bool:
    """Whether the account or its server is at fault: anything before MAIL, a break at MAIL, a 5xx or 421 to MAIL.

    552 and 555 to MAIL, and others that speak of its size, its encoding or SMTPUTF8, are about the message: else one
    message that a server does not like would be first in the queue for ever, and rest the account each time.
    """
    if answer.stage in _BEFORE_MAIL:
        return True
    if answer.stage != Stage.MAIL:
        return False
    if isinstance(answer, Broken):
        return True
    return answer.code == 421 or (answer.code >= 500 and not _is_about_the_message(answer))


def backoff(attempts: int, retry_delay: timedelta, roll: float) -> timedelta:
    """Return how long to wait after this many tries: doubling up to an hour, give or take 20 %."""
    doubled: timedelta = retry_delay * 2 ** min(attempts - 1, 20)
    longest = max(_DOUBLED_UP_TO, retry_delay)
    return min(doubled, longest) * (1 - _JITTER + 2 * _JITTER * roll)


def rest_after(faults: int) -> timedelta:
    """Return how long an account rests after so many faults in a row: 1 s, doubling to 15 minutes."""
    return min(timedelta(seconds=2 ** min(faults - 1, 20)), LONGEST_REST)


def is_policy_refusal(reply: Reply) -> bool:
    """Whether a 5xx speaks of the sender's standing (5.4.5, 5.7.x), not of the address."""
    return reply.code >= 500 and reply.text.lstrip().startswith(("5.4.5", "5.7."))


def is_too_large(reply: Reply) -> bool:
    """Whether a 5xx says that the server takes no mail so large (5.3.4), whoever it is for."""
    return reply.code >= 500 and reply.text.lstrip().startswith("5.3.4")


def is_bad_address(reply: Reply) -> bool:
    """Whether a 5xx speaks of the address (5.1.x): a bad list, however many there are."""
    return reply.text.lstrip().startswith("5.1.")


def _is_about_the_message(reply: Reply) -> bool:
    # RFC 3463: 5.2.3 and 5.3.4 the message is too big, 5.6.x its content or encoding.
    of_the_message = reply.text.lstrip().startswith(("5.2.3", "5.3.4", "5.6."))
    return of_the_message or reply.code in (552, 555) or "SMTPUTF8" in reply.text.upper()


def _refusal(reply: Reply) -> str:
    return {
        Stage.MAIL: "the server refused the message",
        Stage.RCPT: "the server refused the recipient",
        Stage.DATA: "the server refused to take the message",
    }.get(reply.stage, "the server refused the content")


def _words(answer: Reply | Broken) -> str:
    return str(answer) if isinstance(answer, Reply) else answer.detail
