"""One more run for those whom a run has not reached: nobody who has it, or may have it, gets it again."""

from datetime import timedelta
from pathlib import Path

import pytest

from accounts import store as account_store
from delivery import reads, slots
from delivery.model import Origin, RunStatus
from foundation.clock import SystemClock
from foundation.errors import Conflict, NotFound
from tests.delivery.builders import BY, books, receivers, sending, until_finished
from tests.delivery.decided import (
    DOUBT,
    REFUSED,
    SENT,
    come_to,
    count_missing,
    decided,
    ended,
    in_doubt,
    resolve,
    send_missing,
)
from tests.mail.scripted_server import InTurn, ScriptedServer

ANN, BEN, CLEO, DORA = "ann@example.com", "ben@example.com", "cleo@example.com", "dora@example.com"


def test_it_is_for_the_failed_alone_and_of_the_same_content(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: REFUSED, CLEO: DOUBT, DORA: REFUSED})
        b.suppress("eve@example.com")
        b.later(hours=1)

        assert count_missing(b, run_id) == 2
        new, old = send_missing(b, run_id), b.run(run_id)

        assert [(d.email, d.status, d.attempts) for d in b.deliveries(new.id)] == [
            (BEN, "queued", 0),
            (DORA, "queued", 0),
        ]
        assert (new.origin, new.made_from, new.slot) == (Origin.SEND_MISSING, run_id, b.now)
        assert (new.content, new.content_sha256) == (old.content, old.content_sha256)
        assert (new.schedule_id, new.zone, new.status) == (old.schedule_id, old.zone, "claimed")
        assert b.statuses(new.id) == {"queued": 2}


def test_it_is_started_and_sent_like_every_run(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        new = send_missing(b, ended(b, {ANN: SENT, BEN: REFUSED}))

        assert b.start(new.id)
        come_to(b, new.id, {BEN: SENT})

        assert b.finish(new.id)
        assert b.run(new.id).status == RunStatus.COMPLETED


def test_whom_a_cancel_has_kept_it_from_is_missing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(ANN, BEN, CLEO)
        first, *_ = b.lease(run_id, account, limit=1)
        b.begin(first)
        b.record(first, SENT, begun=True)
        b.suppress(CLEO)
        b.cancel(run_id)

        assert count_missing(b, run_id) == 1
        new = send_missing(b, run_id)

        assert b.delivery(new.id, BEN).status == "queued"
        assert (b.delivery(new.id, CLEO).status, b.delivery(new.id, CLEO).reason) == (
            "skipped",
            "unsubscribed",
        )
        assert b.statuses(new.id) == {"queued": 1, "skipped": 1}


def test_who_was_skipped_for_another_reason_is_not_missing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.account()
        b.suppress(ANN)
        run_id = b.running(ANN, BEN)
        come_to(b, run_id, {BEN: SENT})
        b.finish(run_id)

        assert count_missing(b, run_id) == 0


def test_who_was_sent_it_by_a_run_made_from_the_same_is_not_sent_it_again(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: REFUSED, BEN: REFUSED, CLEO: REFUSED})
        second = send_missing(b, run_id)
        b.start(second.id)
        come_to(b, second.id, {ANN: SENT, BEN: DOUBT, CLEO: REFUSED})
        b.finish(second.id)

        third = send_missing(b, run_id)

        assert [d.email for d in b.deliveries(third.id)] == [CLEO]
        b.start(third.id)
        come_to(b, third.id, {CLEO: SENT})
        b.finish(third.id)
        for missed in (run_id, second.id, third.id):
            assert count_missing(b, missed) == 0


def test_a_run_made_from_one_that_was_made_looks_at_the_whole_family(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        first = ended(b, {ANN: REFUSED, BEN: REFUSED})
        second = send_missing(b, first).id
        b.start(second)
        come_to(b, second, {ANN: REFUSED, BEN: REFUSED})
        b.finish(second)
        third = send_missing(b, second)
        b.start(third.id)
        come_to(b, third.id, {ANN: SENT, BEN: REFUSED})
        b.finish(third.id)

        fourth = send_missing(b, first)

        assert third.made_from == second
        assert [d.email for d in b.deliveries(fourth.id)] == [BEN]


def test_nobody_whose_doubt_was_sent_again_is_missing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: DOUBT, BEN: REFUSED})
        resolve(b, run_id, "resend", ANN)
        with pytest.raises(Conflict):
            send_missing(b, run_id)
        come_to(b, run_id, {ANN: DOUBT})
        b.finish(run_id)

        new = send_missing(b, run_id)

        assert [d.email for d in b.deliveries(new.id)] == [BEN]


