"""What the sandbox mail server has received, newest first.

Reads the Maildir that mail/sandbox.py writes. A message that is damaged is shown as far as it can be read and never
keeps the others from being shown.
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from heapq import nlargest
from itertools import islice, takewhile
from pathlib import Path
from typing import TypeAlias

from foundation.errors import NotFound

RUN_HEADER = "X-Sendonce-Run"
SCAN_LIMIT = 20_000  # messages that one search looks into, from the newest on: some two seconds
_HEAD_BYTES = 65536  # a header section longer than this is read up to here
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_FOLD = re.compile(r"\r?\n(?=[ \t])")
_RUN_ID = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[1-9][0-9]{0,15}")
_ID_LIMIT = 10**16  # microseconds up to the year 2286

_headers_only = BytesHeaderParser()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxItem:
    """A received message, as a list shows it. run_id is the run that says it sent it."""

    id: int
    received_at: datetime
    mail_from: str
    rcpt_to: tuple[str, ...]
    subject: str
    message_id: str | None
    run_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedFile:
    """A file that a received message carries, as the message calls it; size is of the file itself, in bytes."""

    name: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxMessage(OutboxItem):
    """A received message whole. text and html are decoded, with LF line ends; raw is the file."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    attachments: tuple[AttachedFile, ...]
    raw: str


def list_outbox(outbox: Path, *, q: str | None, before: int | None, limit: int) -> list[OutboxItem]:
    """Return up to limit messages, newest first, only ids below before.

    q looks for a text in subject, sender and recipients, in the newest SCAN_LIMIT messages of those.
    """
    wanted = (q or "").strip().casefold()
    paths = (entry for entry in _paths(outbox) if before is None or entry[0] < before)
    # A few more than asked for: some may be gone, or can't be read, when their turn comes.
    newest = nlargest(SCAN_LIMIT if wanted else limit + 100, paths)
    heads = ((number, _read_head(path)) for number, path in newest)
    found = (
        _item(number, head)
        for number, head in heads
        if head is not None and (not wanted or _mentions(head, wanted))
    )
    return list(islice(found, limit))


def read_outbox(outbox: Path, id: int) -> OutboxMessage:
    """Return one message whole; raises NotFound."""
    data = _read(outbox, id)
    message = _parsed(data)
    return OutboxMessage(
        **asdict(_item(id, message)),
        headers=tuple((name, decoded(value)) for name, value in message.raw_items()),
        text=_body(message, "text/plain"),
        html=_body(message, "text/html"),
        attachments=tuple(
            AttachedFile(
                name=_file_name(part),
                content_type=part.get_content_type(),
                size=len(_bytes_of(part)),
            )
            for part in _attached(message)
        ),
        raw=data.decode("utf-8", "replace"),
    )


def read_attachment(outbox: Path, id: int, number: int) -> tuple[str, bytes]:
    """Return the name and the content of one of a message's files, the first being 1. Raises NotFound."""
    for part in islice(_attached(_parsed(_read(outbox, id))), number - 1, number):
        return _file_name(part), _bytes_of(part)
    raise NotFound("This message has no such file. Look at the message for those that it has")


def read_items(outbox: Path, ids: Iterable[int]) -> Iterator[OutboxItem]:
    """Give these messages as a list shows them, in this order; one that is gone is left out."""
    for number in ids:
        head = next(filter(None, map(_read_head, places(outbox, number))), None)
        if head is not None:
            yield _item(number, head)


def read_bytes(outbox: Path, id: int) -> bytes:
    """Return a message's file as it is; raises NotFound."""
    return _read(outbox, id)


def delete_up_to(outbox: Path, newest: int) -> int:
    """Delete the messages up to this id and return how many there were; what came after it stays."""
    deleted = 0
    for number, path in list(_paths(outbox)):
        if number > newest:
            continue
        try:
            Path(path).unlink()
        except OSError:  # gone meanwhile, or no file
            continue
        deleted += 1
    return deleted


_Message: TypeAlias = "Message[str, str]"


