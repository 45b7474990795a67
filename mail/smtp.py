"""SMTP as a client speaks it (RFC 5321): bytes in, replies out, and the bytes to write. No socket, no time.

A Conversation promises that replies are matched in order, that nothing else is ever taken for one, and that what a
server says is data (Reply, Broken), never an exception. When to write, and how long to wait, is for mail.transport.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mail.reply import Broken, Reply, Stage

if TYPE_CHECKING:
    from mail.message import Message

MAX_REPLY_LINE_BYTES = 4096
MAX_REPLY_LINES = 100
MAX_REPLY_TEXT = 1000

STARTTLS = b"STARTTLS\r\n"
DATA = b"DATA\r\n"
RSET = b"RSET\r\n"
QUIT = b"QUIT\r\n"
_END_OF_CONTENT = b".\r\n"

_MAX_QUOTED = 200
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINE_END = re.compile(rb"\r\n|\r|\n")
_PATH = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s<>"])*')
_SIZE = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extensions:
    """What the server announced in its reply to EHLO; nothing before it, and nothing after HELO.

    size_limit is in bytes; None when SIZE has none, or is not offered.
    """

    starttls: bool = False
    auth: frozenset[str] = frozenset()
    size: bool = False
    size_limit: int | None = None
    eight_bit: bool = False
    smtputf8: bool = False
    pipelining: bool = False


class Conversation:
    """The client's side of one SMTP connection.

    | it is | what may arrive |
    | --- | --- |
    | waiting | the replies to what was asked, in order |
    | in content (from the 354 to the end of the content) | nothing: whatever does is no reply to the content |
    | idle | nothing |
    | over | what arrives is not looked at |

    It begins waiting for the banner. Each stage asked for gets exactly one answer, from receive or from lose: the
    oldest first. More than one may be waiting (RFC 2920). over is a sentence once nothing more can be asked.
    """

    def __init__(self) -> None:
        self.extensions = Extensions()
        self.over: str | None = None
        self._waiting: deque[Stage] = deque([Stage.BANNER])
        self._reader = _ReplyReader()
        self._in_content = False
        self._secrets: tuple[str, ...] = ()

    @property
    def wants_content(self) -> bool:
        """Whether the server waits for content, and nothing but that and its end can be written."""
        return self._in_content and self.over is None

    def ask(self, stage: Stage, line: bytes) -> bytes:
        """Return the bytes to write for a command, whose reply is waited for from now on."""
        assert self.over is None, "the connection is over"
        assert not self._in_content, "only the end of the content can follow content"
        self._waiting.append(stage)
        return line

    def end_content(self) -> bytes:
        """Return the bytes that end the content, whose reply is waited for from now on."""
        assert self.over is None, "the connection is over"
        assert self._in_content, "the server did not ask for content"
        self._in_content = False
        self._waiting.append(Stage.END_GIVEN)
        return _END_OF_CONTENT

    def begin_tls(self) -> None:
        """Forget what was learnt in clear, where anybody may have said it (RFC 3207 4.2)."""
        self.extensions = Extensions()

    def keep_secret(self, secrets: Sequence[str]) -> None:
        """Show these as *** when a server repeats them; a new call replaces the ones before."""
        self._secrets = tuple(secret for secret in secrets if secret)

    def receive(self, data: bytes) -> list[Reply | Broken]:
        """Take what the server sent; return the answers to what was asked, oldest first."""
        if self.over is not None:
            return []
        self._reader.feed(data)
        answers: list[Reply | Broken] = []
        while self._waiting and self.over is None:
            said = self._reader.take()
            if said is None:
                return answers
            answers += self._match(said)
        if self.over is None and self._reader.rest:
            answers += self.lose(
                "The server spoke before the end of the content was sent"
                if self._in_content
                else "The server said something that is no answer to anything"
            )
        return answers

    def lose(self, why: str) -> list[Reply | Broken]:
        """End the conversation; return a break for everything that still waits.

        why is a sentence without its full stop; what the server began to say is added to it.
        """
        if self.over is not None:
            return []
        begun = self._masked(self._reader.begun)[:_MAX_QUOTED]
        self.over = f"{why}: {begun}." if begun else f"{why}."
        broken: list[Reply | Broken] = [
            Broken(stage=stage, detail=self.over) for stage in self._waiting
        ]
        self._waiting.clear()
        return broken

    def _match(self, said: _Said | _NotSmtp) -> list[Reply | Broken]:
        stage = self._waiting[0]
        if isinstance(said, _NotSmtp):
            return self.lose(f"The server's answer is not SMTP ({said.problem})")
        text = self._masked("\n".join(said.lines))[:MAX_REPLY_TEXT]
        if not _may_answer(stage, said.code):
            return self.lose(f"The server gave an answer of the wrong kind ({said.code} {text})")
        self._waiting.popleft()
        if stage == Stage.EHLO and said.code < 300:
            self.extensions = _read_extensions(said.lines)
        elif stage == Stage.DATA and said.code < 400:
            self._in_content = True
        answers: list[Reply | Broken] = [Reply(stage=stage, code=said.code, text=text)]
        if said.code == 421:  # the server closes now, whatever was asked (RFC 5321 3.8)
            answers += self.lose(f"The server ended the connection (421 {text})")
        return answers

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


@dataclass(frozen=True, slots=True)
class _Said:
    """One complete reply: its code, and the text of each line."""

    code: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _NotSmtp:
    """Something that is no reply; problem says what is wrong with it."""

    problem: str


class _ReplyReader:
    """Cuts what arrives into replies (RFC 5321 4.2.1), however the network cut it before."""

    def __init__(self) -> None:
        self.rest = b""
        self._code = 0
        self._lines: list[str] = []
        self._goes_on = False

    @property
    def begun(self) -> str:
        """What has arrived of the next reply, for people to read."""
        lines = [f"{self._code} {line}" for line in self._lines]
        return " / ".join([*lines, *map(_readable, self.rest[: 2 * _MAX_QUOTED].splitlines())])

    def feed(self, data: bytes) -> None:
        self.rest += data

    def take(self) -> _Said | _NotSmtp | None:
        """Return the next reply, or None until more has arrived."""
        while True:
            line, end, rest = self.rest.partition(b"\n")
            if len(line) > MAX_REPLY_LINE_BYTES:
                return _NotSmtp(f"a line of more than {MAX_REPLY_LINE_BYTES} bytes")
            if not end:
                return None
            problem = self._take_line(line.removesuffix(b"\r"))
            if problem is not None:
                return _NotSmtp(problem)
            self.rest = rest
            if not self._goes_on:
                said = _Said(self._code, tuple(self._lines))
                self._lines = []
                return said

    def _take_line(self, line: bytes) -> str | None:
        match = _REPLY_LINE.fullmatch(line)
        if match is None:
            return "a line that does not begin with a code from 200 to 599"
        code = int(match[1])
        if self._lines and code != self._code:
            return f"a reply whose lines begin with {self._code} and {code}"
        if len(self._lines) == MAX_REPLY_LINES:
            return f"a reply of more than {MAX_REPLY_LINES} lines"
        self._code = code
        self._lines.append(_readable(match[3] or b""))
        self._goes_on = match[2] == b"-"
        return None


def _readable(data: bytes) -> str:
    """Return what a server said as text that can be shown and stored: no line breaks, no control characters."""
    return _CONTROL.sub("\ufffd", data.decode("utf-8", errors="replace"))


def _may_answer(stage: Stage, code: int) -> bool:
    if code >= 400:
        return True
    match stage:
        case Stage.DATA:
            return code >= 300
        case Stage.AUTH:
            return code < 300 or code == 334
        case _:
            return code < 300


def _read_extensions(lines: Sequence[str]) -> Extensions:
    words = [line.split() for line in lines[1:]]
    offered = {line[0].upper(): line[1:] for line in words if line}
    mechanisms = {word.upper() for word in offered.get("AUTH", [])}
    # Servers older than RFC 2554 write AUTH=LOGIN PLAIN.
    for line in words:
        if line and line[0].upper().startswith("AUTH="):
            mechanisms |= {word.upper() for word in (line[0][len("AUTH=") :], *line[1:]) if word}
    limit = next(iter(offered.get("SIZE", [])), "")
    return Extensions(
        starttls="STARTTLS" in offered,
        auth=frozenset(mechanisms),
        size="SIZE" in offered,
        # A limit of 0 means that there is none (RFC 1870 3).
        size_limit=(int(limit) or None) if _SIZE.fullmatch(limit) else None,
        eight_bit="8BITMIME" in offered,
        smtputf8="SMTPUTF8" in offered,
        pipelining="PIPELINING" in offered,
    )


def command(text: str) -> bytes:
    """Return a command line as bytes.

    Raises ValueError where the text holds a control character: behind a line end, a stranger's command would begin.
    """
    if _CONTROL.search(text):
        raise ValueError("an SMTP command can't hold a control character")
    return text.encode() + b"\r\n"


def ehlo(name: str) -> bytes:
    return command(f"EHLO {name}")


def helo(name: str) -> bytes:
    return command(f"HELO {name}")


def envelope(message: Message, extensions: Extensions) -> tuple[bytes, bytes] | Reply:
    """Return MAIL and RCPT for a message, or the refusal that this server would have to give it.

    A refusal that we give in the server's place is about the message, not the account: 552 too large for the announced
    SIZE, 553 an address that needs SMTPUTF8, 555 content that needs 8BITMIME. Raises ValueError for an address that
    would say more than an address.
    """
    size = message.size_bytes
    if extensions.size_limit is not None and size > extensions.size_limit:
        return _refuse(
            552,
            f"5.3.4 The message has {size} bytes, the server takes at most {extensions.size_limit}",
        )
    if message.needs_smtputf8 and not extensions.smtputf8:
        return _refuse(553, "5.6.7 The server does not take SMTPUTF8 addresses")
    needs_eight_bit = not message.content.isascii()
    if needs_eight_bit and not extensions.eight_bit:
        return _refuse(555, "5.6.3 The server does not take 8-bit content (8BITMIME)")
    mail = f"MAIL FROM:{_path(message.mail_from, message)}"
    if extensions.size:
        mail += f" SIZE={size}"
    if needs_eight_bit:
        mail += " BODY=8BITMIME"
    if message.needs_smtputf8:
        mail += " SMTPUTF8"
    return command(mail), command(f"RCPT TO:{_path(message.rcpt_to, message)}")


def _refuse(code: int, text: str) -> Reply:
    return Reply(stage=Stage.MAIL, code=code, text=text)


def _path(address: str, message: Message) -> str:
    if not _PATH.fullmatch(address) or _CONTROL.search(address):
        raise ValueError(f"{address!r} can't be written in an SMTP command")
    if not message.needs_smtputf8 and not address.isascii():
        raise ValueError(f"{address!r} can't be written without SMTPUTF8")
    return f"<{address}>"


def dot_stuffed(content: bytes) -> bytes:
    """Return content as it is written, but for its end: every line end CRLF, leading dots doubled (RFC 5321 4.5.2).

    A lone CR or LF may never go out: servers disagree on what it is, so a second message could be hidden behind it.
    """
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        content = _LINE_END.sub(b"\r\n", content)
    if content and not content.endswith(b"\r\n"):
        content += b"\r\n"
    content = content.replace(b"\r\n.", b"\r\n..")
    return b"." + content if content.startswith(b".") else content


def choose_mechanism(offered: frozenset[str], *, private: bool) -> str | None:
    """Return the way to sign in, or None where we know none of those offered.

    private says that TLS hides what is said; in clear a way that does not show the password comes first.
    """
    known = ["PLAIN", "LOGIN", "CRAM-MD5"] if private else ["CRAM-MD5", "PLAIN", "LOGIN"]
    return next((mechanism for mechanism in known if mechanism in offered), None)


SignIn = Generator[tuple[bytes, str], str, None]


def sign_in(mechanism: str, username: str, password: str) -> SignIn:
    """Speak one mechanism: yields a line to write and the secret in it, and is sent the text of each 334.

    Returns when it has no more to say. Raises ValueError for a challenge that is not base64, or a user name or password
    that the mechanism can't carry.
    """
    match mechanism:
        case "PLAIN":
            if "\0" in username + password:
                raise ValueError("PLAIN can't carry NUL")
            secret = _base64(f"\0{username}\0{password}")
            yield command(f"AUTH PLAIN {secret}"), secret
            # Some servers overlook the response behind the command and ask for it again.
            yield command(secret), secret
        case "LOGIN":
            yield command("AUTH LOGIN"), ""
            yield command(_base64(username)), ""
            yield command(_base64(password)), _base64(password)
        case "CRAM-MD5":
            challenge = yield command("AUTH CRAM-MD5"), ""
            digest = hmac.new(
                password.encode(), base64.b64decode(challenge, validate=True), "md5"
            ).hexdigest()
            secret = _base64(f"{username} {digest}")
            yield command(secret), secret
        case _:
            raise ValueError(f"{mechanism} is no mechanism that we know")


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
