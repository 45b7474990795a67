"""The installation's key: seals stored passwords, and is the root of every other secret.

A key can be changed: the one before is then given beside it, and opens and recognises what it once sealed and signed.
"""

import base64
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from foundation.errors import Unavailable
from storage.disk import Disk, replace_file


class SecretKey:
    """One secret, and what is derived from it; each use has a name of its own, so that no use opens another.

    old: the secret before this one. It seals and signs nothing any more.
    """

    def __init__(self, secret: bytes, *, old: bytes | None = None) -> None:
        self._secrets = (secret,) if old is None or old == secret else (secret, old)
        self._derived: dict[str, tuple[bytes, ...]] = {}
        sealers = [Fernet(base64.urlsafe_b64encode(s)) for s in self.derive_each(_SEALING)]
        self._new = sealers[0]
        self._each = MultiFernet(sealers)

    @property
    def has_old(self) -> bool:
        """Whether there is an old secret beside the new one."""
        return len(self._secrets) > 1

    def derive(self, use: str) -> bytes:
        """Return 32 bytes that only this key and this use give."""
        return self.derive_each(use)[0]

    def derive_each(self, use: str) -> tuple[bytes, ...]:
        """Return what may have been derived for this use: of the new secret, then of the old one where there is one."""
        found = self._derived.get(use)
        if found is None:
            found = tuple(hmac.digest(s, use.encode(), hashlib.sha256) for s in self._secrets)
            self._derived[use] = found
        return found

    def seal(self, text: str) -> bytes:
        """Encrypt and authenticate a text for keeping."""
        return self._new.encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """Return the text that was sealed. Raises Unavailable when another key sealed it."""
        try:
            return self._each.decrypt(sealed).decode()
        except InvalidToken:
            raise Unavailable(
                "A stored password was sealed with another key. Set SENDONCE_SECRET_KEY (or, beside a new key,"
                " SENDONCE_SECRET_KEY_OLD) to the key it was sealed with, or enter the password again."
            ) from None

    def is_under_new(self, sealed: bytes) -> bool:
        """Say whether the new secret opens it."""
        try:
            self._new.decrypt(sealed)
        except InvalidToken:
            return False
        return True


_SEALING = "sealed passwords"


def load_secret_key(
    disk: Disk, path: Path, setting: str | None, *, old: str | None = None
) -> SecretKey:
    """Return the key that the setting gives, else the file's; make the file at the first start.

    The caller holds a lock that keeps two first starts apart.
    """
    before = None if old is None else old.encode()
    if setting is not None:
        return SecretKey(setting.encode(), old=before)
    try:
        return SecretKey(disk.read(path).strip(), old=before)
    except FileNotFoundError:
        replace_file(disk, path, base64.urlsafe_b64encode(os.urandom(32)) + b"\n")
        return SecretKey(disk.read(path).strip(), old=before)
