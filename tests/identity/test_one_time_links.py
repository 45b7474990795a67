from datetime import timedelta

import pytest
from sqlalchemy import func, select

from foundation.errors import Conflict, Invalid, NotFound
from identity import one_time_links, users
from identity.model import Role
from identity.one_time_links import Purpose
from identity.tables import one_time_links as table
from tests.builders import NOON, a_database

PASSWORD = "correct horse"
DAY = timedelta(days=1)


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


@pytest.fixture
def anna(tx):
    return users.create(tx, "anna@example.com", PASSWORD, Role.ADMIN, NOON)


def invite(tx, email="bob@example.com", role=Role.EDITOR, now=NOON):
    return one_time_links.invite(tx, email, role, made_by="anna@example.com", now=now)


def reset(tx, user):
    return one_time_links.to_new_password(tx, user, made_by="anna@example.com", now=NOON)


def use(tx, secret, purpose=Purpose.INVITATION, now=NOON):
    return one_time_links.use(tx, purpose, secret, now=now)


def find(tx, secret, purpose=Purpose.INVITATION, now=NOON):
    return one_time_links.find(tx, purpose, secret, now=now)


def test_an_invitation_is_looked_at_as_often_as_one_likes_and_used_once(tx, anna):
    link, secret = invite(tx)

    assert [find(tx, secret), find(tx, secret)] == [link, link]
    assert use(tx, secret) == link
    assert (use(tx, secret), find(tx, secret)) == (None, None)
    assert (link.email, link.role, link.made_by) == (
        "bob@example.com",
        Role.EDITOR,
        "anna@example.com",
    )


def test_an_invitation_is_good_for_seven_days(tx, anna):
    link, secret = invite(tx)

    assert find(tx, secret, now=NOON + 7 * DAY - timedelta(seconds=1)) == link
    assert find(tx, secret, now=NOON + 7 * DAY) is None
    assert use(tx, secret, now=NOON + 7 * DAY) is None
    assert one_time_links.invitations(tx, now=NOON + 7 * DAY) == []


def test_a_link_to_a_new_password_is_good_for_a_day(tx, anna):
    link, secret = reset(tx, anna)

    assert use(tx, secret, Purpose.PASSWORD, now=NOON + DAY) is None
    assert use(tx, secret, Purpose.PASSWORD, now=NOON + DAY - timedelta(seconds=1)) == link
    assert use(tx, secret, Purpose.PASSWORD) is None


def test_a_link_is_for_its_purpose_alone(tx, anna):
    _, invitation = invite(tx)
    _, password = reset(tx, anna)

    assert use(tx, invitation, Purpose.PASSWORD) is None
    assert use(tx, password, Purpose.INVITATION) is None


def test_one_that_is_revoked_opens_nothing(tx, anna):
    link, secret = invite(tx)

    assert one_time_links.revoke(tx, link.id) == link

    assert use(tx, secret) is None
    with pytest.raises(NotFound):
        one_time_links.revoke(tx, link.id)


def test_only_invitations_are_listed_and_revoked(tx, anna):
    link, _ = reset(tx, anna)

    assert one_time_links.invitations(tx, now=NOON) == []
    with pytest.raises(NotFound):
        one_time_links.revoke(tx, link.id)


def test_a_newer_one_for_the_same_person_ends_the_older(tx, anna):
    _, first = invite(tx)
    second, _ = invite(tx, email="BOB@example.com")
    _, old = reset(tx, anna)
    reset(tx, anna)

    assert find(tx, first) is None
    assert find(tx, old, Purpose.PASSWORD) is None
    assert one_time_links.invitations(tx, now=NOON) == [second]


def test_who_is_a_user_is_not_invited(tx, anna):
    with pytest.raises(Conflict, match="There is a user Anna"):
        invite(tx, email="Anna@Example.com")
    with pytest.raises(Invalid, match="email"):
        invite(tx, email="nobody")


def test_the_first_user_is_not_invited_to_look_only(tx):
    with pytest.raises(Invalid, match="this is the first user"):
        invite(tx, role=Role.VIEWER)


@pytest.mark.parametrize("changes", [{"password": "another long one"}, {"disabled": True}])
def test_a_link_does_not_undo_what_was_decided_since(tx, anna, changes):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON)
    _, secret = reset(tx, bob)

    changed = users.change(tx, bob.id, changes, expected_version=None)

    assert find(tx, secret, Purpose.PASSWORD) is None
    if changed.disabled:
        with pytest.raises(Conflict, match="is disabled"):
            reset(tx, changed)


def test_another_role_leaves_the_link(tx, anna):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON)
    link, secret = reset(tx, bob)

    users.change(tx, bob.id, {"role": Role.EDITOR}, expected_version=None)

    assert find(tx, secret, Purpose.PASSWORD) == link


@pytest.mark.parametrize("secret", ["", "x", "ß", "\udcff", "x" * 10_000])
def test_an_unknown_secret_finds_nothing_and_only_hashes_are_kept(tx, anna, secret):
    _, made = invite(tx)

    assert find(tx, secret) is None
    row = tx.execute(select(table)).one()
    assert not any(made in str(value) for value in row)
    assert find(tx, row.secret_sha256) is None


def test_those_that_are_over_are_forgotten(tx, anna):
    invite(tx)

    invite(tx, email="carol@example.com", now=NOON + 7 * DAY)

    assert tx.execute(select(func.count()).select_from(table)).scalar_one() == 1