def test_a_doubt_that_was_marked_as_failed_is_missing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = in_doubt(b, ANN)
        assert count_missing(b, run_id) == 0

        resolve(b, run_id, "mark-failed")

        assert [d.email for d in b.deliveries(send_missing(b, run_id).id)] == [ANN]


def test_it_waits_for_the_end_of_every_run_of_the_family(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.account()
        on_its_way = b.running(ANN)
        with pytest.raises(Conflict) as refused:
            send_missing(b, on_its_way)
        assert refused.value.extra == {"run_id": on_its_way}
        come_to(b, on_its_way, {ANN: REFUSED})
        b.finish(on_its_way)
        new = send_missing(b, on_its_way)

        with pytest.raises(Conflict, match="is not finished") as refused:
            send_missing(b, on_its_way)

        assert refused.value.extra == {"run_id": new.id}
        b.cancel(new.id)
        assert [d.email for d in b.deliveries(send_missing(b, new.id).id)] == [ANN]


def test_where_nobody_is_missing_there_is_nothing_to_send(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: SENT, BEN: REFUSED})
        b.suppress(BEN)

        with pytest.raises(Conflict, match="Nobody is missing") as refused:
            send_missing(b, run_id)

        assert refused.value.extra == {"run_id": run_id}
        with pytest.raises(NotFound):
            send_missing(b, 99)
        with pytest.raises(NotFound):
            count_missing(b, 99)


def test_where_no_account_is_left_it_says_so(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: REFUSED})
        with b.database.write(durable=False) as tx:
            account_store.delete(tx, 1, expected_version=None)

        with pytest.raises(Conflict, match="None of the accounts"):
            send_missing(b, run_id)


def test_the_same_key_is_the_same_run_for_a_day(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: REFUSED})
        first = send_missing(b, run_id, request_key="k")
        b.start(first.id)
        come_to(b, first.id, {ANN: REFUSED})
        b.finish(first.id)

        again = send_missing(b, run_id, request_key="k")
        b.later(hours=25)
        later = send_missing(b, run_id, request_key="k")

        assert again.id == first.id
        assert later.id != first.id


def test_it_is_no_turn_of_its_schedule(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: REFUSED})
        with b.database.write(durable=False) as tx:
            slots.begin(tx, 1, b.now)
            slots.mark_told(tx, [1])
        claimed_at = b.now
        b.later(hours=1)

        new = send_missing(b, run_id)

        with b.database.read() as tx:
            past = reads.pasts(tx, [1])[1]
            standing = slots.standings(tx, [1], b.now)[1]
            assert slots.behind(tx) == {1}
            assert reads.schedules_on_their_way(tx) == {1: {RunStatus.CLAIMED}}
        assert (past.total_runs, past.last_run, past.last_status) == (1, claimed_at, "failed")
        assert standing.claimed == 0
        assert new.claimed_at == claimed_at + timedelta(hours=1)


def test_both_runs_say_who_decided_it(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id = ended(b, {ANN: REFUSED, BEN: REFUSED})

        new = send_missing(b, run_id)

        assert [(d.action, d.by, d.detail) for d in decided(b, run_id)] == [
            ("send-missing", BY, f"2 people, as run {new.id}")
        ]
        assert [(d.action, d.by, d.detail) for d in decided(b, new.id)] == [
            ("send-missing", BY, f"the missing of run {run_id}")
        ]


def test_the_missing_get_one_mail_and_the_others_no_second(tmp_path: Path) -> None:
    refused_once = {"RCPT": InTurn([b"550 5.1.1 no\r\n"], [b"250 yes\r\n"])}
    with books(tmp_path, SystemClock()) as b, ScriptedServer(refused_once) as server:
        account = b.account(port=server.port, max_connections=1)
        run_id = b.running(people=3, account_ids=(account.id,))
        with sending(b) as dispatcher:
            until_finished(b, run_id)
            assert b.statuses(run_id) == {"sent": 2, "failed": 1}

            new = send_missing(b, run_id)
            dispatcher.wake()
            until_finished(b, new.id)

        assert b.statuses(new.id) == {"sent": 1}
        assert receivers(server.messages) == {f"p{i}@example.com": 1 for i in range(3)}
