import pytest
from sqlalchemy import select

from identity import recovery_codes, users
from identity.model import Role
from identity.tables import recovery_codes as table
from tests.builders import NOON, a_database

PASSWORD = "correct horse"


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


@pytest.fixture
def anna(tx):
    return users.create(tx, "anna@example.com", PASSWORD, Role.ADMIN, NOON).id


@pytest.fixture
def bob(tx, anna):
    return users.create(tx, "bob@example.com", PASSWORD, Role.VIEWER, NOON).id


def test_there_are_ten_and_each_works_once(tx, anna):
    codes = recovery_codes.renew(tx, anna)

    assert len(set(codes)) == 10
    for left, code in zip(range(9, -1, -1), codes, strict=True):
        assert recovery_codes.take(tx, anna, code)
        assert recovery_codes.left(tx, anna) == left
        assert not recovery_codes.take(tx, anna, code)


def test_capitals_blanks_and_hyphens_make_no_difference(tx, anna):
    code = recovery_codes.renew(tx, anna)[0]

    assert recovery_codes.take(tx, anna, f" {code.replace('-', ' ').upper()} ")


def test_a_code_is_its_users_alone(tx, anna, bob):
    recovery_codes.renew(tx, bob)
    codes = recovery_codes.renew(tx, anna)

    assert not recovery_codes.take(tx, bob, codes[0])
    assert not recovery_codes.take(tx, anna, "")
    assert recovery_codes.left(tx, bob) == 10


def test_new_ones_end_the_old_ones(tx, anna):
    old = recovery_codes.renew(tx, anna)

    new = recovery_codes.renew(tx, anna)

    assert not set(old) & set(new)
    assert not any(recovery_codes.take(tx, anna, code) for code in old)
    assert recovery_codes.left(tx, anna) == 10


def test_only_hashes_are_kept(tx, anna):
    codes = recovery_codes.renew(tx, anna)

    kept = str(tx.execute(select(table)).all())

    assert not any(code in kept or code.replace("-", "") in kept for code in codes)
