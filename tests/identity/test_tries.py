from datetime import timedelta

import pytest
from sqlalchemy import func, select

from foundation.errors import TooMany
from identity import tries
from identity.tables import sign_in_tries
from storage.sealed import SecretKey
from tests.builders import NOON, a_database

KEY = SecretKey(b"a key of the tests")
ANN = tries.of_address(KEY, "ann@example.com")
SECOND = timedelta(seconds=1)


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


def fail(tx, who=ANN, *, times=tries.MOST, now=NOON):
    for _ in range(times):
        tries.begin(tx, who, now)


def must_wait(tx, who=ANN, *, now=NOON):
    with pytest.raises(TooMany) as caught:
        tries.begin(tx, who, now)
    return caught.value.extra["wait_seconds"]


def test_after_five_tries_the_next_one_has_to_wait(tx):
    fail(tx)

    assert must_wait(tx) == 30
    assert must_wait(tx, now=NOON + 29.5 * SECOND) == 1


def test_a_try_while_waiting_makes_the_wait_no_longer(tx):
    fail(tx)
    must_wait(tx, now=NOON + 20 * SECOND)

    tries.begin(tx, ANN, NOON + 30 * SECOND)


def test_after_the_wait_there_is_one_try_then_the_next_wait(tx):
    fail(tx)
    later = NOON + tries.WAIT

    tries.begin(tx, ANN, later)

    assert must_wait(tx, now=later + SECOND) == 29


def test_after_a_while_nobody_has_to_wait(tx):
    fail(tx)

    fail(tx, now=NOON + tries.WITHIN)


def test_after_a_day_nobody_remembers(tx):
    fail(tx)

    fail(tx, now=NOON + timedelta(days=1))

    assert tx.execute(select(func.count()).select_from(sign_in_tries)).scalar_one() == tries.MOST


def test_who_got_in_begins_anew(tx):
    fail(tx)

    tries.forget(tx, ANN)

    fail(tx)


def test_addresses_are_counted_apart_and_two_spellings_of_one_together(tx):
    fail(tx)

    fail(tx, tries.of_address(KEY, "bob@example.com"))
    assert must_wait(tx, tries.of_address(KEY, " Ann@EXAMPLE.com ")) == 30


def test_twenty_tries_of_strangers_make_every_stranger_wait(tx):
    for number in range(20):
        fail(tx, tries.of_address(KEY, f"{number}@example.com"), times=1)

    assert must_wait(tx) == 30
    tries.begin(tx, ANN, NOON + tries.WAIT)


def test_whoever_was_in_with_this_browser_before_does_not_wait_for_strangers(tx):
    fail(tx)
    known = tries.of_browser(KEY, "the browser of Ann")

    fail(tx, known)

    assert must_wait(tx, known) == 30
    tries.begin(tx, tries.of_browser(KEY, "another one of hers"), NOON)


def test_a_clock_that_is_set_back_makes_nobody_wait_for_long(tx):
    fail(tx)

    tries.begin(tx, ANN, NOON - timedelta(hours=1))


def test_what_was_typed_is_not_kept(tx):
    fail(tx, times=1)
    fail(tx, tries.of_address(KEY, "the password, in the wrong field"), times=1)

    kept = str(tx.execute(select(sign_in_tries)).all())

    assert "ann" not in kept
    assert "password" not in kept


@pytest.mark.parametrize("who", [tries.of_codes(KEY, 1, None), tries.of_user(KEY, 1)])
def test_codes_are_tried_some_dozens_of_times_a_day_at_most(tx, who):
    now = NOON
    for _ in range(tries.MOST_CODES_A_DAY):
        tries.begin(tx, who, now)
        now += tries.WITHIN

    wait = must_wait(tx, who, now=now)

    assert wait == (tries.LONG_WAIT - tries.WITHIN).total_seconds()
    tries.begin(tx, who, now + tries.LONG_WAIT)


def test_a_right_password_makes_nobody_forget_the_wrong_codes(tx):
    codes = tries.of_codes(KEY, 1, None)
    fail(tx, codes)

    tries.forget(tx, tries.of_user(KEY, 1))
    tries.forget(tx, ANN)

    assert must_wait(tx, codes) == 30


def test_strangers_do_not_keep_who_tries_codes_waiting_nor_the_other_way_round(tx):
    for number in range(20):
        fail(tx, tries.of_codes(KEY, number, None))

    tries.begin(tx, ANN, NOON)
    fail(tx, tries.of_codes(KEY, 99, "the browser of Ann"))


def test_links_are_tried_twenty_times_from_an_address(tx):
    who = tries.of_links(KEY, "192.0.2.1")
    fail(tx, who, times=20)

    assert must_wait(tx, who) == 30
    tries.refuse_too_many(tx, tries.of_links(KEY, "192.0.2.2"), NOON)


def test_a_wait_is_told_as_people_do():
    assert [tries.in_words(seconds) for seconds in (30, 90, 3600)] == ["30 s", "90 s", "60 min"]
