import pytest
from sqlalchemy import select

from foundation.errors import Conflict, Invalid, NotFound, Stale
from identity import users
from identity.model import Role
from identity.passwords import verify
from identity.tables import users as users_table
from tests.builders import NOON, a_database

PASSWORD = "correct horse"


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


def create(tx, email="Anna@Example.com", role=Role.ADMIN):
    return users.create(tx, email, PASSWORD, role, NOON)


def row(tx):
    return tx.execute(select(users_table)).one()


def test_a_user_is_kept_as_written_with_a_hash_of_the_password(tx):
    anna = create(tx)

    assert users.list_(tx) == [anna]
    assert (anna.email, anna.role, anna.disabled) == ("Anna@Example.com", Role.ADMIN, False)
    assert verify(row(tx).password_hash, PASSWORD)


def test_another_spelling_of_an_address_is_the_same_user(tx):
    anna = create(tx)

    with pytest.raises(Conflict, match=r"There is a user anna@example\.com already"):
        create(tx, email="anna@example.com")

    assert users.list_(tx) == [anna]


def test_neither_a_wrong_address_nor_a_short_password_makes_a_user(tx):
    with pytest.raises(Invalid, match="email"):
        create(tx, email="nobody")
    with pytest.raises(Invalid, match="password"):
        users.create(tx, "anna@example.com", "short", Role.ADMIN, NOON)

    assert not users.any_user(tx)


def test_a_user_that_exists_is_seen_disabled_or_not(tx):
    assert not users.any_user(tx)

    create(tx)
    assert users.any_user(tx)

    users.disable(tx, "anna@example.com")
    assert users.any_user(tx)


def test_disabling_keeps_the_user_and_raises_the_version(tx):
    create(tx)

    users.disable(tx, " ANNA@example.com ")

    assert [u.disabled for u in users.list_(tx)] == [True]
    assert row(tx).version == 2


def test_a_new_password_takes_the_place_of_the_old_and_raises_the_version(tx):
    create(tx)

    users.reset_password(tx, "anna@example.com", "battery staple")

    kept = row(tx)
    assert verify(kept.password_hash, "battery staple")
    assert not verify(kept.password_hash, PASSWORD)
    assert kept.version == 2


def test_a_change_is_made_of_what_is_named_and_raises_the_version(tx):
    create(tx)
    bob = create(tx, email="bob@example.com")

    changed = users.change(tx, bob.id, {"role": Role.VIEWER, "disabled": True}, expected_version=1)
    again = users.change(tx, bob.id, {"role": Role.VIEWER}, expected_version=2)

    assert (changed.role, changed.disabled, changed.version) == (Role.VIEWER, True, 2)
    assert again == changed
    with pytest.raises(Stale, match=r"bob@example\.com was changed meanwhile"):
        users.change(tx, bob.id, {"disabled": False}, expected_version=1)


@pytest.mark.parametrize("changes", [{"role": Role.VIEWER}, {"disabled": True}])
def test_the_last_admin_who_can_sign_in_stays_one(tx, changes):
    anna, bob = create(tx), create(tx, email="bob@example.com")
    users.disable(tx, "bob@example.com")

    with pytest.raises(Conflict, match="the last admin who can sign in"):
        users.change(tx, anna.id, changes, expected_version=None)
    users.change(tx, anna.id, {"password": "battery staple"}, expected_version=None)

    assert users.list_(tx)[0].role == Role.ADMIN
    assert users.change(tx, bob.id, changes, expected_version=None).id == bob.id


def test_a_short_new_password_changes_nothing(tx):
    create(tx)

    with pytest.raises(Invalid, match="at least 12 characters"):
        users.reset_password(tx, "anna@example.com", "short")

    assert verify(row(tx).password_hash, PASSWORD)


def test_a_user_that_is_not_there_is_not_found(tx):
    create(tx)

    with pytest.raises(NotFound, match=r"There is no user bob@example\.com\."):
        users.disable(tx, "bob@example.com")
    with pytest.raises(NotFound):
        users.reset_password(tx, "bob@example.com", "battery staple")


def test_users_are_listed_by_id_in_pages(tx):
    anna, bob = create(tx), create(tx, email="bob@example.com", role=Role.VIEWER)

    assert users.list_(tx, limit=1) == [anna]
    assert users.list_(tx, after=anna.id, limit=1) == [bob]


def test_the_first_user_is_an_admin_and_there_is_one_first(tx):
    anna = users.create_first(tx, "anna@example.com", PASSWORD, NOON)

    with pytest.raises(Conflict, match="There is a user already"):
        users.create_first(tx, "eve@example.com", PASSWORD, NOON)

    assert anna.role == Role.ADMIN
    assert users.list_(tx) == [anna]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_nobody_but_an_admin_is_the_first_user(tx, role):
    with pytest.raises(Invalid, match="this is the first user") as caught:
        create(tx, role=role)

    assert [error.field for error in caught.value.errors] == ["role"]
    assert not users.any_user(tx)


def test_nobody_takes_their_own_address_for_a_password(tx):
    with pytest.raises(Invalid, match="somebody would guess"):
        users.create(tx, "anna@example.com", "anna@example.com", Role.ADMIN, NOON)
    anna = create(tx)
    for change in (
        lambda: users.change(tx, anna.id, {"password": "AnnaAnnaAnna"}, expected_version=None),
        lambda: users.reset_password(tx, "anna@example.com", "anna-example"),
    ):
        with pytest.raises(Invalid, match="somebody would guess"):
            change()
