"""One recipient's email as bytes (RFC 5322, 2045-2047, 8058).

Written by hand because the standard library's writer takes thirty times as long; its parser is the judge in the tests.
Whatever a name, a subject or a body holds, the result has CRLF line ends only, no line over 998 bytes, and no header
that was not asked for.
"""

import re
from binascii import b2a_base64, b2a_qp
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import quote

from mail.address import normalise

_LINE = 76  # RFC 2045 6.7 (5) and RFC 2047 2: no longer line in a quoted-printable body or beside an encoded word
_WORD = 75  # RFC 2047 2: an encoded word, its =?utf-8?b? and ?= included
_AROUND_WORD = len("=?utf-8?b??=")
_LONGEST = 900  # of what cannot be folded, so that its line stays under 998 bytes (RFC 5322 2.1.1)

_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@[A-Za-z0-9.-]{1,253}")
# Every character that any reader takes for a line end, and the other controls (str.splitlines knows ten of them).
_CONTROL = re.compile(r"\r\n|[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPACES = re.compile("  +")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,50}")
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{_LONGEST}}}>")
# A space at the end of a line that has 74 characters before it. Begins with a literal, because those are found fast.
_OVERFULL = re.compile(rb"=(?=(?:20|09)\r)(?<=[^\n]{75})")
_ASCII = bytes(range(128))
_URL_SAFE = "!#$%&'()*+,/:;=?@[]~"

