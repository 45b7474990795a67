"""The token in an unsubscribe link: says which delivery it came with and whose address it is; nobody else can make one.

It never expires: a link in an old mail must go on working (RFC 8058).
"""

import hashlib
from functools import lru_cache
from typing import Any

from itsdangerous import BadData, URLSafeSerializer
from itsdangerous.encoding import base64_encode
from itsdangerous.url_safe import URLSafeSerializerMixin

from foundation.errors import NotFound
from storage.sealed import SecretKey

_USE = "unsubscribe links"
_LONGEST = 2_000


def make_token(key: SecretKey, *, delivery_id: int, email: str) -> str:
    """Return a token for one delivery: letters, digits, "-", "_" and "." only."""
    token = _serializer(key).dumps([delivery_id, email])
    return token.decode() if isinstance(token, bytes) else token


def read_token(key: SecretKey, token: str) -> tuple[int, str]:
    """Return the delivery's id and the address that the token was made for. Raises NotFound."""
    try:
        if len(token) > _LONGEST:
            raise BadData("too long")
        delivery_id, email = _serializer(key).loads(token)
    except (BadData, TypeError, ValueError):
        raise NotFound(
            "This unsubscribe link is damaged or not ours. Use the whole link out of the mail."
        ) from None
    return int(delivery_id), str(email)


class _Tokens(URLSafeSerializer):
    """URLSafeSerializer without its try at compressing, which a text this short never gains from."""

    def dump_payload(self, *args: Any, **options: Any) -> bytes:
        return base64_encode(super(URLSafeSerializerMixin, self).dump_payload(*args, **options))


@lru_cache(maxsize=4)
def _serializer(key: SecretKey) -> URLSafeSerializer:
    # The last one signs, each one is recognised: a link in an old mail must outlive a change of the key.
    keys = list(reversed(key.derive_each(_USE)))
    return _Tokens(keys, salt=_USE, signer_kwargs={"digest_method": hashlib.sha256})