def _paths(outbox: Path) -> Iterator[tuple[int, str]]:
    # A mail program that looks into the folder moves what it has seen from new/ to cur/, and adds flags to the name.
    for folder in ("new", "cur"):
        try:
            with os.scandir(outbox / folder) as entries:
                listed = [(entry.name.partition(":")[0], entry.path) for entry in entries]
        except OSError:
            continue
        for name, path in listed:
            if _NAME.fullmatch(name):
                yield int(name), path


def _read(outbox: Path, wanted: int) -> bytes:
    for path in places(outbox, wanted):
        try:
            return Path(path).read_bytes()
        except OSError:
            continue
    raise NotFound("The outbox holds no such message. Look at the list for those that are there")


def places(outbox: Path, wanted: int) -> Iterator[str]:
    """Give the paths at which the message may be; the next one is worth a look only where the one before is none."""
    if 0 < wanted < _ID_LIMIT:
        yield str(outbox / "new" / str(wanted))
        yield from (path for number, path in _paths(outbox) if number == wanted)


def _parsed(data: bytes) -> _Message:
    try:
        return message_from_bytes(data)
    except RecursionError:  # parts within parts without end
        return _headers_only.parsebytes(_HEAD_END.split(data, maxsplit=1)[0])


def _read_head(path: str) -> "_Message | None":
    """Return the headers of a message, None where the file can't be read."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(_HEAD_BYTES)
    except OSError:
        return None
    return _headers_only.parsebytes(_HEAD_END.split(start, maxsplit=1)[0])


def decoded(value: str) -> str:
    """Return a header's text: unfolded, its encoded words decoded where they can be.

    Bytes beyond ASCII come as surrogates.
    """
    # The parser keeps bytes beyond ASCII as surrogates; where there are any they are UTF-8 (RFC 6532).
    text = (
        _FOLD.sub("", value).encode("ascii", "surrogateescape").decode("utf-8", "replace").strip()
    )
    if "=?" not in text:
        return text
    try:
        return str(make_header(decode_header(text)))
    except (MessageError, LookupError, ValueError):
        return text


def _item(number: int, message: _Message) -> OutboxItem:
    first: dict[str, str] = {}
    for name, value in message.raw_items():
        first.setdefault(name.lower(), value)
    # What the server put in front ends with its Received; what follows is the sender's, whatever it calls it.
    envelope = takewhile(lambda header: header[0].lower() != "received", message.raw_items())
    run = first.get(RUN_HEADER.lower(), "").strip()
    message_id = first.get("message-id")
    return OutboxItem(
        id=number,
        received_at=_EPOCH + timedelta(microseconds=number),
        mail_from=decoded(first.get("return-path", "")).removeprefix("<").removesuffix(">"),
        rcpt_to=tuple(decoded(v) for name, v in envelope if name.lower() == "delivered-to"),
        subject=decoded(first.get("subject", "")),
        message_id=None if message_id is None else decoded(message_id),
        run_id=int(run) if _RUN_ID.fullmatch(run) else None,
    )


_SEARCHED = frozenset({"subject", "from", "to", "return-path", "delivered-to"})


def _mentions(message: _Message, wanted: str) -> bool:
    return any(
        name.lower() in _SEARCHED and wanted in decoded(value).casefold()
        for name, value in message.raw_items()
    )


def _body(message: _Message, content_type: str) -> str | None:
    """Return the first part of that type, decoded."""
    for part in message.walk():
        if (
            part.get_content_type() == content_type
            and part.get_content_disposition() != "attachment"
        ):
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                return _text(content, part.get_content_charset("utf-8"))
    return None


def _attached(message: _Message) -> "Iterator[_Message]":
    return (part for part in message.walk() if part.get_content_disposition() == "attachment")


def _bytes_of(part: _Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""  # a message in the message


def _file_name(part: _Message) -> str:
    name = part.get_filename() or ""
    # As the bytes had it, or decoded by the parser where RFC 2231 was followed.
    is_raw = all(c < "\x80" or "\udc80" <= c <= "\udcff" for c in name)
    name = decoded(name) if is_raw else name.encode("utf-8", "replace").decode()
    return name or "without a name"


def _text(content: bytes, charset: str) -> str:
    try:
        text = content.decode(charset, "replace")
    except (LookupError, ValueError):
        text = content.decode("utf-8", "replace")
    return text.replace("\r\n", "\n")
