"""How long runs will take, and what they wait for, as people are told it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts import store as account_store
from accounts import usage
from accounts.model import Account
from delivery import outlook
from delivery.outcome import Sent
from delivery.outlook import NOTHING, Outlook
from tests.delivery.builders import Books, a_reply, books, statements_of

SENT = Sent(a_reply(250))


def outlook_of(b: Books, run_id: int) -> Outlook:
    with b.database.read() as tx:
        return outlook.outlooks(tx, b.now).get(run_id, NOTHING)


def expected(b: Books, messages: int, *account_ids: int, at: datetime) -> float | None:
    with b.database.read() as tx:
        return outlook.expected_seconds(tx, messages, account_ids, at=at, now=b.now)


def send(b: Books, run_id: int, account: Account, *, messages: int) -> None:
    items = b.lease(run_id, account, limit=messages)
    assert len(items) == messages
    for item in items:
        assert b.begin(item)
        b.record(item, SENT, begun=True)
    use(b, account, messages)


def use(b: Books, account: Account, messages: int) -> None:
    with b.database.write(durable=False) as tx:
        usage.count(tx, account.id, messages, b.now)


def a_run(b: Books, *accounts: Account, people: int = 100) -> int:
    number = len(b.raw("SELECT id FROM runs"))
    emails = (f"p{i}.{number}@example.com" for i in range(people))
    return b.running(*emails, account_ids=tuple(a.id for a in accounts))


@pytest.mark.parametrize(
    ("accounts", "seconds"),
    [
        ([{"rate_per_second": 5}], 20),
        ([{"rate_per_second": 5}, {"rate_per_second": 15}], 5),
        ([{"rate_per_second": 5, "limit_per_hour": 60}], 61 * 60 + 8),
        ([{"rate_per_second": 50, "limit_per_day": 10}], 9 * 1441 * 60),
    ],
)
def test_a_run_takes_as_long_as_its_accounts_make_it(
    tmp_path: Path, accounts: list[dict[str, Any]], seconds: float
) -> None:
    with books(tmp_path) as b:
        run_id = a_run(b, *(b.account(**fields) for fields in accounts))

        assert outlook_of(b, run_id).eta_seconds == pytest.approx(seconds, rel=1e-3)


def test_of_an_account_that_has_no_limits_and_never_sent_nobody_knows(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        known, unknown = b.account(rate_per_second=5), b.account()
        run_id = a_run(b, known, unknown)

        assert outlook_of(b, run_id) == NOTHING
        assert expected(b, 100, known.id, unknown.id, at=b.now) is None


def test_an_account_without_limits_goes_on_as_it_has_begun(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = a_run(b, account)
        b.later(seconds=8)
        send(b, run_id, account, messages=40)

        assert outlook_of(b, run_id).eta_seconds == pytest.approx(12, abs=0.1)


def test_a_pause_does_not_make_a_run_slower(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = a_run(b, account)
        b.later(minutes=1)
        send(b, run_id, account, messages=40)
        b.later(minutes=1)
        b.pause(run_id)
        paused = outlook_of(b, run_id)
        b.later(minutes=30)
        b.resume(run_id)

        assert paused == NOTHING
        assert outlook_of(b, run_id).eta_seconds == pytest.approx(90, abs=0.1)


def test_a_server_that_is_slower_than_the_account_s_rate_is_believed(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(rate_per_second=100)
        run_id = a_run(b, account)
        b.later(minutes=1)
        send(b, run_id, account, messages=40)
        b.later(minutes=1)

        assert outlook_of(b, run_id).eta_seconds == pytest.approx(90, abs=0.1)


def test_before_it_has_sent_anything_a_run_is_as_fast_as_the_last_one(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        first = a_run(b, account)
        b.later(seconds=20)
        send(b, first, account, messages=100)
        b.finish(first)
        b.later(days=3)
        run_id = a_run(b, account, people=50)

        assert outlook_of(b, run_id).eta_seconds == pytest.approx(10, abs=0.1)
        assert expected(b, 200, account.id, at=b.now) == pytest.approx(40, abs=0.1)


def test_runs_that_share_an_account_wait_for_each_other(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(rate_per_second=10)
        small, large = a_run(b, account, people=50), a_run(b, account, people=300)
        elsewhere = a_run(b, b.account(rate_per_second=10), people=100)

        assert outlook_of(b, small).eta_seconds == pytest.approx(10, abs=0.1)
        assert outlook_of(b, large).eta_seconds == pytest.approx(35, abs=0.1)
        assert outlook_of(b, elsewhere).eta_seconds == pytest.approx(10, abs=0.1)


def test_a_preview_is_made_for_its_time_and_not_for_now(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(rate_per_second=10, limit_per_hour=100)
        use(b, account, 100)
        rest(b, account)

        now = expected(b, 50, account.id, at=b.now)
        tomorrow = expected(b, 50, account.id, at=b.now + timedelta(days=1))

        assert now == pytest.approx(61 * 60, rel=1e-3)
        assert tomorrow == pytest.approx(5, abs=0.1)


def test_a_run_says_which_limit_is_used_up_and_until_when(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(limit_per_hour=10, limit_per_day=1000)
        run_id = a_run(b, account)
        before = outlook_of(b, run_id).waits_for
        use(b, account, 10)
        b.later(minutes=5)

        assert before is None
        assert outlook_of(b, run_id).waits_for == (
            "the hour limit of account Main is used up until 10:01 Europe/Berlin"
        )
        b.later(minutes=56)
        assert outlook_of(b, run_id).waits_for is None


def test_of_two_limits_the_one_that_lasts_is_told_with_its_day(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(limit_per_hour=10, limit_per_day=10)
        run_id = a_run(b, account)
        use(b, account, 10)

        assert outlook_of(b, run_id).waits_for == (
            "the day limit of account Main is used up until Tue 3 Mar 09:01 Europe/Berlin"
        )


def test_while_one_account_can_send_a_run_waits_for_nothing(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        used_up, resting = b.account(name="A", limit_per_hour=10), b.account(name="B")
        able = b.account(name="C")
        waits, goes_on = a_run(b, used_up, resting), a_run(b, used_up, resting, able)
        use(b, used_up, 10)
        rest(b, resting)

        assert outlook_of(b, goes_on).waits_for is None
        assert outlook_of(b, waits).waits_for == (
            "waits for its account: B is failing (connect: refused);"
            " the hour limit of account A is used up until 10:01 Europe/Berlin"
        )


def test_a_run_whose_accounts_are_all_paused_ends_nobody_knows_when(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(rate_per_second=10)
        run_id = a_run(b, account)
        with b.database.write(durable=True) as tx:
            account_store.pause(tx, account.id, "auth: 535 no")

        assert outlook_of(b, run_id) == Outlook(
            eta_seconds=None, waits_for="waits for its account: Main is paused (auth: 535 no)"
        )


def test_many_runs_are_looked_at_in_as_many_statements_as_one(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account(limit_per_hour=10)
        last = a_run(b, account, people=1)
        statements = statements_of(b)
        outlook_of(b, last)
        of_one = len(statements)
        for _ in range(5):
            last = a_run(b, account, people=1)
        statements.clear()
        outlook_of(b, last)

        assert len(statements) == of_one


def rest(b: Books, account: Account) -> None:
    with b.database.write(durable=True) as tx:
        account_store.rest(tx, account.id, "connect: refused", b.now + timedelta(minutes=10))
