"""The installation's key: seals stored passwords, and is the root of every other secret."""

import base64
import hashlib
import hmac
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from foundation.errors import Unavailable
from storage.disk import Disk, replace_file


class SecretKey:
    """One secret, and what is derived from it; each use has a name of its own, so that no use opens another."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._derived: dict[str, bytes] = {}
        self._fernet = Fernet(base64.urlsafe_b64encode(self.derive("sealed passwords")))

    def derive(self, use: str) -> bytes:
        """Return 32 bytes that only this key and this use give."""
        found = self._derived.get(use)
        if found is None:
            found = hmac.digest(self._secret, use.encode(), hashlib.sha256)
            self._derived[use] = found
        return found

    def seal(self, text: str) -> bytes:
        """Encrypt and authenticate a text for keeping."""
        return self._fernet.encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """Return the text that was sealed. Raises Unavailable when another key sealed it."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise Unavailable(
                "A stored password was sealed with another key. Set SENDONCE_SECRET_KEY to the key it was sealed with,"
                " or enter the password again."
            ) from None


def load_secret_key(disk: Disk, path: Path, setting: str | None) -> SecretKey:
    """Return the key that the setting gives, else the file's; make the file at the first start.

    The caller holds a lock that keeps two first starts apart.
    """
    if setting is not None:
        return SecretKey(setting.encode())
    try:
        return SecretKey(disk.read(path).strip())
    except FileNotFoundError:
        replace_file(disk, path, base64.urlsafe_b64encode(os.urandom(32)) + b"\n")
        return SecretKey(disk.read(path).strip())
