from datetime import timedelta

import pytest
from sqlalchemy import func, select

from accounts import store, usage
from accounts.model import HOUR
from accounts.tables import account_usage
from accounts.usage import Used
from tests.accounts.builders import KEY, some_fields
from tests.builders import NOON, a_database


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


@pytest.fixture
def account_id(tx):
    return store.create(tx, some_fields(), key=KEY, now=NOON).id


def test_an_account_that_sent_nothing_has_used_nothing(tx, account_id):
    assert usage.used(tx, account_id, NOON) == Used(hour=0, day=0)


def test_what_is_counted_in_one_minute_adds_up(tx, account_id):
    usage.count(tx, account_id, 3, NOON)
    usage.count(tx, account_id, 3, NOON + timedelta(seconds=59))

    assert usage.used(tx, account_id, NOON + timedelta(minutes=1)) == Used(hour=6, day=6)
    assert tx.execute(select(func.count()).select_from(account_usage)).scalar_one() == 1


def test_each_account_has_its_own_count(tx, account_id):
    other_id = store.create(tx, some_fields(), key=KEY, now=NOON).id
    usage.count(tx, account_id, 3, NOON)

    assert usage.used(tx, other_id, NOON) == Used(hour=0, day=0)


@pytest.mark.parametrize("second", [0, 1, 30, 59.999])
def test_what_was_sent_less_than_an_hour_ago_is_always_in_the_hour(tx, account_id, second):
    usage.count(tx, account_id, 1, NOON + timedelta(seconds=second))

    an_hour_later = NOON + timedelta(minutes=60, seconds=second)

    assert usage.used(tx, account_id, an_hour_later).hour == 1
    assert usage.used(tx, account_id, an_hour_later + timedelta(minutes=1)) == Used(hour=0, day=1)


def test_what_was_sent_less_than_a_day_ago_is_always_in_the_day(tx, account_id):
    usage.count(tx, account_id, 1, NOON + timedelta(seconds=59))

    a_day_later = NOON + timedelta(days=1, seconds=59)

    assert usage.used(tx, account_id, a_day_later) == Used(hour=0, day=1)
    assert usage.used(tx, account_id, a_day_later + timedelta(minutes=1)) == Used(hour=0, day=0)


def test_after_a_step_back_of_the_clock_nothing_is_forgotten(tx, account_id):
    usage.count(tx, account_id, 5, NOON)

    assert usage.used(tx, account_id, NOON - timedelta(hours=3)) == Used(hour=5, day=5)


def test_minutes_that_no_limit_looks_at_are_dropped(tx, account_id):
    for hours in (0, 3, 47, 49, 50):
        usage.count(tx, account_id, 1, NOON + timedelta(hours=hours))

    minutes = tx.execute(select(account_usage.c.minute).order_by(account_usage.c.minute)).scalars()

    assert list(minutes) == [NOON + timedelta(hours=h) for h in (3, 47, 49, 50)]


def test_the_use_of_many_accounts_is_looked_up_at_once(tx, account_id):
    other_id = store.create(tx, some_fields(), key=KEY, now=NOON).id
    usage.count(tx, account_id, 3, NOON)
    usage.count(tx, account_id, 4, NOON - timedelta(hours=2))

    found = usage.used_by_each(tx, [account_id, other_id], NOON)

    assert found == {account_id: Used(hour=3, day=7), other_id: Used(hour=0, day=0)}


def test_a_limit_that_is_reached_makes_room_when_its_oldest_minute_leaves(tx, account_id):
    usage.count(tx, account_id, 3, NOON - timedelta(minutes=30))
    usage.count(tx, account_id, 4, NOON - timedelta(minutes=10))

    def room_at(limit):
        return usage.room_at(tx, account_id, limit=limit, within=HOUR, now=NOON)

    assert room_at(8) is None
    assert room_at(7) == NOON + timedelta(minutes=31)
    assert room_at(4) == NOON + timedelta(minutes=51)
    assert usage.used(tx, account_id, room_at(7)).hour == 4
    assert usage.used(tx, account_id, room_at(7) - timedelta(seconds=1)).hour == 7
