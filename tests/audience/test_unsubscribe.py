"""audience.unsubscribe: a token that nobody else can make."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from audience.unsubscribe import make_token, read_token
from foundation.errors import NotFound
from storage.sealed import SecretKey

KEY = SecretKey(b"a secret")
TOKEN = make_token(KEY, delivery_id=7, email="ada@example.com")


@given(delivery_id=st.integers(1, 2**63 - 1), email=st.text(min_size=1, max_size=320))
def test_a_token_says_what_it_was_made_for(delivery_id: int, email: str) -> None:
    assume(email.isprintable())

    token = make_token(KEY, delivery_id=delivery_id, email=email)

    assert read_token(KEY, token) == (delivery_id, email)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)


def test_a_token_for_an_ordinary_address_is_short() -> None:
    assert len(TOKEN) < 100


@given(at=st.integers(0, len(TOKEN) - 1), other=st.sampled_from("abcXYZ019-_."))
def test_a_tampered_token_is_refused(at: int, other: str) -> None:
    tampered = TOKEN[:at] + other + TOKEN[at + 1 :]
    # The last character of a base64 text has bits that mean nothing.
    assume(tampered != TOKEN and at != len(TOKEN) - 1)

    with pytest.raises(NotFound):
        read_token(KEY, tampered)


@pytest.mark.parametrize("token", ["", ".", "x", "é", "a" * 10_000, "..", "\0", "WzFd.x"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(NotFound):
        read_token(KEY, token)


def test_another_installation_s_token_is_refused() -> None:
    with pytest.raises(NotFound):
        read_token(SecretKey(b"another secret"), TOKEN)
