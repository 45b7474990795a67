"""A connection opened until messages can be handed over on it: greeted, secured and signed in to.

Whatever a server does comes back as a Reply or a Broken that names the stage, never as an exception.
"""

from __future__ import annotations

import asyncio
import functools
import re
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from mail import smtp
from mail.reply import Broken, Reply, Stage
from mail.transport import SmtpTransport, Timeouts
from mail.wire import Noted, Wire, dial

if TYPE_CHECKING:
    from mail.message import Message


@functools.cache
def local_name() -> str:
    """Return the name that we give in EHLO: this machine's full name where it has one, else localhost."""
    name = socket.getfqdn()
    # Some resolvers answer with the reverse name of an address; some hosts have names that no server takes.
    usable = re.fullmatch(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+", name) and not name.endswith(".arpa")
    return name if usable else "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A mail server and how to speak to it. security is none, starttls or tls; without a username nobody signs in.

    pipelining False: not even a server that offers PIPELINING is sent more than one command at a time.
    """

    host: str
    port: int
    security: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    verify_tls: bool = True
    pipelining: bool = True
    local_name: str = field(default_factory=local_name)

    def __post_init__(self) -> None:
        if self.security not in ("none", "starttls", "tls"):
            raise ValueError(f"security is none, starttls or tls, not {self.security!r}")


# For a probe: a person waits for it.
PROBE_TIMEOUTS = Timeouts(
    connect=timedelta(seconds=10),
    tls=timedelta(seconds=10),
    banner=timedelta(seconds=20),
    command=timedelta(seconds=20),
    data=timedelta(seconds=20),
    block=timedelta(seconds=20),
    end=timedelta(seconds=60),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep:
    """One step of a probe. detail is what the server said, or what went wrong."""

    step: str
    ok: bool
    detail: str
    ms: int


async def connect(
    endpoint: Endpoint, timeouts: Timeouts | None = None, *, tls: ssl.SSLContext | None = None
) -> SmtpTransport | Reply | Broken:
    """Open a connection that is ready for messages; a Reply or Broken is the account's fault and names the stage.

    tls replaces the context made from the machine's own certificate authorities.
    """
    return await _open(endpoint, timeouts or Timeouts(), tls, lambda stage, detail: None)


async def probe(
    endpoint: Endpoint,
    *,
    message: Message | None = None,
    timeouts: Timeouts = PROBE_TIMEOUTS,
    tls: ssl.SSLContext | None = None,
    tell: Callable[[list[ProbeStep]], None] = lambda steps: None,
) -> list[ProbeStep]:
    """Try an endpoint step by step, and send the message if there is one; a step that failed is the last.

    tell is called with all steps so far whenever there is news of one.
    """
    diary = _Diary(tell)
    # One command at a time, so that each step has its own time and words.
    opened = await _open(replace(endpoint, pipelining=False), timeouts, tls, diary.note)
    if not isinstance(opened, SmtpTransport):
        diary.fail(opened)
        return diary.steps
    try:
        if message is not None:
            answer = await opened.send(message, _yes)
            if isinstance(answer, Broken) or (isinstance(answer, Reply) and answer.code >= 400):
                diary.fail(answer)
    finally:
        await opened.close()
    return diary.steps


async def _yes() -> bool:
    return True


async def _open(
    endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext | None, note: Noted
) -> SmtpTransport | Reply | Broken:
    wire = await dial(endpoint.host, endpoint.port, timeouts.connect, note)
    if isinstance(wire, Broken):
        return wire
    try:
        fault = await _greet(wire, endpoint, timeouts, tls)
    except BaseException:
        wire.abort("The connection was given up")
        raise
    if fault is not None:
        wire.abort("The connection is of no use")
        return fault
    return SmtpTransport(wire, timeouts, pipelining=endpoint.pipelining)


async def _greet(
    wire: Wire, endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext | None
) -> Reply | Broken | None:
    """Bring a fresh connection to where messages can be sent; return what stands against it."""
    fault: Reply | Broken | None
    tls = tls or _tls_context(verify=endpoint.verify_tls)
    if endpoint.security == "tls":
        if wire.heard:
            detail = "The server speaks without TLS on this port, STARTTLS may be right."
            return Broken(stage=Stage.TLS, detail=detail)
        if fault := await _secure(wire, endpoint, timeouts, tls):
            return fault
    if fault := _fault(await wire.banner(timeouts.banner)):
        return fault
    if fault := await _hello(wire, endpoint, timeouts):
        return fault
    if endpoint.security == "starttls" and (
        fault := await _starttls(wire, endpoint, timeouts, tls)
    ):
        return fault
    if endpoint.username is None:
        return None
    return await _sign_in(wire, endpoint, timeouts)


def _fault(answer: Reply | Broken) -> Reply | Broken | None:
    return answer if isinstance(answer, Broken) or answer.code >= 400 else None


async def _hello(wire: Wire, endpoint: Endpoint, timeouts: Timeouts) -> Reply | Broken | None:
    answer = await wire.ask(Stage.EHLO, smtp.ehlo(endpoint.local_name), timeouts.command)
    needs_extensions = endpoint.security == "starttls" or endpoint.username is not None
    if isinstance(answer, Reply) and answer.code >= 500 and not needs_extensions:
        answer = await wire.ask(Stage.EHLO, smtp.helo(endpoint.local_name), timeouts.command)
    return _fault(answer)


async def _starttls(
    wire: Wire, endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext
) -> Reply | Broken | None:
    if not wire.talk.extensions.starttls:
        # No falling back to clear: whoever strips the offer on the way would read the password.
        detail = (
            "The server does not offer STARTTLS. Use TLS, or another port, if the server has one."
        )
        return Broken(stage=Stage.STARTTLS, detail=detail)
    if fault := _fault(await wire.ask(Stage.STARTTLS, smtp.STARTTLS, timeouts.command)):
        return fault
    # Words in clear behind the 220 are an attacker's: the conversation has ended over them.
    if wire.talk.over is not None:
        return Broken(stage=Stage.STARTTLS, detail=wire.talk.over)
    return await _secure(wire, endpoint, timeouts, tls) or await _hello(wire, endpoint, timeouts)


async def _secure(
    wire: Wire, endpoint: Endpoint, timeouts: Timeouts, tls: ssl.SSLContext
) -> Broken | None:
    detail = await wire.start_tls(tls, endpoint.host.rstrip("."), timeouts.tls)
    return None if detail is None else Broken(stage=Stage.TLS, detail=detail)


async def _sign_in(wire: Wire, endpoint: Endpoint, timeouts: Timeouts) -> Reply | Broken | None:
    offered = wire.talk.extensions.auth
    mechanism = smtp.choose_mechanism(offered, private=endpoint.security != "none")
    if mechanism is None:
        ways = ", ".join(sorted(offered)) or "none"
        detail = f"The server offers no way to sign in that we know (it offers: {ways}). "
        if endpoint.security == "none":
            detail += "Many servers offer it under TLS or STARTTLS only."
        return Broken(stage=Stage.AUTH, detail=detail.strip())
    password = endpoint.password or ""
    steps = smtp.sign_in(mechanism, endpoint.username or "", password)
    try:
        line, secret = next(steps)
        while True:
            wire.talk.keep_secret([secret, password])
            answer = await wire.ask(Stage.AUTH, line, timeouts.command)
            if isinstance(answer, Broken) or answer.code != 334:
                wire.talk.keep_secret([])
                return _fault(answer)
            line, secret = steps.send(answer.text)
    except StopIteration:
        return Broken(stage=Stage.AUTH, detail=f"The server asks for more than {mechanism} knows.")
    except ValueError:  # not quoted: it may hold the password
        detail = f"The server's {mechanism} challenge, the user name or the password can't be used."
        return Broken(stage=Stage.AUTH, detail=detail)


@functools.cache
def _tls_context(*, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _Diary:
    """The steps of a probe, as they come."""

    def __init__(self, tell: Callable[[list[ProbeStep]], None]) -> None:
        self.steps: list[ProbeStep] = []
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._since = self._loop.time()

    def note(self, stage: Stage, detail: str) -> None:
        """Write down a step that went well."""
        self._add(stage, detail, ok=True)

    def fail(self, answer: Reply | Broken) -> None:
        """Write down the step that did not."""
        self._add(
            answer.stage, answer.detail if isinstance(answer, Broken) else str(answer), ok=False
        )

    def _add(self, stage: Stage, detail: str, *, ok: bool) -> None:
        now = self._loop.time()
        ms = round((now - self._since) * 1000)
        self._since = now
        step = "content" if stage == Stage.END_GIVEN else stage.value
        if self.steps and self.steps[-1].step == step:  # one step that took several commands
            ms += self.steps.pop().ms
        self.steps.append(ProbeStep(step=step, ok=ok, detail=detail, ms=ms))
        self._tell([*self.steps])
