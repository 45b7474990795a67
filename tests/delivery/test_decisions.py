"""Who decided what about a run, and when."""

from pathlib import Path

import pytest

from campaigns.model import InDoubtRule
from delivery import decisions, ledger
from delivery.decisions import BY_RULE, Action
from delivery.model import RunStatus
from foundation.errors import Conflict
from tests.delivery.builders import BY, books, one_leased, statements_of
from tests.delivery.decided import DOUBT, REFUSED, come_to, decided


def test_what_a_person_does_to_a_run_is_noted_with_who_and_when(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, began = b.running(people=2), b.now

        b.pause(run_id)
        b.later(minutes=5)
        b.resume(run_id)
        b.cancel(run_id)

        made = decided(b, run_id)
        assert [(d.action, d.email, d.by, d.detail) for d in made] == [
            ("pause", None, BY, None),
            ("resume", None, BY, "paused by a person"),
            ("cancel", None, BY, None),
        ]
        assert [(d.at - began).seconds for d in made] == [0, 300, 300]


def test_what_changes_nothing_is_not_noted(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.running(people=1)
        b.resume(run_id)
        b.pause(run_id)
        b.pause(run_id)
        b.cancel(run_id)
        b.cancel(run_id)
        with pytest.raises(Conflict):
            b.resume(run_id)
        with pytest.raises(Conflict):
            b.pause(run_id)

        assert [d.action for d in decided(b, run_id)] == ["pause", "cancel"]


def test_queueing_refusals_again_is_noted_when_there_are_any(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.account()
        run_id = b.running("ann@example.com", "ben@example.com")
        items = come_to(b, run_id, dict.fromkeys(["ann@example.com", "ben@example.com"], REFUSED))
        with b.database.write(durable=False) as tx:
            ledger.set_status(
                tx,
                run_id,
                [RunStatus.RUNNING],
                to=RunStatus.PAUSED,
                reason="refusals in a row",
                refused_ids=[i.id for i in items],
            )

        b.resume(run_id, retry_refused=True)
        b.pause(run_id)
        b.resume(run_id, retry_refused=True)

        assert [(d.action, d.detail) for d in decided(b, run_id)] == [
            ("resume", "refusals in a row"),
            ("retry-refused", "2 refused queued again"),
            ("pause", None),
            ("resume", "paused by a person"),
        ]


def test_a_doubt_that_the_campaign_s_rule_sends_again_is_the_rule_s_decision(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
        b.begin(item)

        b.record(item, DOUBT, begun=True)

        [made] = decided(b, run_id)
        assert (made.action, made.email, made.by) == ("resend", "ann@example.com", BY_RULE)
        assert "the server fell silent" in (made.detail or "")


def test_so_is_one_that_a_crash_has_left(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b, in_doubt=InDoubtRule.RESEND)
        b.begin(item)

        b.lead(boot_id="boot 1")
        b.recover(boot_id="boot 1")

        [made] = decided(b, run_id)
        assert (made.action, made.email, made.by) == ("resend", "ann@example.com", BY_RULE)


def test_a_doubt_that_is_held_is_nobody_s_decision(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, item = one_leased(b)
        b.begin(item)

        b.record(item, DOUBT, begun=True)

        assert decided(b, run_id) == []


def test_a_decision_about_thousands_takes_a_statement_for_each_few_thousand(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = b.claim(b.audience(people=6000))
        b.materialise(run_id)
        ids = [d.id for d in b.deliveries(run_id)]
        statements = statements_of(b)

        with b.database.write(durable=False) as tx:
            decisions.note(tx, run_id, Action.RESEND, by=BY, now=b.now, delivery_ids=ids)

        assert sum(s.startswith("INSERT") for s in statements) == 2
        assert len(decided(b, run_id)) == 6000
