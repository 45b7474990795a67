"""Passwords that somebody would guess first: long enough, and easy all the same.

Patterns, not a list of millions: what is left of such lists at this length is a common word with something behind it, a
row of keys, a piece that comes again and again, or the address itself.
"""

import re
import string

_WORDS = (
    "password|passwort|passphrase|passcode|motdepasse|contrasena|secret|geheim|welcome|"
    "willkommen|changeme|letmein|administrator|admin|root|user|test|login|master|default|"
    "qwerty|qwertz|azerty|iloveyou|dragon|monkey|sunshine|princess|football|baseball|"
    "trustnoone|hello|hallo|summer|winter|spring|autumn|sendonce|company|newsletter|the|my|is|"
    "this|please|abc"
)
_ROWS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
)
_OTHERWISE_WRITTEN = str.maketrans("0134@$5", "oieaass")
_ONLY_WORDS = re.compile(f"(?:{_WORDS})+")
_AGAIN_AND_AGAIN = re.compile(r"(.{1,6}?)\1{2,}.{0,3}", re.DOTALL)
_SHORTEST_PIECE = 3
_LEAST_OF_ONES_OWN = 5


def is_easy(password: str, *, email: str | None) -> bool:
    """Say whether a password is among the first that somebody would try who knows the address, if there is one."""
    lower = password.lower()
    return (
        _AGAIN_AND_AGAIN.fullmatch(lower) is not None
        or _is_a_row(lower)
        or _is_common(lower)
        or (email is not None and _is_the_address(lower, email.lower()))
    )


def _is_a_row(lower: str) -> bool:
    return any(lower in row or lower in row[::-1] for row in _ROWS)


def _is_common(lower: str) -> bool:
    core = lower.strip(string.digits + string.punctuation + string.whitespace)
    letters = re.sub(r"[^a-z]", "", core.translate(_OTHERWISE_WRITTEN))
    return _ONLY_WORDS.fullmatch(letters) is not None


def _is_the_address(lower: str, email: str) -> bool:
    local, _, domain = email.rpartition("@")
    pieces = {email, local, domain, domain.partition(".")[0], *re.split(r"[.+_-]", local)}
    left = lower
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= _SHORTEST_PIECE:
            left = left.replace(piece, "")
    return len(left) < len(lower) and len(left.strip(string.punctuation)) < _LEAST_OF_ONES_OWN