# What build writes itself, or what would change who gets the mail: no extra header may be one of them.
_OWN = frozenset(
    {
        "from",
        "to",
        "cc",
        "bcc",
        "sender",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "list-unsubscribe",
        "list-unsubscribe-post",
        "return-path",
        "delivered-to",
        "received",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Files as every message of a run carries them, written once: mail.attached.encode makes it.

    encoded is what follows the body in a multipart/mixed of this boundary, its last line too: ASCII with CRLF line
    ends, no line of it begins with a dot.
    """

    boundary: bytes
    encoded: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What an email is made of; empty names are left out. Addresses are such as mail.address takes."""

    from_email: str
    from_name: str
    to_email: str
    to_name: str
    reply_to: str | None
    subject: str
    text: str
    html: str | None
    date: datetime
    message_id: str
    unsubscribe_url: str | None
    headers: tuple[tuple[str, str], ...] = ()
    attached: Attached | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An email ready for SMTP: the envelope, and content with CRLF line ends, its end among them, not dot-stuffed.

    attached follows content; the messages of a run share it, so that ten megabytes are in memory once.
    needs_smtputf8 says that a local part is beyond ASCII: only a server that offers SMTPUTF8 can take it (RFC 6531).
    """

    mail_from: str
    rcpt_to: str
    content: bytes
    needs_smtputf8: bool
    attached: bytes = b""

    @property
    def size_bytes(self) -> int:
        """How large it is as RFC 1870 counts: without what is added on the way."""
        return len(self.content) + len(self.attached)


def build(parts: Parts) -> Message:
    """Write the email: text alone, or text and HTML as alternatives, before the attached files; one recipient.

    Control characters and line ends in names, subject and header values become spaces; line ends in bodies become CRLF.
    Raises Invalid where an address is none, ValueError where the message id or an extra header's name is malformed.
    """
    sender = _wire(parts.from_email)
    recipient = _wire(parts.to_email)
    head = [
        _mailbox_cached("From", parts.from_name, sender),
        _mailbox("To", parts.to_name, recipient),
        _unstructured("Subject", parts.subject),
        _date(parts.date.replace(microsecond=0)),
        _message_id(parts.message_id),
    ]
    needs_smtputf8 = not (sender.isascii() and recipient.isascii())
    if parts.reply_to:
        reply_to = _wire(parts.reply_to)
        needs_smtputf8 = needs_smtputf8 or not reply_to.isascii()
        head.append(f"Reply-To: {reply_to}\r\n")
    if parts.unsubscribe_url is not None:
        head.append(_unsubscribe(parts.unsubscribe_url))
    head += [_extra(name, value) for name, value in parts.headers]
    head.append("MIME-Version: 1.0\r\n")
    return Message(
        mail_from=sender,
        rcpt_to=recipient,
        content="".join(head).encode() + _body(parts),
        needs_smtputf8=needs_smtputf8,
        attached=b"" if parts.attached is None else parts.attached.encoded,
    )


def _body(parts: Parts) -> bytes:
    """Return the body with the headers that describe it, up to the attached files."""
    if parts.attached is None:
        return _texts(parts)
    boundary = parts.attached.boundary
    return (
        b'Content-Type: multipart/mixed;\r\n boundary="%b"\r\n\r\n--%b\r\n' % (boundary, boundary)
    ) + _texts(parts)


def _texts(parts: Parts) -> bytes:
    if parts.html is None:
        return _part(b"plain", parts.text)
    # Neither encoding can bring forth "=_", so no body can hold the boundary.
    boundary = b"=_" + blake2b(parts.message_id.encode(), digest_size=12).hexdigest().encode()
    return b"".join(
        (
            b'Content-Type: multipart/alternative;\r\n boundary="' + boundary + b'"\r\n\r\n',
            b"--" + boundary + b"\r\n",
            _part(b"plain", parts.text),
            b"--" + boundary + b"\r\n",
            _part(b"html", parts.html),
            b"--" + boundary + b"--\r\n",
        )
    )


def _part(subtype: bytes, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    data = data.replace(b"\n", b"\r\n")
    # Base64 makes four bytes of three, quoted-printable three of each beyond ASCII: take the shorter.
    if not text.isascii() and 6 * len(data.translate(None, _ASCII)) > len(data):
        encoding, encoded = b"base64", base64_lines(data)
    else:
        encoding, encoded = b"quoted-printable", _quoted_printable(data)
    return b"Content-Type: text/%b; charset=utf-8\r\nContent-Transfer-Encoding: %b\r\n\r\n%b" % (
        subtype,
        encoding,
        encoded,
    )


def _quoted_printable(data: bytes) -> bytes:
    # The CRLF is added first: b2a_qp breaks long lines with LF alone unless it has seen a CRLF.
    encoded = b2a_qp(data + b"\r\n", istext=True)
    if b" \r" in data or b"\t\r" in data or data.endswith((b" ", b"\t")):
        # A space at a line's end becomes =20 after the line was measured, which can make it too long by one.
        return _OVERFULL.sub(b"=\r\n=", encoded)
    return encoded


def base64_lines(data: bytes) -> bytes:
    """Return the data in base64, in lines that end in CRLF (RFC 2045 6.8)."""
    encoded = b2a_base64(data, newline=False)
    return b"".join(encoded[i : i + _LINE] + b"\r\n" for i in range(0, len(encoded), _LINE))


@lru_cache(maxsize=1024)
def _wire(email: str) -> str:
    """Return the address as SMTP and headers carry it; raises Invalid rather than let anything else through."""
    if _PLAIN_ADDRESS.fullmatch(email):
        return email
    return normalise(email).wire


def _mailbox(header: str, name: str, address: str) -> str:
    name = _SPACES.sub(" ", one_line(name))  # parsers make one of several anyway
    if not name:
        return f"{header}: {address}\r\n"
    phrase = _phrase(name, room=_LINE - len(header) - 2)
    used = len(phrase) - phrase.rfind("\n") + len(header)
    gap = " " if used + len(address) + 4 <= _LINE else "\r\n "
    return f"{header}: {phrase}{gap}<{address}>\r\n"


_mailbox_cached = lru_cache(maxsize=256)(_mailbox)  # the same for a whole run


def _phrase(name: str, *, room: int) -> str:
    """Return a name as RFC 5322 writes it: bare where it may be, else in quotation marks, else as encoded words."""
    # Parsers look for encoded words inside quotation marks too.
    if name.isascii() and "=?" not in name:
        written = name if _ATOMS.fullmatch(name) else _quoted(name)
        if len(written) <= room:
            return written
    return _encoded_words(name, room=room)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unstructured(name: str, value: str) -> str:
    text = one_line(value)
    room = _LINE - len(name) - 2
    if text.isascii() and "=?" not in text:
        if len(text) <= room:
            return f"{name}: {text}\r\n"
        folded = _folded(text, room=room)
        if folded is not None:
            return f"{name}: {folded}\r\n"
    return f"{name}: {_encoded_words(text, room=room)}\r\n"


def _folded(text: str, *, room: int) -> str | None:
    """Break a long line before words, losing nothing; None where a word is too long or a space would stand alone."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if not word or len(word) >= room:
            return None
        if not line:
            line = word
        elif len(line) + 1 + len(word) <= room:
            line += " " + word
        else:
            lines.append(line)
            line, room = word, _LINE - 1
    return "\r\n ".join([*lines, line])


def _encoded_words(text: str, *, room: int) -> str:
    """Return the text as encoded words (RFC 2047), the first of at most room characters, each on a line of its own."""
    data = text.encode()
    words = []
    start = 0
    while start < len(data):
        end = start + (room - _AROUND_WORD) // 4 * 3
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1  # an encoded word holds whole characters (RFC 2047 5)
        words.append(f"=?utf-8?b?{b2a_base64(data[start:end], newline=False).decode()}?=")
        start, room = end, _WORD
    return "\r\n ".join(words)


def one_line(text: str) -> str:
    """Return the text with nothing in it that could end a header, or that UTF-8 cannot carry."""
    if not text.isprintable():
        text = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode()
    return text.strip(" ")


@lru_cache(maxsize=16)
def _date(second: datetime) -> str:
    return f"Date: {format_datetime(second)}\r\n"


def _message_id(message_id: str) -> str:
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"not a message id: {message_id!r}")
    return f"Message-ID: {message_id}\r\n"


def _unsubscribe(url: str) -> str:
    """Return the two headers of one-click unsubscribing (RFC 8058), none where the link takes no POST."""
    if not url.startswith(("https://", "http://")):
        return ""
    url = quote(url, safe=_URL_SAFE, errors="replace")
    if len(url) > _LONGEST:
        raise ValueError(f"an unsubscribe link of {len(url)} characters fits into no header")
    return f"List-Unsubscribe: <{url}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"


def _extra(name: str, value: str) -> str:
    if not _HEADER_NAME.fullmatch(name) or name.lower() in _OWN:
        raise ValueError(f"not a header that can be added: {name!r}")
    return _unstructured(name, value)
