"""Everything that is sealed with the installation's key, in whichever room: what a change of the key goes through."""

from accounts.tables import accounts
from foundation.log import log_for
from identity.tables import audit_head, users
from storage import resealing
from storage.database import Tx
from storage.replays import replays
from storage.resealing import Standing
from storage.sealed import SecretKey

log = log_for(__name__)

_SEALED = (
    accounts.c.password_sealed,
    users.c.totp_sealed,
    replays.c.body,
    audit_head.c.key_sealed,
)


def reseal(tx: Tx, key: SecretKey) -> None:
    """Seal with the new key whatever the old one sealed. Without an old one there is nothing to do."""
    if not key.has_old:
        return
    count = sum(resealing.reseal(tx, column, key) for column in _SEALED)
    if count:
        log.info("sealed with the new key", values=count)


def standing(tx: Tx, key: SecretKey) -> Standing:
    """Count what is sealed with which key."""
    return sum((resealing.standing(tx, column, key) for column in _SEALED), Standing())
