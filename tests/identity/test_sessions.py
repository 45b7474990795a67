from datetime import timedelta

import pytest

from identity import sessions, users
from identity.model import Role
from tests.builders import NOON, a_database

PASSWORD = "correct horse battery"
MINUTE = timedelta(minutes=1)


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


@pytest.fixture
def anna(tx):
    return users.create(tx, "anna@example.com", PASSWORD, Role.EDITOR, NOON)


def test_who_has_the_secret_is_the_user(tx, anna):
    secret = sessions.begin(tx, anna, NOON)

    found = sessions.authenticate(tx, secret, NOON)

    assert found.user_id == anna.id
    assert found.principal.name == f"user:{anna.id}"
    assert found.principal.role == Role.EDITOR
    assert sessions.authenticate(tx, "another", NOON) is None


def test_a_session_that_is_used_goes_on_and_one_that_is_not_ends(tx, anna):
    secret = sessions.begin(tx, anna, NOON)
    nearly = NOON + sessions.IDLE - MINUTE

    sessions.touch(tx, sessions.authenticate(tx, secret, nearly), nearly)

    assert sessions.authenticate(tx, secret, NOON + sessions.IDLE) is not None
    assert sessions.authenticate(tx, secret, nearly + sessions.IDLE) is None


@pytest.mark.parametrize(
    "changes", [{"role": Role.ADMIN}, {"disabled": True}, {"password": "another long one"}]
)
def test_a_change_of_the_user_ends_the_sessions_that_began_before(tx, anna, changes):
    secret = sessions.begin(tx, anna, NOON)

    changed = users.change(tx, anna.id, changes, expected_version=None)

    assert sessions.authenticate(tx, secret, NOON) is None
    after = sessions.authenticate(tx, sessions.begin(tx, changed, NOON), NOON)
    assert (after is None) == changed.disabled


def test_a_session_without_a_user_is_good_until_there_is_one(tx):
    secret = sessions.begin(tx, None, NOON)
    before = sessions.authenticate(tx, secret, NOON)

    users.create(tx, "anna@example.com", PASSWORD, Role.VIEWER, NOON)

    assert (before.user_id, before.principal.role) == (None, Role.ADMIN)
    assert sessions.authenticate(tx, secret, NOON) is None


def test_users_were_last_seen_where_they_are_signed_in(tx, anna):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON)
    gone = sessions.begin(tx, bob, NOON)
    sessions.begin(tx, anna, NOON)
    sessions.begin(tx, anna, NOON + MINUTE)
    sessions.end(tx, gone)

    seen = sessions.last_seen(tx, [anna.id, bob.id], NOON + MINUTE)

    assert seen == {anna.id: NOON + MINUTE}


def test_what_a_change_of_the_user_has_ended_is_not_seen(tx, anna):
    sessions.begin(tx, anna, NOON)

    users.change(tx, anna.id, {"role": Role.VIEWER}, expected_version=None)

    assert sessions.last_seen(tx, [anna.id], NOON) == {}
