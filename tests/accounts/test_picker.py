from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.picker import Bucket, remaining
from tests.accounts.builders import an_account

SECOND = timedelta(seconds=1)


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


def test_changes_of_the_rate_let_no_second_burst_through():
    bucket, now, waits = Bucket(rate=10), timedelta(hours=5), []
    for rate in (10, 11, 10, 12, 10):
        bucket = bucket.at_rate(rate, now)
        for _ in range(10):
            bucket, wait = bucket.take(now)
            waits.append(wait)

    assert waits.count(timedelta(0)) <= 12


@pytest.mark.parametrize(("old", "new"), [(1, 100), (100, 1), (0.001, 50), (50, 0.5), (3, 3)])
def test_after_a_change_the_new_rate_holds(old, new):
    now = timedelta(hours=5)
    bucket, _ = Bucket(rate=old).take(now)
    bucket = bucket.at_rate(new, now)
    leaving = []
    for _ in range(200):
        bucket, wait = bucket.take(now)
        leaving.append(wait.total_seconds())

    assert leaving[-1] == pytest.approx((200 - Bucket(rate=new).burst) / new, rel=0.02, abs=1)


@given(rate=rates, other=rates, pauses=pauses)
def test_no_change_of_the_rate_gives_more_than_the_faster_one(rate, other, pauses):
    bucket, leaving = departures(rate, pauses)
    now = leaving[-1]
    bucket = bucket.at_rate(other, now)
    for pause in pauses:
        now += pause
        bucket, wait = bucket.take(now)
        leaving.append(now + wait)

    faster = Bucket(rate=max(rate, other))
    ordered = sorted(leaving)
    for first, start in enumerate(ordered):
        messages = len(ordered) - first
        seconds = (ordered[-1] - start).total_seconds()
        assert messages <= faster.rate * seconds * 1.000001 + faster.burst + 1


@given(rate=st.floats(min_value=0.1, max_value=1000), n=st.integers(min_value=2, max_value=200))
def test_who_always_asks_gets_the_whole_rate(rate, n):
    bucket, leaving = departures(rate, [timedelta(0)] * n)

    seconds = (leaving[-1] - leaving[0]).total_seconds()
    assert n >= rate * seconds * 0.999 + bucket.burst or n <= bucket.burst
