from datetime import timedelta

import pytest

from identity import sessions, users
from identity.model import Role
from identity.sessions import Place
from tests.builders import NOON, a_database

PASSWORD = "correct horse battery"
MINUTE = timedelta(minutes=1)
HERE = Place(address="192.0.2.1", agent="Firefox")
THERE = Place(address="198.51.100.7", agent=None)


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


@pytest.fixture
def anna(tx):
    users.create(tx, "first@example.com", PASSWORD, Role.ADMIN, NOON)
    return users.create(tx, "anna@example.com", PASSWORD, Role.EDITOR, NOON)


def begin(tx, user, now=NOON, place=HERE):
    return sessions.begin(tx, user, now, place=place)


def test_who_has_the_secret_is_the_user(tx, anna):
    secret = begin(tx, anna)

    found = sessions.authenticate(tx, secret, NOON)

    assert found.user_id == anna.id
    assert found.principal.name == f"user:{anna.id}"
    assert found.principal.role == Role.EDITOR
    assert sessions.authenticate(tx, "another", NOON) is None


def test_a_session_that_is_used_goes_on_and_one_that_is_not_ends(tx, anna):
    secret = begin(tx, anna)
    nearly = NOON + sessions.IDLE - MINUTE

    sessions.touch(tx, sessions.authenticate(tx, secret, nearly), nearly, place=HERE)

    assert sessions.authenticate(tx, secret, NOON + sessions.IDLE) is not None
    assert sessions.authenticate(tx, secret, nearly + sessions.IDLE) is None


@pytest.mark.parametrize(
    "changes", [{"role": Role.ADMIN}, {"disabled": True}, {"password": "another long one"}]
)
def test_a_change_of_the_user_ends_the_sessions_that_began_before(tx, anna, changes):
    secret = begin(tx, anna)

    changed = users.change(tx, anna.id, changes, expected_version=None)

    assert sessions.authenticate(tx, secret, NOON) is None
    after = sessions.authenticate(tx, begin(tx, changed), NOON)
    assert (after is None) == changed.disabled


def test_a_session_without_a_user_is_good_until_there_is_one(tx):
    secret = begin(tx, None)
    before = sessions.authenticate(tx, secret, NOON)

    users.create(tx, "anna@example.com", PASSWORD, Role.ADMIN, NOON)

    assert (before.user_id, before.principal.role) == (None, Role.ADMIN)
    assert sessions.authenticate(tx, secret, NOON) is None


def test_users_were_last_seen_where_they_are_signed_in(tx, anna):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON)
    gone = begin(tx, bob)
    begin(tx, anna)
    begin(tx, anna, NOON + MINUTE)
    sessions.end(tx, gone)

    seen = sessions.last_seen(tx, [anna.id, bob.id], NOON + MINUTE)

    assert seen == {anna.id: NOON + MINUTE}


def test_what_a_change_of_the_user_has_ended_is_not_seen(tx, anna):
    begin(tx, anna)

    users.change(tx, anna.id, {"role": Role.VIEWER}, expected_version=None)

    assert sessions.last_seen(tx, [anna.id], NOON) == {}


def test_somebody_sees_where_they_are_signed_in_the_one_used_last_first(tx, anna):
    first = begin(tx, anna)
    begin(tx, anna, NOON + MINUTE, place=THERE)
    later = NOON + 2 * MINUTE

    sessions.touch(tx, sessions.authenticate(tx, first, later), later, place=THERE)

    used, other = sessions.of_user(tx, anna.id, later)
    assert (used.begun_at, used.last_seen_at, used.place) == (NOON, later, THERE)
    assert (other.begun_at, other.place) == (NOON + MINUTE, THERE)


def test_what_is_over_is_not_among_them(tx, anna):
    begin(tx, anna)
    idle = sessions.of_user(tx, anna.id, NOON + sessions.IDLE)

    users.change(tx, anna.id, {"password": "another long one"}, expected_version=None)

    assert idle == []
    assert sessions.of_user(tx, anna.id, NOON) == []


def test_one_is_ended_and_nobody_elses(tx, anna):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON)
    mine, theirs = begin(tx, anna), begin(tx, bob)
    [of_bob] = sessions.of_user(tx, bob.id, NOON)
    [of_anna] = sessions.of_user(tx, anna.id, NOON)

    assert not sessions.end_one(tx, anna.id, of_bob.id)
    assert sessions.end_one(tx, anna.id, of_anna.id)

    assert sessions.authenticate(tx, mine, NOON) is None
    assert sessions.authenticate(tx, theirs, NOON) is not None


def test_all_others_are_ended_and_nobody_elses(tx, anna):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON)
    here, there, theirs = begin(tx, anna), begin(tx, anna), begin(tx, bob)

    sessions.end_others(tx, anna.id, sessions.authenticate(tx, here, NOON).id)

    found = [sessions.authenticate(tx, secret, NOON) for secret in (here, there, theirs)]
    assert [one is not None for one in found] == [True, False, True]


def test_a_browser_that_says_too_much_is_cut_short(tx, anna):
    begin(tx, anna, place=Place(address="x" * 500, agent="y" * 5000))

    [found] = sessions.of_user(tx, anna.id, NOON)
    assert (found.place.address, found.place.agent) == ("x" * 64, "y" * 300)
