import pytest

from foundation.errors import Invalid
from identity.passwords import hash_password, verify


def test_only_the_password_that_was_hashed_is_right():
    kept = hash_password("correct horse")

    assert verify(kept, "correct horse")
    assert not verify(kept, "correct horsf")
    assert not verify(kept, "")
    assert not verify(kept, "x" * 1001)
    assert not verify(kept, "correct horse\ud800")


def test_the_same_password_is_kept_differently_each_time_and_never_in_clear():
    first, second = hash_password("correct horse"), hash_password("correct horse")

    assert first != second
    assert first.startswith("$argon2id$")
    assert "correct" not in first
    assert len(first) <= 200


def test_an_umlaut_is_the_same_however_the_keyboard_makes_it():
    assert verify(hash_password("schöne Grüße"), "scho\u0308ne Gru\u0308ße")


@pytest.mark.parametrize("password", ["", "x" * 9, "x" * 1001, "ten letters \udcff"])
def test_a_password_that_can_not_be_taken_is_refused_without_repeating_it(password):
    with pytest.raises(Invalid) as caught:
        hash_password(password)

    assert [e.field for e in caught.value.errors] == ["password"]
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["x" * 10, "x" * 1000])
def test_the_shortest_and_the_longest_password_are_taken(password):
    assert verify(hash_password(password), password)
