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


def test_after_a_while_nobody_remembers(tx):
    fail(tx)
    later = NOON + tries.WITHIN

    fail(tx, now=later)

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
