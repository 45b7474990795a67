import hashlib
from datetime import timedelta

import pytest
from sqlalchemy import select

from foundation.errors import Conflict, Invalid, NotFound
from identity import tokens
from identity.model import Principal, Role
from identity.tables import tokens as tokens_table
from tests.builders import NOON, a_database

DAY = timedelta(days=1)


@pytest.fixture
def tx(tmp_path):
    database = a_database(tmp_path)
    with database.write(durable=False) as tx:
        yield tx
    database.close()


def create(tx, name="ci", role=Role.EDITOR, now=NOON, expires_at=None):
    return tokens.create(tx, name, role, now=now, expires_at=expires_at)


def test_who_has_the_secret_is_known_with_its_role(tx):
    token, secret = create(tx)

    principal = tokens.authenticate(tx, secret, NOON)

    assert principal == Principal(
        name=f"token:{token.id}", role=Role.EDITOR, label='the token "ci"'
    )


def test_a_secret_is_long_random_and_marked_as_ours(tx):
    _, first = create(tx, "a")
    _, second = create(tx, "b")

    assert first.startswith("so_")
    assert len(first) == 3 + 43
    assert first != second


def test_only_a_hash_of_the_secret_is_kept(tx):
    _, secret = create(tx)

    row = tx.execute(select(tokens_table)).one()

    assert row.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert not any(secret in str(value) for value in row)


@pytest.mark.parametrize("secret", ["", "so_", "so_" + "x" * 43, "ß", "\udcff", "x" * 10_000])
def test_an_unknown_secret_is_nobody(tx, secret):
    create(tx)

    assert tokens.authenticate(tx, secret, NOON) is None


def test_a_hash_out_of_the_database_opens_nothing(tx):
    create(tx)
    kept = tx.execute(select(tokens_table.c.secret_sha256)).scalar_one()

    assert tokens.authenticate(tx, kept, NOON) is None


def test_a_token_is_good_until_it_expires(tx):
    _, secret = create(tx, expires_at=NOON + DAY)

    assert tokens.authenticate(tx, secret, NOON + DAY - timedelta(microseconds=1)) is not None
    assert tokens.authenticate(tx, secret, NOON + DAY) is None


def test_a_revoked_token_is_nobody(tx):
    _, secret = create(tx)

    tokens.revoke(tx, "ci", now=NOON)

    assert tokens.authenticate(tx, secret, NOON) is None
    assert [t.revoked_at for t in tokens.list_(tx)] == [NOON]


def test_a_token_is_revoked_by_its_id_too(tx):
    token, secret = create(tx)
    _, other = create(tx, "other")

    tokens.revoke(tx, token.id, now=NOON)

    assert tokens.authenticate(tx, secret, NOON) is None
    assert tokens.authenticate(tx, other, NOON) is not None


def test_a_text_that_is_a_name_and_an_id_means_the_name(tx):
    first, first_secret = create(tx)
    _, named_secret = create(tx, name=str(first.id))

    tokens.revoke(tx, str(first.id), now=NOON)

    assert tokens.authenticate(tx, named_secret, NOON) is None
    assert tokens.authenticate(tx, first_secret, NOON) is not None

    tokens.revoke(tx, str(first.id), now=NOON)

    assert tokens.authenticate(tx, first_secret, NOON) is None


@pytest.mark.parametrize("which", ["nobody", "99", 99, -1, 10**30, "9" * 30, "٣"])
def test_a_token_that_is_not_there_can_not_be_revoked(tx, which):
    create(tx)

    with pytest.raises(NotFound, match="There is no token"):
        tokens.revoke(tx, which, now=NOON)


def test_a_token_is_revoked_once(tx):
    create(tx)
    tokens.revoke(tx, "ci", now=NOON)

    with pytest.raises(NotFound, match="revoked already"):
        tokens.revoke(tx, "ci", now=NOON + DAY)


def test_a_name_is_free_again_when_its_token_is_no_good_any_more(tx):
    create(tx, expires_at=NOON + DAY)

    with pytest.raises(Conflict, match='There is a token "ci" already'):
        create(tx)
    create(tx, now=NOON + DAY)
    tokens.revoke(tx, "ci", now=NOON + DAY)
    create(tx, now=NOON + DAY)

    assert len(tokens.list_(tx)) == 3


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "a" * 101, "\ud800"])
def test_a_name_that_makes_no_sense_is_refused(tx, name):
    with pytest.raises(Invalid) as caught:
        create(tx, name=name)

    assert [e.field for e in caught.value.errors] == ["name"]


def test_a_token_that_would_never_be_good_is_refused(tx):
    with pytest.raises(Invalid, match="expires_at"):
        create(tx, expires_at=NOON)


def test_tokens_are_listed_by_id_in_pages(tx):
    first, second, third = (create(tx, name=name)[0] for name in ("c", "b", "a"))

    assert tokens.list_(tx) == [first, second, third]
    assert tokens.list_(tx, after=first.id, limit=1) == [second]


def test_the_last_use_is_noted_at_most_once_a_minute(tx):
    _, secret = create(tx)
    principal = tokens.authenticate(tx, secret, NOON)
    soon, later = NOON + timedelta(seconds=59), NOON + timedelta(minutes=1)

    assert tokens.needs_touch(tx, principal, NOON)
    tokens.touch(tx, principal, NOON)
    assert not tokens.needs_touch(tx, principal, soon)
    tokens.touch(tx, principal, soon)
    assert tokens.list_(tx)[0].last_used_at == NOON
    assert tokens.needs_touch(tx, principal, later)
    tokens.touch(tx, principal, later)
    assert tokens.list_(tx)[0].last_used_at == later


@pytest.mark.parametrize("name", ["bootstrap", "user:1"])
def test_who_came_without_a_token_leaves_no_last_use(tx, name):
    token, _ = create(tx)
    principal = Principal(name=name, role=Role.ADMIN)

    tokens.touch(tx, principal, NOON)

    assert not tokens.needs_touch(tx, principal, NOON)
    assert tokens.list_(tx) == [token]


def test_a_token_is_good_until_it_ends_or_is_revoked(tx):
    token, _ = create(tx, expires_at=NOON + DAY)

    tokens.revoke(tx, create(tx, "revoked")[0].id, now=NOON)

    assert tokens.get(tx, token.id) == token
    assert tokens.is_good(token, NOON)
    assert not tokens.is_good(token, NOON + DAY)
    assert not tokens.is_good(tokens.get(tx, token.id + 1), NOON)
    with pytest.raises(NotFound):
        tokens.get(tx, 99)
