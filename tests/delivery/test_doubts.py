"""What a person decides about deliveries in doubt: once, through the same account, under the same Message-ID."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from accounts import store as account_store
from campaigns.model import InDoubtRule
from delivery import doubts, ledger, reads, slots
from delivery.decisions import Action
from delivery.model import DeliveryStatus
from delivery.outcome import InDoubt, Sent
from foundation.clock import SystemClock
from foundation.errors import Conflict, Invalid, NotFound
from tests.delivery.builders import BY, a_reply, books, sending, until, until_finished
from tests.delivery.decided import (
    DOUBT,
    REFUSED,
    SENT,
    come_to,
    decided,
    in_doubt,
    resolve,
)
from tests.mail.scripted_server import HANG_UP, InTurn, ScriptedServer

ANN, BEN, CLEO = "ann@example.com", "ben@example.com", "cleo@example.com"


@pytest.mark.parametrize(
    ("action", "becomes", "reason"),
    [
        ("resend", "queued", f"in doubt, to be sent again: decided by {BY}"),
        ("mark-sent", "sent", f"was in doubt; marked as sent by {BY}"),
        ("mark-failed", "failed", f"was in doubt; marked as failed by {BY}"),
    ],
)
def test_a_decision_settles_those_it_names_and_nobody_else(
    tmp_path: Path, action: str, becomes: str, reason: str
) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN, BEN, CLEO)

        assert resolve(b, run_id, action, "ANN@example.com", CLEO) == 2

        assert b.statuses(run_id) == {becomes: 2, "in_doubt": 1}
        assert b.delivery(run_id, ANN).reason == reason
        assert b.delivery(run_id, BEN).status == DeliveryStatus.IN_DOUBT


def test_who_decided_is_noted_for_each_with_what_stood_there_before(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN, BEN)
        b.later(hours=1)

        resolve(b, run_id, "mark-sent", by='the token "ops"')

        assert [(d.action, d.email, d.by, d.detail, d.at) for d in decided(b, run_id)] == [
            ("mark-sent", email, 'the token "ops"', "the server fell silent", b.now)
            for email in (ANN, BEN)
        ]


def test_what_came_into_doubt_after_the_list_was_read_is_left_alone(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.account()
        run_id = b.running(ANN, BEN)
        first, second = b.lease(run_id, b.first_account())
        for item in (first, second):
            b.begin(item)
        b.record(first, DOUBT, begun=True)
        read_at = b.now
        b.later(seconds=1)
        b.record(second, DOUBT, begun=True)

        assert resolve(b, run_id, "resend", before=read_at) == 1

        assert b.delivery(run_id, BEN).status == DeliveryStatus.IN_DOUBT
        with pytest.raises(Conflict, match="in doubt any more"):
            resolve(b, run_id, "resend", before=read_at)


def test_only_the_first_of_two_decisions_counts(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        resolve(b, run_id, "mark-sent")

        with pytest.raises(Conflict, match=r"Nothing of run 1 .* in doubt any more") as refused:
            resolve(b, run_id, "resend", ANN)

        assert refused.value.extra == {"run_id": run_id}
        assert b.statuses(run_id) == {"sent": 1}
        assert len(decided(b, run_id)) == 1


def test_two_decisions_at_once_send_once(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, *(f"p{i}@example.com" for i in range(20)))

        def decide(_: int) -> int:
            try:
                return resolve(b, run_id, "resend")
            except Conflict:
                return 0

        with ThreadPoolExecutor(4) as pool:
            resolved = list(pool.map(decide, range(4)))

        assert sorted(resolved) == [0, 0, 0, 20]
        assert len(decided(b, run_id)) == 20
        assert b.raw("SELECT max(resends) AS most FROM deliveries")[0].most == 1


def test_a_decision_about_an_unknown_run_or_no_address_is_refused(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)

        with pytest.raises(NotFound):
            resolve(b, 9, "resend")
        with pytest.raises(Invalid):
            resolve(b, run_id, "resend", "nobody")


def test_a_run_that_had_ended_runs_again_and_its_schedule_learns_of_both(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        with b.database.write(durable=False) as tx:
            slots.begin(tx, 1, b.now)
            slots.mark_told(tx, [1])
            ledger.mark_told(tx, [run_id])

        resolve(b, run_id, "resend")

        run = b.run(run_id)
        assert (run.status, run.reason, run.finished_at) == ("running", None, None)
        with b.database.read() as tx:
            assert slots.behind(tx) == {1}
            assert reads.runs_untold(tx) == {}
        come_to(b, run_id, {ANN: SENT})
        assert b.finish(run_id)
        with b.database.read() as tx:
            assert reads.runs_untold(tx) == {run_id: 1}


def test_marking_leaves_a_run_that_has_ended_as_it_is(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        before = b.run(run_id)

        resolve(b, run_id, "mark-failed")

        assert b.run(run_id).finished_at == before.finished_at
        assert b.run(run_id).status == "completed"


@pytest.mark.parametrize("stop", ["pause", "hold"])
def test_a_run_that_is_stopped_stays_so(tmp_path: Path, stop: str) -> None:
    with books(tmp_path) as b:
        b.account()
        run_id = b.running(ANN, BEN)
        come_to(b, run_id, {ANN: DOUBT, BEN: DOUBT})
        getattr(b, stop)(run_id)
        status = b.run(run_id).status

        resolve(b, run_id, "resend")

        assert b.run(run_id).status == status
        assert b.lease(run_id, b.first_account()) == []


def test_nothing_is_sent_again_of_a_run_that_is_being_cancelled(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(ANN, BEN)
        first, second = b.lease(run_id, account)
        for item in (first, second):
            b.begin(item)
        b.record(first, DOUBT, begun=True)
        b.cancel(run_id)

        with pytest.raises(Conflict, match="being cancelled"):
            resolve(b, run_id, "resend")

        b.record(second, SENT, begun=True)
        assert b.finish(run_id)
        assert resolve(b, run_id, "resend") == 1
        assert [i.email for i in b.lease(run_id, account)] == [ANN]


def test_a_cancelled_run_sends_only_what_was_decided_when_it_runs_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(ANN, BEN, CLEO)
        [item] = b.lease(run_id, account, limit=1)
        b.begin(item)
        b.record(item, DOUBT, begun=True)
        b.cancel(run_id)

        resolve(b, run_id, "resend")

        assert [i.email for i in b.lease(run_id, account)] == [ANN]
        assert b.statuses(run_id) == {"leased": 1, "skipped": 2}


def test_a_doubt_after_a_resend_can_be_decided_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN, in_doubt=InDoubtRule.HOLD)

        for _ in range(3):
            resolve(b, run_id, "resend")
            come_to(b, run_id, {ANN: DOUBT})
            assert b.statuses(run_id) == {"in_doubt": 1}
            b.finish(run_id)

        assert len(decided(b, run_id)) == 3
        assert b.raw("SELECT resends FROM deliveries")[0].resends == 3


def test_a_refusal_of_the_second_try_leaves_the_first_in_doubt(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        resolve(b, run_id, "resend")

        come_to(b, run_id, {ANN: REFUSED})

        assert b.statuses(run_id) == {"in_doubt": 1}
        assert "sent again, and this time" in (b.delivery(run_id).reason or "")


def test_the_time_until_somebody_decided_does_not_count_as_trying(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        b.later(days=30)

        resolve(b, run_id, "resend")

        [again] = b.lease(run_id, b.first_account())
        assert again.first_attempt_at is None
        assert again.is_repeat


def test_it_goes_through_the_account_of_its_first_try_alone(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first, other = b.account(), b.account(name="Other")
        run_id = in_doubt(b, ANN, account_ids=(first.id, other.id))
        resolve(b, run_id, "resend")

        assert b.lease(run_id, other) == []
        assert len(b.lease(run_id, first)) == 1


def test_what_can_not_be_sent_again_says_so_and_names_the_way_out(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN, BEN)
        b.suppress(ANN)
        b.remove(1, BEN)

        with pytest.raises(Conflict, match=r"ann@example.com is suppressed.* mark-failed"):
            resolve(b, run_id, "resend", ANN)
        with pytest.raises(Conflict, match=r"ben@example.com was removed.* mark-failed"):
            resolve(b, run_id, "resend", BEN)

        assert resolve(b, run_id, "mark-failed") == 2


def test_nothing_is_sent_again_when_its_account_is_gone(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        with b.database.write(durable=False) as tx:
            account_store.delete(tx, 1, expected_version=None)

        with pytest.raises(Conflict, match=r"account .* does not exist any more.* mark-sent"):
            resolve(b, run_id, "resend")

        assert b.run(run_id).status == "completed"
        assert resolve(b, run_id, "mark-sent") == 1


def test_who_can_not_be_sent_to_again_does_not_keep_the_others_from_it(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN, BEN)
        b.suppress(ANN)

        assert resolve(b, run_id, "resend") == 1

        assert b.statuses(run_id) == {"in_doubt": 1, "queued": 1}
        assert [d.email for d in decided(b, run_id)] == [BEN]


def test_who_is_suppressed_after_the_decision_comes_back_in_doubt(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        resolve(b, run_id, "resend")
        b.suppress(ANN)

        assert b.lease(run_id, b.first_account()) == []

        assert b.delivery(run_id).status == DeliveryStatus.IN_DOUBT
        assert b.delivery(run_id).reason == "in doubt; not sent again: unsubscribed"


def test_a_resend_after_the_end_is_one_more_mail_with_the_same_message_id(tmp_path: Path) -> None:
    script = {"end": InTurn([HANG_UP], [b"250 taken\r\n"])}
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer(script) as server,
        ScriptedServer() as other,
        sending(b) as dispatcher,
    ):
        account, unused = b.account(port=server.port), b.account(name="Other", port=other.port)
        run_id = b.running(ANN, account_ids=(account.id,))
        until_finished(b, run_id)
        assert b.statuses(run_id) == {"in_doubt": 1}

        resolve(b, run_id, "resend")
        dispatcher.wake()
        until_finished(b, run_id)

        assert b.statuses(run_id) == {"sent": 1}
        assert [m.rcpt_to for m in server.messages] == [(ANN,), (ANN,)]
        assert len({message_id(m.content) for m in server.messages}) == 1
        assert other.messages == []
        assert b.delivery(run_id).account_id == account.id != unused.id


def message_id(content: bytes) -> bytes:
    found = re.search(rb"(?im)^Message-ID: *(<.*>)", content)
    assert found is not None
    return found[1]


def test_a_decision_while_the_run_is_on_its_way_is_sent_with_the_others(tmp_path: Path) -> None:
    script = {"end": InTurn([HANG_UP], [b"250 taken\r\n"])}
    with (
        books(tmp_path, SystemClock()) as b,
        ScriptedServer(script) as server,
        sending(b) as dispatcher,
    ):
        account = b.account(port=server.port, max_connections=1)
        run_id = b.running(people=3, account_ids=(account.id,))
        until(lambda: b.run(run_id).counts.in_doubt == 1)

        resolve(b, run_id, "resend")
        dispatcher.wake()
        until_finished(b, run_id)

        assert b.statuses(run_id) == {"sent": 3}
        assert len(server.messages) == 4


def test_a_cancelled_run_ends_as_cancelled_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(people=3)
        [item] = b.lease(run_id, account, limit=1)
        b.begin(item)
        b.cancel(run_id)
        b.record(item, InDoubt("gone"), begun=True)
        b.finish(run_id)

        with b.database.write(durable=True) as tx:
            doubts.resolve(tx, run_id, Action.RESEND, emails=None, before=None, by=BY, now=b.now)
        [again] = b.lease(run_id, account, limit=1)
        b.begin(again)
        b.record(again, Sent(a_reply(250)), begun=True)
        b.finish(run_id)

        run = b.run(run_id)
        assert (run.status, run.reason) == ("cancelled", "cancelled by a person")
