import pytest

from foundation.errors import Invalid
from identity.easy_passwords import is_easy
from identity.passwords import hash_password as hash_of
from identity.passwords import verify

ANN = "ann.smith@example.com"


def hash_password(password):
    return hash_of(password, email=ANN)


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


@pytest.mark.parametrize("password", ["", "x" * 11, "a b c" * 201, "ten letters \udcff"])
def test_a_password_that_can_not_be_taken_is_refused_without_repeating_it(password):
    with pytest.raises(Invalid) as caught:
        hash_password(password)

    assert [e.field for e in caught.value.errors] == ["password"]
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize(
    "password", ["fair dinkum!", "".join(chr(0x4E00 + n) for n in range(1000))]
)
def test_the_shortest_and_the_longest_password_are_taken(password):
    assert verify(hash_password(password), password)


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "abababababab",
        "abc123abc123abc123",
        "123456789012",
        "abcdefghijkl",
        "qwertzuiopas",
        "lkjhgfdsapoi",
        "1q2w3e4r5t6y",
        "Password1234!",
        "P@ssw0rd123456",
        "passwordpassword",
        "thisismypassword",
        "Welcome-2026-2026",
        "Newsletter2026!",
        "ann.smith@example.com",
        "AnnSmithAnnSmith",
        "example.com1234",
        "ann.smith-2026",
    ],
)
def test_what_somebody_would_guess_first_is_refused(password):
    with pytest.raises(Invalid, match="first that somebody would guess"):
        hash_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse",
        "a long enough one",
        "ann likes blue kites",
        "Xk4-9pQz-77aB",
        "passwords are dull",
    ],
)
def test_few_words_or_random_letters_are_taken(password):
    assert not is_easy(password, email=ANN)


def test_a_short_address_forbids_nothing():
    assert not is_easy("a quick x-ray fox", email="a@x.io")
