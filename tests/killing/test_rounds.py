"""Campaigns whose leading process is killed again and again, through a mail server that misbehaves.

After each round the ledger is held against what the mail server has taken. Usually a few small rounds; with
KILL_ROUNDS=300 KILL_RECIPIENTS=2000 (make kill) many large ones. KILL_SEED rolls the dice of a round that failed once
more; what the operating system does between two of them is not repeated.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from delivery.model import DeliveryStatus
from tests.killing.a_round import CONNECTIONS, WAYS, Outcome, Round
from tests.killing.misbehaving_server import MisbehavingServer

pytestmark = [pytest.mark.killing, pytest.mark.timeout(300)]

ROUNDS = int(os.environ.get("KILL_ROUNDS", "2"))
RECIPIENTS = int(os.environ.get("KILL_RECIPIENTS", "150"))
SEED = os.environ.get("KILL_SEED") or str(random.randrange(1_000_000))
KILLS = 2 if RECIPIENTS < 1000 else 4


@pytest.mark.parametrize("number", range(ROUNDS))
def test_nobody_gets_two_and_nobody_is_lost_however_often_the_leader_is_killed(
    tmp_path: Path, number: int, record_property: Callable[[str, object], None]
) -> None:
    way = list(WAYS)[number % len(WAYS)]
    dice = random.Random(f"{SEED} {number}")
    with MisbehavingServer(random.Random(f"{SEED} {number} mail")) as mail:
        try:
            outcome = Round(tmp_path, way, mail, dice).play(recipients=RECIPIENTS, kills=KILLS)
            _assert_it_adds_up(outcome, mail)
        except BaseException as error:
            error.add_note(f"KILL_SEED={SEED}, round {number}: {way}")
            raise
    record_property("kills", outcome.kills)
    record_property("doubts", len(outcome.addresses[DeliveryStatus.IN_DOUBT]))
    record_property("doubts_of_kills", outcome.doubts)
    record_property("accepted", mail.accepted.total())


def _assert_it_adds_up(outcome: Outcome, mail: MisbehavingServer) -> None:
    everybody = set(outcome.recipients)
    sent, failed, in_doubt = (
        outcome.addresses[status]
        for status in (DeliveryStatus.SENT, DeliveryStatus.FAILED, DeliveryStatus.IN_DOUBT)
    )
    # One run, in which everybody has come to an end.
    [run] = outcome.runs
    assert sent | failed | in_doubt == everybody
    assert run.counts.recipients == len(everybody)
    assert run.counts.sent + run.counts.failed + run.counts.in_doubt == len(everybody)
    assert outcome.certificate is not None
    assert [check for check in outcome.certificate.checks if not check.ok] == []
    # Nobody has two, and whoever counts as sent has one.
    assert {who: times for who, times in mail.accepted.items() if times > 1} == {}
    assert sent - mail.accepted.keys() == set()
    # Nobody is lost: who has none was refused, or is listed; who has one, and is not sent, is listed.
    assert everybody - mail.accepted.keys() - mail.refused - in_doubt == set()
    assert failed - mail.refused == set()
    assert mail.accepted.keys() - sent - in_doubt == set()
    # A doubt is the mail server's doing, or one of those that each connection may have had when it was killed.
    assert [d for d in outcome.doubts if d[1] > d[0] * CONNECTIONS] == []
    assert len(in_doubt - mail.unanswered) == sum(doubts for _, doubts in outcome.doubts)
