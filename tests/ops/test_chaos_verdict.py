"""The judge of chaos: whatever breaks the promise is named, and nothing else is."""

from dataclasses import replace

import pytest

from delivery.model import DeliveryStatus
from ops.chaos_verdict import Kill, Verdict, judge

PEOPLE = [f"p{i}@example.com" for i in range(6)]
KILL = Kill(after=2, in_doubt=frozenset({"p2@example.com", "p3@example.com"}))


def a_verdict(
    *,
    received: list[str] | None = None,
    kills: tuple[Kill, ...] = (KILL,),
    connections: int = 2,
    **statuses: str,
) -> Verdict:
    """Judge a trial in which p2 and p3 are in doubt, of whom p2 has it."""
    given = dict.fromkeys(PEOPLE, "sent") | {KILL_P2: "in_doubt", KILL_P3: "in_doubt"}
    given |= {f"{name}@example.com": status for name, status in statuses.items()}
    ledger = {email: DeliveryStatus(status) for email, status in given.items() if status}
    got = [p for p in PEOPLE if p != KILL_P3] if received is None else received
    return judge(PEOPLE, ledger=ledger, received=got, kills=kills, connections=connections)


KILL_P2, KILL_P3 = sorted(KILL.in_doubt)


def test_everybody_who_is_sent_or_in_doubt_keeps_the_promise() -> None:
    verdict = a_verdict()

    assert verdict.holds
    assert [(d.email, d.has_it) for d in verdict.in_doubt] == [(KILL_P2, True), (KILL_P3, False)]


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (a_verdict(received=[*PEOPLE, "p0@example.com"]), "got more than one message: p0"),
        (a_verdict(p0="queued", received=PEOPLE[1:]), "got none, and are not listed as in doubt"),
        (a_verdict(received=PEOPLE[1:]), "count as sent, and the mail server has nothing"),
        (a_verdict(p0="failed"), "have a message, and are neither sent nor in doubt"),
        (a_verdict(p0=""), "are not in the ledger"),
        (a_verdict(received=[*PEOPLE, "x@example.com"]), "were not on the list: x@example.com"),
        (a_verdict(p4="in_doubt"), "are in doubt, and no kill explains it: p4"),
        (a_verdict(connections=1), "One kill left 2 in doubt, with 1 connections"),
        (a_verdict(kills=(replace(KILL, in_doubt=frozenset({KILL_P2})),)), "no kill explains"),
        (a_verdict(kills=()), "never killed while it sent"),
    ],
)
def test_what_breaks_the_promise_is_named(verdict: Verdict, says: str) -> None:
    assert not verdict.holds
    assert any(says in fault for fault in verdict.faults)
