"""Has the promise held? What the ledger says and what the mail server has, person by person, after so many kills."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from delivery.model import DeliveryStatus

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """A kill: how many messages the mail server had by then, and whom it left in doubt."""

    after: int
    in_doubt: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A person in doubt: since which kill, None where no kill explains it; has_it is what the mail server says."""

    email: str
    kill: Kill | None
    has_it: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of everybody. faults are sentences, one for each way in which the promise was broken."""

    people: int
    received: int
    sent: int
    twice: Sequence[str]
    lost: Sequence[str]
    in_doubt: Sequence[Doubt]
    faults: Sequence[str]

    @property
    def holds(self) -> bool:
        return not self.faults


def judge(
    wanted: Sequence[str],
    *,
    ledger: Mapping[str, DeliveryStatus],
    received: Sequence[str],
    kills: Sequence[Kill],
    connections: int,
) -> Verdict:
    """Hold the ledger against the addresses of the messages that the mail server has, each as often as it is there.

    Every person is sent it or is in doubt: nobody was refused, and the run has ended. connections: how many the server
    had at most, so how many doubts one kill can explain.
    """
    people, got = set(wanted), Counter(received)
    listed = {email for email, status in ledger.items() if status is DeliveryStatus.IN_DOUBT}
    sent = {email for email, status in ledger.items() if status is DeliveryStatus.SENT}
    twice = sorted(email for email, times in got.items() if times > 1)
    lost = sorted(people - got.keys() - listed)
    doubts = [_doubt(email, kills, has_it=email in got) for email in sorted(listed)]
    found = (
        ("got more than one message", twice),
        ("got none, and are not listed as in doubt", lost),
        ("count as sent, and the mail server has nothing for them", sent - got.keys()),
        ("have a message, and are neither sent nor in doubt", got.keys() - sent - listed),
        ("are not in the ledger", people - ledger.keys()),
        ("are in the ledger or have a message, and were not on the list", (ledger.keys() | got.keys()) - people),
        ("have neither been sent it nor are they in doubt", ledger.keys() - sent - listed),
        ("are in doubt, and no kill explains it", {d.email for d in doubts if d.kill is None}),
    )  # fmt: skip
    faults = [_sentence(what, emails) for what, emails in found if emails]
    faults += [
        f"One kill left {len(kill.in_doubt)} in doubt, with {connections} connections."
        for kill in kills
        if len(kill.in_doubt) > connections
    ]
    if not kills:
        faults.append("The server was never killed while it sent, so nothing was tried.")
    return Verdict(
        people=len(people),
        received=got.total(),
        sent=len(sent),
        twice=twice,
        lost=lost,
        in_doubt=doubts,
        faults=faults,
    )


def _doubt(email: str, kills: Sequence[Kill], *, has_it: bool) -> Doubt:
    kill = next((kill for kill in kills if email in kill.in_doubt), None)
    return Doubt(email=email, kill=kill, has_it=has_it)


def _sentence(what: str, emails: "set[str] | Sequence[str]") -> str:
    shown = ", ".join(sorted(emails)[:_SHOWN])
    more = " …" if len(emails) > _SHOWN else ""
    return f"{len(emails):,} of the people {what}: {shown}{more}."
