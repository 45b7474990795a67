"""Hashes people's passwords with argon2id, and checks them."""

import secrets
import unicodedata
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from foundation.errors import Invalid
from identity.easy_passwords import is_easy

SHORTEST = 12
LONGEST = 1000  # each character costs work before anybody is known

_hasher = PasswordHasher()


def check(password: str, *, email: str | None) -> None:
    """Raise Invalid when a new password is too short, too long or too easy; any characters will do.

    email: whose password it is to be, where that is known.
    """
    if len(password) < SHORTEST:
        raise Invalid.field("password", f"is too short; use at least {SHORTEST} characters")
    if len(password) > LONGEST:
        raise Invalid.field("password", f"is too long; use at most {LONGEST:,} characters")
    if is_easy(password, email=email):
        raise Invalid.field(
            "password",
            "is one of the first that somebody would guess; a few words that only you put together are better",
        )


def hash_password(password: str, *, email: str) -> str:
    """Return what is kept of the password of this user. Raises Invalid as check() does."""
    check(password, email=email)
    try:
        return _hasher.hash(_bytes(password))
    except UnicodeEncodeError:
        raise Invalid.field("password", "holds something that is not text") from None


@lru_cache(maxsize=1)
def _nobodys() -> str:
    return _hasher.hash(secrets.token_bytes(32))


def verify(password_hash: str | None, password: str) -> bool:
    """Say whether this is the password that was hashed; with no hash it never is, and takes as long to say so."""
    if password_hash is None:
        password_hash = _nobodys()
    if len(password) > LONGEST:
        return False
    try:
        return _hasher.verify(password_hash, _bytes(password))
    except (VerifyMismatchError, UnicodeEncodeError):
        return False


def _bytes(password: str) -> bytes:
    # One keyboard gives ö as one character, another as two; it is the same password.
    return unicodedata.normalize("NFC", password).encode()
