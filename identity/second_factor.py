"""The second factor: a code that an app on somebody's phone makes anew every 30 seconds (TOTP, RFC 6238).

A code is taken once (RFC 6238 5.2), and by the time step before or after too, since no two clocks agree. The secret is
kept sealed, for its user alone. Every change of it ends the sessions that began before, as other changes of a user do.
"""

import hmac
import re
from datetime import datetime

import pyotp
from sqlalchemy import or_, select, update

from foundation.errors import Conflict, Invalid, Unavailable
from identity import recovery_codes
from identity.model import User
from identity.tables import users
from storage.database import Tx
from storage.sealed import SecretKey

_STEP_SECONDS = 30
_DRIFT = (0, -1, 1)
_CODE = re.compile(r"[0-9]{6}", re.ASCII)
_WRONG = "is not the one that the app shows now; a code works once, so wait for the next one"


def new_secret(key: SecretKey, user_id: int) -> str:
    """Return a new secret, sealed: a form carries it until a code proves that the app has it."""
    return _sealed(key, user_id, pyotp.random_base32()).decode()


def from_form(key: SecretKey, user_id: int, sealed: str) -> str:
    """Return the secret (base32) that a form carried. Raises Conflict where new_secret() did not make it for them."""
    try:
        secret = _opened(key, user_id, sealed.encode(errors="replace"))
    except Unavailable:
        secret = None
    if secret is None:
        raise Conflict("This secret was not made for you here. Begin again; nothing was changed.")
    return secret


def address(secret: str, email: str) -> str:
    """Return what apps read from a QR code: otpauth://…"""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name="Sendonce")


def switch_on(
    tx: Tx, user: User, secret: str, code: str, *, key: SecretKey, now: datetime
) -> list[str]:
    """Ask for codes from now on; return the recovery codes, which can't be had again.

    Raises Invalid (code) unless the code is the secret's of now, and Conflict where it is switched on already.
    """
    step = _step_of(secret, code, now)
    if step is None:
        raise Invalid.field("code", _WRONG)
    switched = tx.execute(
        update(users)
        .where(users.c.id == user.id, users.c.totp_sealed.is_(None))
        .values(
            totp_sealed=_sealed(key, user.id, secret),
            totp_step=step,
            version=users.c.version + 1,
        )
    )
    if switched.rowcount == 0:
        raise Conflict("The second factor is switched on already.")
    return recovery_codes.renew(tx, user.id)


def switch_off(tx: Tx, user_id: int) -> None:
    """Ask for a password alone from now on. Raises Conflict where it is switched off already."""
    switched = tx.execute(
        update(users)
        .where(users.c.id == user_id, users.c.totp_sealed.is_not(None))
        .values(totp_sealed=None, totp_step=None, version=users.c.version + 1)
    )
    if switched.rowcount == 0:
        raise Conflict("The second factor is switched off already.")
    recovery_codes.drop(tx, user_id)


def take(tx: Tx, user_id: int, code: str, *, key: SecretKey, now: datetime) -> bool:
    """Use up a code of the app, or a recovery code; return False where it is neither, or was used before."""
    if is_recovery_code(code):
        return recovery_codes.take(tx, user_id, code)
    sealed = tx.execute(
        select(users.c.totp_sealed).where(users.c.id == user_id)
    ).scalar_one_or_none()
    if sealed is None:
        return False
    secret = _opened(key, user_id, sealed)
    step = None if secret is None else _step_of(secret, code, now)
    if step is None:
        return False
    # A code comes twice, or two at once bring the same: the second finds its step taken.
    taken = tx.execute(
        update(users)
        .where(users.c.id == user_id, or_(users.c.totp_step.is_(None), users.c.totp_step < step))
        .values(totp_step=step)
    )
    return taken.rowcount == 1


def require(tx: Tx, user_id: int, code: str, *, key: SecretKey, now: datetime) -> None:
    """Use up a code. Raises Invalid (code) where take() would return False."""
    if not take(tx, user_id, code, key=key, now=now):
        raise Invalid.field("code", _WRONG)


def is_recovery_code(code: str) -> bool:
    """Say whether what was typed can only be a recovery code: an app's has six digits."""
    return _CODE.fullmatch(_digits(code)) is None


def _step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step whose code this is, of this one and its neighbours; None for none of them."""
    typed, made = _digits(code), pyotp.TOTP(secret)
    current = int(now.timestamp()) // _STEP_SECONDS
    return next(
        (
            current + drift
            for drift in _DRIFT
            if hmac.compare_digest(
                made.generate_otp(current + drift).encode(), typed.encode(errors="replace")
            )
        ),
        None,
    )


def _digits(code: str) -> str:
    # Apps show 123 456.
    return re.sub(r"\s", "", code)


def _opened(key: SecretKey, user_id: int, sealed: bytes) -> str | None:
    """Return the secret; None where it is another user's, put in this one's place."""
    owner, _, secret = key.unseal(sealed).partition(" ")
    return secret if owner == _owner(user_id) else None


def _sealed(key: SecretKey, user_id: int, secret: str) -> bytes:
    return key.seal(f"{_owner(user_id)} {secret}")


def _owner(user_id: int) -> str:
    return f"second-factor:{user_id}"
