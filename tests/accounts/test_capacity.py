"""How long messages take through accounts: the numbers that people are told."""

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.capacity import Capacity, Window, capacity_of, seconds_for
from accounts.model import Allowance, Minutes, State
from tests.builders import NOON

HOUR = 61 * 60.0  # a minute that has begun counts until it lies wholly outside
DAY = 24 * 3600.0 + 60


def an_account(per_second=None, *, hour=None, day=None, rests=0.0) -> Capacity:
    windows = [(hour, HOUR), (day, DAY)]
    return Capacity(
        per_second=per_second,
        windows=tuple(Window(limit=limit, seconds=s) for limit, s in windows if limit),
        rests_seconds=rests,
    )


@pytest.mark.parametrize(
    ("messages", "accounts", "seconds"),
    [
        (100, [an_account(10)], 10),
        (0, [an_account(10)], 0),
        (100, [an_account(10, rests=60)], 70),
        (100, [an_account(10), an_account(30)], 2.5),
        (100, [an_account(10, rests=600), an_account(10)], 10),
        (100, [an_account(10, hour=1000)], 10),
        (100, [an_account(10, hour=80)], HOUR + 2),
        (250, [an_account(10, hour=80)], 3 * HOUR + 1),
        (250, [an_account(10, hour=100, day=1000)], 2 * HOUR + 5),
        (250, [an_account(10, hour=100, day=200)], DAY + 5),
        (7200, [an_account(1, hour=7200)], 7200),
        (160, [an_account(10, hour=80), an_account(10, hour=80)], 8),
        (161, [an_account(10, hour=80), an_account(1)], 81),
        (200, [an_account(None, hour=100)], HOUR),
        (1_000_000, [an_account(5, day=1)], 999_999 * DAY),
        (3, [an_account(0.00001)], 300_000),
    ],
)
def test_messages_take_as_long_as_rates_and_limits_make_them(messages, accounts, seconds):
    assert seconds_for(messages, accounts) == pytest.approx(seconds, rel=1e-5, abs=0.3)


@pytest.mark.parametrize(
    "accounts",
    [
        [],
        [an_account()],
        [an_account(10), an_account()],
        [an_account(None, hour=1000)],
        [an_account(10), an_account(None, hour=1000)],
    ],
)
def test_where_there_is_nothing_to_go_by_nothing_is_said(accounts):
    assert seconds_for(500, accounts) is None


@pytest.mark.parametrize(
    ("used", "messages", "seconds"),
    [
        ([], 40, 4),
        ([(30, 100)], 40, 31 * 60),  # all used up half an hour ago
        ([(30, 60)], 40, 4),
        ([(30, 60)], 41, 31 * 60),
        ([(50, 60), (30, 40)], 40, 11 * 60),
        ([(50, 60), (30, 40)], 61, 31 * 60),
        ([(61, 100)], 40, 4),
        ([(30, 500)], 40, 31 * 60),  # the limit was lowered
    ],
)
def test_what_an_account_has_used_of_its_limit_makes_it_wait(used, messages, seconds):
    minutes: Minutes = [(NOON - timedelta(minutes=ago), n) for ago, n in used]
    account = capacity_of(allowance(limit_per_hour=100), minutes, per_second=10, now=NOON)

    assert seconds_for(messages, [account]) == pytest.approx(seconds, rel=1e-5, abs=0.3)


def test_an_account_that_rests_sends_when_its_rest_is_over():
    resting = allowance(rest_until=NOON + timedelta(minutes=5))
    account = capacity_of(resting, [], per_second=10, now=NOON)

    assert seconds_for(10, [account]) == pytest.approx(301, abs=0.1)


def allowance(**changes) -> Allowance:
    fields = {
        "id": 1,
        "name": "Main",
        "state": State.OK,
        "state_reason": None,
        "rest_until": None,
        "rate_per_second": None,
        "limit_per_hour": None,
        "limit_per_day": None,
    }
    return Allowance(**(fields | changes))


capacities = st.lists(
    st.builds(
        an_account,
        st.floats(min_value=0.01, max_value=1000),
        hour=st.none() | st.integers(1, 5000),
        day=st.none() | st.integers(1, 50_000),
        rests=st.floats(0, 900),
    ),
    min_size=1,
    max_size=3,
)


@given(capacities, st.integers(1, 100_000), st.integers(1, 100_000))
def test_more_messages_never_take_less_time(accounts, messages, more):
    sooner, later = seconds_for(messages, accounts), seconds_for(messages + more, accounts)

    assert sooner is not None
    assert later is not None
    assert sooner <= later * (1 + 1e-5) + 0.2


@given(st.floats(0.05, 50), st.integers(1, 300), st.integers(1, 2000), st.integers(1, 3000))
def test_it_is_what_keeping_to_the_limits_one_by_one_comes_to(rate, hour, day, messages):
    """The reference: each goes at its pace, and not before the one a whole limit earlier has left the window."""
    times: list[float] = []
    for n in range(messages):
        at = times[-1] + 1 / rate if times else 1 / rate
        for limit, counts in ((hour, HOUR), (day, DAY)):
            at = max(at, times[n - limit] + counts if n >= limit else 0.0)
        times.append(at)

    told = seconds_for(messages, [an_account(rate, hour=hour, day=day)])

    assert told is not None
    # What can't go while a limit is in the way goes at the pace afterwards: one limit's worth at most.
    assert math.isclose(told, times[-1], rel_tol=1e-3, abs_tol=min(hour, day) / rate + 1)
