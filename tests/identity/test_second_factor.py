from datetime import timedelta

import pyotp
import pytest
from sqlalchemy import select, update

from foundation.errors import Conflict, Invalid
from identity import recovery_codes, second_factor, sessions, users
from identity.model import Role
from identity.sessions import Place
from identity.tables import users as users_table
from storage.sealed import SecretKey
from tests.builders import NOON, a_database

KEY = SecretKey(b"a key of the tests")
PASSWORD = "correct horse"
STEP = timedelta(seconds=30)


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


@pytest.fixture
def anna(tx):
    return users.create(tx, "anna@example.com", PASSWORD, Role.ADMIN, NOON)


@pytest.fixture
def secret(tx, anna):
    """Switch anna's second factor on, an hour before noon."""
    before = NOON - timedelta(hours=1)
    secret = second_factor.from_form(KEY, anna.id, second_factor.new_secret(KEY, anna.id))
    second_factor.switch_on(tx, anna, secret, code_at(secret, before), key=KEY, now=before)
    return secret


def code_at(secret, moment):
    return pyotp.TOTP(secret).at(moment)


def take(tx, user, code, now=NOON):
    return second_factor.take(tx, user.id, code, key=KEY, now=now)


def test_the_code_of_now_is_taken_however_it_is_spaced(tx, anna, secret):
    code = code_at(secret, NOON)

    assert not take(tx, anna, "000000" if code != "000000" else "000001")
    assert take(tx, anna, f" {code[:3]} {code[3:]} ")


@pytest.mark.parametrize(("steps", "is_taken"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off_either_way(tx, anna, secret, steps, is_taken):
    assert take(tx, anna, code_at(secret, NOON + steps * STEP)) is is_taken


def test_a_code_is_taken_once(tx, anna, secret):
    code = code_at(secret, NOON)
    assert take(tx, anna, code)

    assert not take(tx, anna, code)
    assert not take(tx, anna, code, now=NOON + STEP)
    assert not take(tx, anna, code_at(secret, NOON - STEP))
    assert take(tx, anna, code_at(secret, NOON + STEP), now=NOON + STEP)


def test_the_code_that_switched_it_on_lets_nobody_in(tx, anna):
    secret = second_factor.from_form(KEY, anna.id, second_factor.new_secret(KEY, anna.id))
    code = code_at(secret, NOON)

    second_factor.switch_on(tx, anna, secret, code, key=KEY, now=NOON)

    assert not take(tx, anna, code)


def test_only_a_code_of_the_app_switches_it_on(tx, anna):
    secret = second_factor.from_form(KEY, anna.id, second_factor.new_secret(KEY, anna.id))

    for wrong in ("", "123", code_at(secret, NOON + timedelta(hours=1)), "٣٤٥٦٧٨"):
        with pytest.raises(Invalid, match="code"):
            second_factor.switch_on(tx, anna, secret, wrong, key=KEY, now=NOON)

    assert not users.get(tx, anna.id).second_factor


def test_it_is_switched_on_once(tx, anna, secret):
    with pytest.raises(Conflict, match="on already"):
        second_factor.switch_on(tx, anna, secret, code_at(secret, NOON), key=KEY, now=NOON)


def test_switching_it_on_or_off_ends_the_sessions_that_began_before(tx, anna, secret):
    on = users.get(tx, anna.id)
    session = sessions.begin(tx, on, NOON, place=Place(address=None, agent=None))

    second_factor.switch_off(tx, anna.id)

    assert (anna.version, on.version, users.get(tx, anna.id).version) == (1, 2, 3)
    assert sessions.authenticate(tx, session, NOON) is None


def test_switched_off_no_code_is_good_any_more(tx, anna):
    secret = second_factor.from_form(KEY, anna.id, second_factor.new_secret(KEY, anna.id))
    code = code_at(secret, NOON - STEP)
    codes = second_factor.switch_on(tx, anna, secret, code, key=KEY, now=NOON - STEP)

    second_factor.switch_off(tx, anna.id)

    assert not take(tx, anna, code_at(secret, NOON))
    assert not take(tx, anna, codes[0])
    assert not users.get(tx, anna.id).second_factor
    with pytest.raises(Conflict, match="off already"):
        second_factor.switch_off(tx, anna.id)


def test_a_recovery_code_stands_in_for_it_once(tx, anna, secret):
    code = recovery_codes.renew(tx, anna.id)[0]

    assert take(tx, anna, code)
    assert not take(tx, anna, code)


def test_the_secret_is_kept_sealed_and_for_its_user_alone(tx, anna, secret):
    bob = users.create(tx, "bob@example.com", PASSWORD, Role.ADMIN, NOON)
    kept = tx.execute(select(users_table.c.totp_sealed).where(users_table.c.id == anna.id))
    sealed = kept.scalar_one()

    tx.execute(update(users_table).where(users_table.c.id == bob.id).values(totp_sealed=sealed))

    assert secret.encode() not in sealed
    assert not take(tx, bob, code_at(secret, NOON))


@pytest.mark.parametrize("sealed", ["", "x", "ünd", "\udcff", "gAAAAA=="])
def test_a_secret_that_was_not_made_here_is_refused(anna, sealed):
    with pytest.raises(Conflict, match="not made for you"):
        second_factor.from_form(KEY, anna.id, sealed)
    with pytest.raises(Conflict, match="not made for you"):
        second_factor.from_form(KEY, anna.id, second_factor.new_secret(KEY, anna.id + 1))


def test_apps_learn_who_it_is_for():
    assert second_factor.address("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", "anna@example.com") == (
        "otpauth://totp/Sendonce:anna%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Sendonce"
    )
