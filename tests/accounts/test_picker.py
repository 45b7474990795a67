from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.model import State
from accounts.picker import Bucket, Usable, WaitUntil, pick, remaining
from tests.accounts.builders import an_account
from tests.builders import NOON

SECOND = timedelta(seconds=1)


def a_usable(account_id: int = 1, **changes: Any) -> Usable:
    fields: dict[str, Any] = {
        "account_id": account_id,
        "free_connections": 1,
        "remaining": None,
        "rest_until": None,
        "state": State.OK,
    }
    return Usable(**(fields | changes))


def test_an_account_without_limits_has_no_limit():
    assert remaining(an_account(), 10**6, 10**6, 500) is None


@pytest.mark.parametrize(
    ("per_hour", "per_day", "outstanding", "left"),
    [
        (100, None, 0, 60),
        (100, None, 25, 35),
        (None, 500, 0, 200),
        (100, 500, 0, 60),
        (1000, 310, 5, 5),
        (40, None, 1, 0),
        (10, 10, 10, 0),
    ],
)
def test_the_tighter_limit_counts_and_what_is_outstanding_too(per_hour, per_day, outstanding, left):
    account = an_account(limit_per_hour=per_hour, limit_per_day=per_day)

    assert remaining(account, 40, 300, outstanding) == left


def test_the_account_with_the_greatest_free_budget_is_picked():
    small, large = a_usable(1, remaining=10), a_usable(2, remaining=20)

    assert pick([small, large], NOON) == 2
    assert pick([large, small, a_usable(3)], NOON) == 3


def test_of_equal_budgets_more_free_connections_win_and_then_the_older_account():
    assert pick([a_usable(1), a_usable(2, free_connections=3)], NOON) == 2
    assert pick([a_usable(2), a_usable(1)], NOON) == 1


def test_an_account_that_rests_is_passed_over_until_its_rest_ends():
    until = NOON + 4 * SECOND
    resting = a_usable(1, state=State.FAILING, rest_until=until)

    assert pick([resting, a_usable(2, remaining=1)], NOON) == 2
    assert pick([resting], NOON) == WaitUntil(at=until)
    assert pick([resting], until) == 1


def test_a_used_up_limit_is_looked_at_again_with_the_next_minute():
    now = NOON + timedelta(seconds=20, microseconds=5)

    assert pick([a_usable(remaining=0)], now) == WaitUntil(at=NOON + timedelta(minutes=1))


def test_the_earliest_of_several_waits_counts():
    soon, late = (NOON + n * SECOND for n in (2, 9))
    resting = [a_usable(1, rest_until=late), a_usable(2, rest_until=soon)]

    assert pick(resting, NOON) == WaitUntil(at=soon)


def test_paused_and_busy_accounts_are_nothing_to_wait_for():
    paused = a_usable(1, state=State.PAUSED, rest_until=NOON + SECOND)
    busy = a_usable(2, free_connections=0)

    assert pick([], NOON) is None
    assert pick([paused, busy], NOON) is None


def test_a_bucket_gives_one_seconds_worth_at_once_and_then_keeps_the_rate():
    bucket = Bucket(rate=2)

    waits = []
    for _ in range(5):
        bucket, wait = bucket.take(timedelta(hours=5))
        waits.append(wait.total_seconds())

    assert waits == [0, 0, 0.5, 1.0, 1.5]


def test_a_rate_below_one_a_second_gives_one_at_a_time():
    bucket, first = Bucket(rate=0.1).take(timedelta(hours=5))
    bucket, second = bucket.take(timedelta(hours=5))

    assert (first, second) == (timedelta(0), timedelta(seconds=10))


def test_a_quiet_time_fills_the_bucket_no_further_than_its_burst():
    bucket, _ = Bucket(rate=3).take(timedelta(hours=5))

    waits = []
    for _ in range(4):
        bucket, wait = bucket.take(timedelta(hours=9))
        waits.append(wait > timedelta(0))

    assert waits == [False, False, False, True]


rates = st.floats(min_value=0.00001, max_value=100_000, allow_nan=False)
pauses = st.lists(
    st.one_of(
        st.just(timedelta(0)),
        st.timedeltas(timedelta(0), timedelta(milliseconds=5)),
        st.timedeltas(timedelta(0), timedelta(seconds=90)),
    ),
    min_size=1,
    max_size=60,
)


def departures(rate: float, pauses: list[timedelta]) -> tuple[Bucket, list[timedelta]]:
    bucket, now, leaving = Bucket(rate=rate), timedelta(days=3), []
    for pause in pauses:
        now += pause
        bucket, wait = bucket.take(now)
        leaving.append(now + wait)
    return bucket, leaving


@given(rate=rates, pauses=pauses)
def test_in_no_stretch_of_time_more_than_rate_and_burst_allow(rate, pauses):
    bucket, leaving = departures(rate, pauses)

    microsecond = timedelta(microseconds=1)
    for first, start in enumerate(leaving):
        for last in range(first, len(leaving)):
            seconds = Fraction((leaving[last] - start) // microsecond, 1_000_000)
            messages = last - first + 1
            # The last digit of a float's division is all that is granted.
            assert messages <= Fraction(rate) * seconds * (1 + Fraction(1, 10**12)) + bucket.burst


@given(rate=rates, pauses=pauses)
def test_messages_leave_in_the_order_of_their_places(rate, pauses):
    _, leaving = departures(rate, pauses)

    assert leaving == sorted(leaving)


@given(rate=st.floats(min_value=0.1, max_value=1000), n=st.integers(min_value=2, max_value=200))
def test_who_always_asks_gets_the_whole_rate(rate, n):
    bucket, leaving = departures(rate, [timedelta(0)] * n)

    seconds = (leaving[-1] - leaving[0]).total_seconds()
    assert n >= rate * seconds * 0.999 + bucket.burst or n <= bucket.burst
