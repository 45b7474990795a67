"""Files that go along with an email (RFC 2046, 2183), written once for all messages of a run.

Base64 and nothing else, whatever a file is: it comes out of every mail server as it went in. A name in ASCII is
written in quotation marks, any other as RFC 2231 says.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from urllib.parse import quote

from mail.message import Attached, base64_lines, one_line

_LINE = 76
_LONGEST_QUOTED = 200
_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,100}(; charset=[a-z0-9-]{1,20})?")
# What may stand bare in an extended value is less than this, so that it is right for RFC 2231 and RFC 5987 alike.
_BARE = "!#$&+^`{}~"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to attach. content_type is as in a header: "text/csv; charset=utf-8"."""

    name: str
    content_type: str
    content: bytes


def encode(files: Sequence[File]) -> Attached | None:
    """Write the files; None where there are none.

    Control characters in a name become spaces. Raises ValueError where a type is none that can be attached: parts of
    other messages and the like (multipart, message) may not be base64.
    """
    if not files:
        return None
    mark = blake2b(digest_size=8)
    for file in files:
        mark.update(f"{file.name}\n{len(file.content)}\n".encode(errors="replace"))
    # Base64 has no "=_", nor has quoted-printable; the boundary of the alternatives within has hexadecimal digits only.
    boundary = b"=_mixed_" + mark.hexdigest().encode()
    encoded = b"".join(_part(file, boundary) for file in files)
    return Attached(boundary=boundary, encoded=encoded + b"--" + boundary + b"--\r\n")


def encoded_size_bytes(size_bytes: int) -> int:
    """Return what a file of this size takes in a mail, but for its few headers."""
    letters = -(-size_bytes // 3) * 4
    return letters + 2 * -(-letters // _LINE)


def _part(file: File, boundary: bytes) -> bytes:
    if not _TYPE.fullmatch(file.content_type) or file.content_type.startswith(
        ("multipart/", "message/")
    ):
        raise ValueError(f"not a type that can be attached: {file.content_type!r}")
    head = (
        f"Content-Type: {file.content_type}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment;\r\n {disposition_name(one_line(file.name))}\r\n\r\n"
    )
    return b"--" + boundary + b"\r\n" + head.encode() + base64_lines(file.content)


def disposition_name(name: str) -> str:
    """Return a name of one line as the parameter of a Content-Disposition, folded where it is long."""
    # Parsers look for encoded words inside quotation marks too.
    if name.isascii() and "=?" not in name and len(name) <= _LONGEST_QUOTED:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'filename="{escaped}"'
    encoded = [quote(character, safe=_BARE) for character in name]
    whole = "filename*=utf-8''" + "".join(encoded)
    return whole if len(whole) < _LINE else _continued(encoded)


def _continued(encoded: Sequence[str]) -> str:
    """Return a long name in numbered pieces (RFC 2231 3), each of whole characters."""
    pieces = ["utf-8''"]
    for character in encoded:
        if len(f"filename*{len(pieces) - 1}*=;") + len(pieces[-1]) + len(character) >= _LINE:
            pieces.append("")
        pieces[-1] += character
    return ";\r\n ".join(f"filename*{number}*={piece}" for number, piece in enumerate(pieces))
