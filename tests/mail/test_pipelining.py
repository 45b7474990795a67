"""Two messages open on one connection (RFC 2920): whatever a server does to the second, the first keeps its answer,
each answer goes to the message that it belongs to, and no more than one is ever in doubt."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest

from mail.message import Message
from mail.opening import Endpoint
from mail.reply import Answer, Broken, Reply, Stage, Withdrawn
from mail.transport import BLOCK_BYTES, LookAhead, SmtpTransport, Timeouts
from mail.wire import Wire
from tests.mail.certificates import client_context, server_context
from tests.mail.scripted_server import (
    HANG_UP,
    RESET,
    SILENCE,
    Action,
    Call,
    Drip,
    InTurn,
    ScriptedServer,
)
from tests.mail.test_transport import PATIENT, a_message, at, no, opened, yes

SOON = timedelta(seconds=0.2)
GARBAGE = b"\xff\x00what\r\n"
DOES_NOT_PIPELINE = [b"250-mx.test\r\n250 8BITMIME\r\n"]


def to(name: str, **changes: Any) -> Message:
    content = f"Subject: to {name}\r\n\r\nhello\r\n".encode()
    return a_message(**({"rcpt_to": f"{name}@example.org", "content": content} | changes))


ANN, BOB, CLEO = to("ann"), to("bob"), to("cleo")


def next_is(message: Message | None) -> LookAhead:
    return lambda: message


async def in_a_row(
    open_one: Callable[[], Awaitable[SmtpTransport]], messages: Sequence[Message]
) -> list[Answer]:
    """Send each, always looking ahead to the next; on a new connection where the one before is of no use any more."""
    transport = await open_one()
    answers: list[Answer] = []
    for message, after in zip(messages, [*messages[1:], None], strict=True):
        if not transport.usable:
            await transport.close()
            transport = await open_one()
        answers.append(await transport.send(message, yes, next_is(after)))
    await transport.close()
    return answers


def sent(
    server: ScriptedServer, *messages: Message, timeouts: Timeouts = PATIENT, **changes: Any
) -> list[Answer]:
    return asyncio.run(in_a_row(lambda: opened(at(server, **changes), timeouts), messages))


def told(answer: Answer) -> Any:
    """Return an answer's stage, with its code where it has one."""
    match answer:
        case Reply():
            return answer.stage, answer.code
        case Broken():
            return answer.stage
        case _:
            return answer


def receivers(server: ScriptedServer) -> list[str]:
    """Return who got something, in order; a lone dot for nobody is no message."""
    assert all(m.content == b"" for m in server.messages if not m.rcpt_to)
    return [m.rcpt_to[0].partition("@")[0] for m in server.messages if m.rcpt_to]


TAKEN = (Stage.END_GIVEN, 250)


# What travels together


def envelope_of(message: Message) -> bytes:
    size = len(message.content)
    return (
        f"MAIL FROM:<news@example.com> SIZE={size}\r\nRCPT TO:<{message.rcpt_to}>\r\nDATA\r\n"
    ).encode()


def test_a_message_costs_one_round_trip() -> None:
    messages = [to(f"p{n}") for n in range(10)]
    with ScriptedServer() as server:
        answers = sent(server, *messages)

    assert [told(a) for a in answers] == [TAKEN] * 10
    together = [
        message.content + b".\r\n" + envelope_of(after) for message, after in pairwise(messages)
    ]
    assert server.reads == [
        b"EHLO client.test\r\n",
        envelope_of(messages[0]),
        *together,
        messages[-1].content + b".\r\n",
        b"QUIT\r\n",
    ]


def test_replies_that_come_in_one_read_go_to_whom_they_belong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = threading.Event()
    reads: list[bytes] = []
    receive = Wire.data_received

    def note(wire: Wire, data: bytes) -> None:
        reads.append(data)
        receive(wire, data)

    def look_ahead() -> Message:
        # After the write the loop stands still, until the server has said everything.
        asyncio.get_running_loop().call_soon(said.wait, 10)
        return BOB

    async def send() -> list[Answer]:
        transport = await opened(at(server))
        answers = [await transport.send(ANN, yes, look_ahead), await transport.send(BOB, yes)]
        await transport.close()
        return answers

    monkeypatch.setattr(Wire, "data_received", note)
    script: dict[str, Any] = {"DATA": InTurn([b"354 go\r\n"], [b"354 go\r\n", Call(said.set)])}
    with ScriptedServer(script) as server:
        answers = asyncio.run(send())

    assert b"250 queued\r\n250 sender ok\r\n250 recipient ok\r\n354 go\r\n" in reads
    assert [told(a) for a in answers] == [TAKEN, TAKEN]


def test_replies_that_come_byte_by_byte_go_to_whom_they_belong() -> None:
    script: dict[str, Any] = {
        "MAIL": [Drip(b"250-sender\r\n250 ok\r\n")],
        "RCPT": InTurn([Drip(b"250 ok\r\n")], [Drip(b"550-no\r\n550 body\r\n")], [b"250 ok\r\n"]),
        "DATA": [Drip(b"354-go\r\n354 on\r\n")],
        "DATA for nobody": [Drip(b"554 nobody\r\n")],
        "end": InTurn([Drip(b"250-as\r\n250 1\r\n")], [Drip(b"451 2\r\n")]),
    }
    with ScriptedServer(script) as server:
        answers = sent(server, ANN, BOB, CLEO)

    assert answers == [
        Reply(stage=Stage.END_GIVEN, code=250, text="as\n1"),
        Reply(stage=Stage.RCPT, code=550, text="no\nbody"),
        Reply(stage=Stage.END_GIVEN, code=451, text="2"),
    ]
    assert server.connections == 1


def one_at_a_time(server: ScriptedServer, messages: int, *, greetings: int = 1) -> bool:
    """Whether each command of so many messages came alone."""
    reads = server.reads[greetings:]
    commands = [r for r in reads if r.startswith((b"MAIL", b"RCPT", b"DATA"))]
    return len(commands) == 3 * messages and all(r.count(b"\r\n") == 1 for r in commands)


def never() -> Message:
    raise AssertionError("nobody looks ahead where nothing may travel along")


@pytest.mark.parametrize(
    ("script", "changes"),
    [({"EHLO": DOES_NOT_PIPELINE}, {}), ({}, {"pipelining": False})],
    ids=["not offered", "switched off"],
)
def test_commands_go_one_at_a_time_where_they_have_to(
    script: dict[str, Any], changes: dict[str, Any]
) -> None:
    async def send() -> list[Answer]:
        transport = await opened(at(server, **changes))
        answers = [await transport.send(m, yes, never) for m in (ANN, BOB)]
        await transport.close()
        return answers

    with ScriptedServer(script) as server:
        answers = asyncio.run(send())

    assert [told(a) for a in answers] == [TAKEN, TAKEN]
    assert one_at_a_time(server, 2)


@pytest.mark.parametrize("security", ["none", "starttls"])
def test_what_was_offered_in_clear_does_not_count_under_tls(tmp_path: Path, security: str) -> None:
    ours, certificate = server_context(tmp_path, names=("localhost",))
    before = [b"250-mx.test\r\n250-PIPELINING\r\n250 STARTTLS\r\n"]

    async def send() -> list[Answer]:
        theirs = client_context(certificate)
        endpoint = at(server, host="localhost", security=security)
        return await in_a_row(lambda: opened(endpoint, tls=theirs), [ANN, BOB])

    with ScriptedServer({"EHLO": InTurn(before, DOES_NOT_PIPELINE)}, tls=ours) as server:
        answers = asyncio.run(send())

    assert [told(a) for a in answers] == [TAKEN, TAKEN]
    assert one_at_a_time(server, 2, greetings=3) == (security == "starttls")


def test_one_round_trip_is_enough_under_tls(tmp_path: Path) -> None:
    ours, certificate = server_context(tmp_path, names=("localhost",))

    async def send() -> list[Answer]:
        theirs = client_context(certificate)
        endpoint = at(server, host="localhost", security="tls")
        return await in_a_row(lambda: opened(endpoint, tls=theirs), [ANN, BOB, CLEO])

    with ScriptedServer(tls=ours, implicit_tls=True) as server:
        answers = asyncio.run(send())

    assert [told(a) for a in answers] == [TAKEN] * 3
    assert ANN.content + b".\r\n" + envelope_of(BOB) in server.reads
    assert receivers(server) == ["ann", "bob", "cleo"]


def test_the_envelope_travels_behind_the_last_of_many_blocks() -> None:
    large = [to(n, content=b".%s\r\n" % (b"x" * 98) * 10_000) for n in ("ann", "bob")]
    assert len(large[0].content) > 10 * BLOCK_BYTES

    with ScriptedServer() as server:
        answers = sent(server, *large, CLEO)

    assert [told(a) for a in answers] == [TAKEN] * 3
    assert receivers(server) == ["ann", "bob", "cleo"]
    for received, message in zip(server.messages, large, strict=False):
        assert received.content == message.content.replace(b".x", b"..x")
    assert server.connections == 1


def test_what_comes_next_is_asked_once_right_before_the_end() -> None:
    asked: list[str] = []

    async def send() -> None:
        transport = await opened(at(server))
        await transport.send(ANN, yes, look_ahead)
        await transport.close()

    def look_ahead() -> None:
        asked.append(server.commands[-1])

    with ScriptedServer() as server:
        asyncio.run(send())

    assert asked == ["DATA"]


# What is not offered


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"content": b"x" * 2000}, 552), ({"needs_smtputf8": True}, 553), ({"content": b"\xe4"}, 555)],
)
def test_a_message_that_the_server_can_not_take_does_not_travel_along(
    changes: dict[str, Any], code: int
) -> None:
    with ScriptedServer({"EHLO": [b"250-mx.test\r\n250-PIPELINING\r\n250 SIZE 999\r\n"]}) as server:
        answers = sent(server, ANN, to("bob", **changes), CLEO)

    assert [told(a) for a in answers] == [TAKEN, (Stage.MAIL, code), TAKEN]
    assert receivers(server) == ["ann", "cleo"]
    assert server.connections == 1
    assert not any("bob" in command for command in server.commands)


def test_an_address_that_is_no_address_does_not_travel_along() -> None:
    bad = to("bob", rcpt_to="a@b.test>\r\nDATA")

    async def send() -> list[Answer]:
        transport = await opened(at(server))
        first = await transport.send(ANN, yes, next_is(bad))
        with pytest.raises(ValueError, match="can't be written"):
            await transport.send(bad, yes)
        last = await transport.send(CLEO, yes)
        await transport.close()
        return [first, last]

    with ScriptedServer() as server:
        answers = asyncio.run(send())

    assert [told(a) for a in answers] == [TAKEN, TAKEN]
    assert receivers(server) == ["ann", "cleo"]


# What a server does to the message that was looked ahead to


@dataclass(frozen=True)
class Row:
    """What a server does the second time that a step is reached, and what that is for the second message.

    hasty: the time-out that is waited for.
    """

    step: str
    actions: Sequence[Action]
    answer: Any
    hasty: str | None = None

    def __str__(self) -> str:
        return f"{self.step}: {self.actions}"


# A connection that is closed before it has said anything of a message: nobody's fault.
GONE = Stage.CONNECT
SECOND = (
    Row("MAIL", [b"550 no\r\n"], (Stage.MAIL, 550)),
    Row("MAIL", [b"451 later\r\n"], (Stage.MAIL, 451)),
    Row("MAIL", [b"421 bye\r\n", HANG_UP], GONE),
    Row("MAIL", [b"421 bye\r\n", RESET], GONE),
    Row("MAIL", [HANG_UP], GONE),
    Row("MAIL", [RESET], GONE),
    Row("MAIL", [b"250-o", HANG_UP], GONE),
    Row("MAIL", [GARBAGE], GONE),
    Row("MAIL", [b"354 go\r\n"], GONE),
    Row("MAIL", [b"250-yes\r\n550 no\r\n"], GONE),
    Row("MAIL", [SILENCE], GONE, "command"),
    Row("MAIL", [b"250 ok\r\n250 stray\r\n"], Stage.DATA),
    Row("RCPT", [b"550 no\r\n"], (Stage.RCPT, 550)),
    Row("RCPT", [b"450 later\r\n"], (Stage.RCPT, 450)),
    Row("RCPT", [b"421 bye\r\n", HANG_UP], (Stage.RCPT, 421)),
    Row("RCPT", [HANG_UP], Stage.RCPT),
    Row("RCPT", [RESET], Stage.RCPT),
    Row("RCPT", [GARBAGE], Stage.RCPT),
    Row("RCPT", [b"354 go\r\n"], Stage.RCPT),
    Row("RCPT", [SILENCE], Stage.RCPT, "command"),
    Row("RCPT", [b"250 ok\r\n250 stray\r\n"], Stage.DATA),
    Row("DATA", [b"554 no\r\n"], (Stage.DATA, 554)),
    Row("DATA", [b"451 later\r\n"], (Stage.DATA, 451)),
    Row("DATA", [b"421 bye\r\n", HANG_UP], (Stage.DATA, 421)),
    Row("DATA", [HANG_UP], Stage.DATA),
    Row("DATA", [RESET], Stage.DATA),
    Row("DATA", [GARBAGE], Stage.DATA),
    Row("DATA", [b"250 ok\r\n"], Stage.DATA),
    Row("DATA", [SILENCE], Stage.DATA, "data"),
    Row("DATA", [b"354 go\r\n250 queued already\r\n", SILENCE], Stage.CONTENT),
    Row("DATA", [b"354 go\r\n421 bye\r\n", HANG_UP], Stage.CONTENT),
    Row("end", [b"451 later\r\n"], (Stage.END_GIVEN, 451)),
    Row("end", [b"554 no\r\n"], (Stage.END_GIVEN, 554)),
    Row("end", [b"421 bye\r\n", HANG_UP], (Stage.END_GIVEN, 421)),
    Row("end", [HANG_UP], Stage.END_GIVEN),
    Row("end", [RESET], Stage.END_GIVEN),
    Row("end", [b"250-ok\r\n", HANG_UP], Stage.END_GIVEN),
    Row("end", [GARBAGE], Stage.END_GIVEN),
    Row("end", [b"354 go\r\n"], Stage.END_GIVEN),
    Row("end", [SILENCE], Stage.END_GIVEN, "end"),
)


@pytest.mark.parametrize("row", SECOND, ids=str)
def test_whatever_happens_to_the_second_message_the_first_keeps_its_answer(row: Row) -> None:
    timeouts = replace(PATIENT, **{row.hasty: SOON}) if row.hasty else PATIENT
    with ScriptedServer() as server:
        usual = server.script[row.step]
        server.script[row.step] = InTurn(usual, row.actions, usual)
        answers = sent(server, ANN, BOB, CLEO, timeouts=timeouts)

    assert [told(a) for a in answers] == [TAKEN, row.answer, TAKEN]
    if row.step == "end":
        assert receivers(server) == ["ann", "bob", "cleo"]
    else:
        assert receivers(server) == ["ann", "cleo"]
        assert b"".join(server.cut_off) == b""
    goes_on = isinstance(row.answer, tuple) and row.answer[1] != 421
    assert server.connections == (1 if goes_on else 2)


@pytest.mark.parametrize(
    ("said", "connections"),
    [
        ([b"554 nobody\r\n"], 1),
        ([b"250 queued\r\n"], 1),
        ([b"451 later\r\n"], 1),
        ([b"421 bye\r\n", HANG_UP], 2),
        ([HANG_UP], 2),
        ([RESET], 2),
        ([GARBAGE], 2),
        ([SILENCE], 2),
    ],
)
@pytest.mark.parametrize("code", [550, 450])
def test_data_that_is_taken_for_nobody_is_ended_and_counts_for_nothing(
    code: int, said: list[Any], connections: int
) -> None:
    script: dict[str, Any] = {
        "RCPT": InTurn([b"250 ok\r\n"], [b"%d no\r\n" % code], [b"250 ok\r\n"]),
        "DATA for nobody": [b"354 go\r\n"],
        "end": InTurn([b"250 queued\r\n"], said, [b"250 queued\r\n"]),
    }
    with ScriptedServer(script) as server:
        answers = sent(server, ANN, BOB, CLEO, timeouts=replace(PATIENT, reset=SOON))

    assert [told(a) for a in answers] == [TAKEN, (Stage.RCPT, code), TAKEN]
    assert receivers(server) == ["ann", "cleo"]
    assert server.connections == connections
    assert len(server.messages) == 3  # one of them the lone dot


def test_data_that_is_taken_without_a_sender_ends_without_a_dot() -> None:
    script: dict[str, Any] = {
        "MAIL": InTurn([b"250 ok\r\n"], [b"451 later\r\n"], [b"250 ok\r\n"]),
        "DATA for nobody": [b"354 go\r\n"],
    }
    with ScriptedServer(script) as server:
        answers = sent(server, ANN, BOB, CLEO)

    assert [told(a) for a in answers] == [TAKEN, (Stage.MAIL, 451), TAKEN]
    assert [m.rcpt_to for m in server.messages] == [("ann@example.org",), ("cleo@example.org",)]
    assert server.cut_off == [b""]


# What a server does at the end of the first one, while the second is open


@pytest.mark.parametrize("code", [451, 452, 550, 554])
def test_a_refusal_of_the_first_message_does_not_touch_the_second(code: int) -> None:
    with ScriptedServer({"end": InTurn([b"%d no\r\n" % code], [b"250 queued\r\n"])}) as server:
        answers = sent(server, ANN, BOB, CLEO)

    assert [told(a) for a in answers] == [(Stage.END_GIVEN, code), TAKEN, TAKEN]
    assert server.connections == 1
    assert "RSET" not in server.commands


@pytest.mark.parametrize(
    ("said", "first", "second"),
    [
        ([b"421 bye\r\n", HANG_UP], (Stage.END_GIVEN, 421), TAKEN),
        ([HANG_UP], Stage.END_GIVEN, TAKEN),
        ([RESET], Stage.END_GIVEN, TAKEN),
        ([b"25", HANG_UP], Stage.END_GIVEN, TAKEN),
        ([b"250-queued\r\n", HANG_UP], Stage.END_GIVEN, TAKEN),
        ([b"250-queued\r\n554 no\r\n"], Stage.END_GIVEN, TAKEN),
        ([GARBAGE], Stage.END_GIVEN, TAKEN),
        ([b"354 go\r\n"], Stage.END_GIVEN, TAKEN),
        ([SILENCE], Stage.END_GIVEN, TAKEN),
        ([b"250-queued\r\n", SILENCE], Stage.END_GIVEN, TAKEN),
        ([b"250 queued\r\n", HANG_UP], TAKEN, GONE),
        ([b"250 queued\r\n", RESET], TAKEN, GONE),
        ([b"250 queued\r\n421 enough\r\n", HANG_UP], TAKEN, GONE),
        ([b"250 queued\r\n354 go\r\n"], TAKEN, GONE),
        ([b"250 queued\r\n" + GARBAGE], TAKEN, GONE),
        ([b"250 queued\r\n2", HANG_UP], TAKEN, GONE),
        ([b"250 queued\r\n250 stray\r\n"], TAKEN, Stage.DATA),
        ([b"250 queued\r\n250 stray\r\n250 stray\r\n"], TAKEN, Stage.DATA),
        ([b"250 queued\r\n250 stray\r\n250 stray\r\n354 go\r\n"], TAKEN, Stage.CONTENT),
    ],
)
def test_the_first_message_alone_is_in_doubt_and_a_stray_reply_delivers_nothing(
    said: list[Any], first: Any, second: Any
) -> None:
    timeouts = replace(PATIENT, end=SOON) if SILENCE in said else PATIENT
    with ScriptedServer({"end": InTurn(said, [b"250 queued\r\n"])}) as server:
        # The third comes on a connection of its own: what the first one's server says is over then.
        answers = sent(server, ANN, BOB, CLEO, timeouts=timeouts)

    assert [told(a) for a in answers] == [first, second, TAKEN]
    assert receivers(server) == (["ann", "bob", "cleo"] if second == TAKEN else ["ann", "cleo"])
    assert b"".join(server.cut_off) == b""


def test_each_answer_has_its_own_time() -> None:
    """Four answers that take longer together than each of them may."""

    def late(said: bytes) -> InTurn:
        usual = [said]
        return InTurn(usual, [Call(lambda: threading.Event().wait(0.3)), said], usual)

    quick = timedelta(seconds=1)
    timeouts = replace(PATIENT, end=quick, command=quick, data=quick)
    with ScriptedServer() as server:
        for step in ("MAIL", "RCPT", "DATA"):
            server.script[step] = late(server.script[step][0])
        server.script["end"] = InTurn(
            [Call(lambda: threading.Event().wait(0.3)), b"250 queued\r\n"], [b"250 queued\r\n"]
        )
        answers = sent(server, ANN, BOB, timeouts=timeouts)

    assert [told(a) for a in answers] == [TAKEN, TAKEN]


# What we do ourselves


def test_a_fence_that_says_no_closes_without_a_dot() -> None:
    async def send() -> tuple[list[Answer], bool]:
        transport = await opened(at(server))
        first = await transport.send(ANN, yes, next_is(BOB))
        second = await transport.send(BOB, no, never)
        usable = transport.usable
        await transport.close()
        return [first, second], usable

    with ScriptedServer() as server:
        answers, usable = asyncio.run(send())
        server.wait_until(lambda: server.open_connections == 0)

    assert [told(a) for a in answers] == [TAKEN, Withdrawn()]
    assert not usable
    assert receivers(server) == ["ann"]
    assert server.cut_off == [b""]
    assert server.commands[-1] == "DATA"


def test_the_fence_is_asked_only_when_both_replies_are_read() -> None:
    may_answer = threading.Event()
    seen: list[str] = []

    async def fence() -> bool:
        seen.append("asked")
        return True

    async def send() -> list[Answer]:
        transport = await opened(at(server))
        first = await transport.send(ANN, yes, next_is(BOB))
        sending = asyncio.ensure_future(transport.send(BOB, fence))
        await asyncio.to_thread(server.wait_until, lambda: server.commands[-1] == "DATA")
        seen.append("354 is held back")
        may_answer.set()
        second = await sending
        await transport.close()
        return [first, second]

    script: dict[str, Any] = {
        "DATA": InTurn([b"354 go\r\n"], [Call(lambda: may_answer.wait(10)), b"354 go\r\n"]),
    }
    with ScriptedServer(script) as server:
        answers = asyncio.run(send())

    assert [told(a) for a in answers] == [TAKEN, TAKEN]
    assert seen == ["354 is held back", "asked"]


async def with_bob_open(server: ScriptedServer) -> SmtpTransport:
    """Return a connection on which Ann's message is sent and DATA for Bob's is taken."""
    transport = await opened(at(server))
    assert told(await transport.send(ANN, yes, next_is(BOB))) == TAKEN
    assert transport.usable
    await asyncio.to_thread(server.wait_until, lambda: server.commands[-1] == "DATA")
    return transport


async def send_another(transport: SmtpTransport) -> Any:
    answer = await transport.send(CLEO, yes, never)
    assert not transport.usable
    return told(answer)


async def close(transport: SmtpTransport) -> Any:
    return await transport.close()


async def abort(transport: SmtpTransport) -> Any:
    return transport.abort()


async def abort_and_send(transport: SmtpTransport) -> Any:
    transport.abort()
    return told(await transport.send(BOB, yes, never))


async def cancel(transport: SmtpTransport) -> Any:
    async def hesitate() -> bool:
        await asyncio.sleep(60)
        return True

    sending = asyncio.ensure_future(transport.send(BOB, hesitate))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert not transport.usable


@pytest.mark.parametrize(
    ("act", "result"),
    [
        (send_another, GONE),
        (close, None),
        (abort, None),
        (abort_and_send, GONE),
        (cancel, None),
    ],
)
def test_an_open_envelope_is_taken_back_by_closing(
    act: Callable[[SmtpTransport], Awaitable[Any]], result: Any
) -> None:
    async def visit() -> Any:
        transport = await with_bob_open(server)
        return await act(transport)

    with ScriptedServer() as server:
        assert asyncio.run(visit()) == result
        server.wait_until(lambda: server.open_connections == 0)

    assert receivers(server) == ["ann"]
    assert b"".join(server.cut_off) == b""
    # It may be closed before its DATA is read.
    assert server.commands[-1] in ("RCPT TO:<bob@example.org>", "DATA")


@pytest.mark.parametrize("how", ["abort", "cancel"])
def test_who_gives_up_while_two_are_open_leaves_one_in_doubt(how: str) -> None:
    async def visit() -> Any:
        transport = await opened(at(server))
        sending = asyncio.ensure_future(transport.send(ANN, yes, next_is(BOB)))
        await asyncio.to_thread(server.wait_until, lambda: bool(server.messages))
        if how == "cancel":
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
        else:
            transport.abort()
            assert told(await sending) == Stage.END_GIVEN
        assert not transport.usable
        return told(await transport.send(BOB, yes))

    with ScriptedServer({"end": [SILENCE]}) as server:
        assert asyncio.run(visit()) == GONE
        server.wait_until(lambda: server.open_connections == 0)

    assert receivers(server) == ["ann"]


# A connection that dies at any byte


class Mortal(asyncio.Protocol):
    """A server's end of a connection that hears and says so many bytes, and then is gone."""

    def __init__(self, *, hears: int, says: int) -> None:
        self.accepted: list[str] = []
        self.answered: list[str] = []
        self.begun: list[str] = []
        self.heard = self.said = 0
        self._hears, self._says = hears, says
        self._buffer = b""
        self._in_content = False
        self._rcpt = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._say(b"220 mx.test\r\n")

    def data_received(self, data: bytes) -> None:
        part = data[: self._hears - self.heard]
        self.heard += len(part)
        self._buffer += part
        while self._take():
            pass
        if self.heard >= self._hears:
            self._transport.abort()

    def _take(self) -> bool:
        end = b"\r\n.\r\n" if self._in_content else b"\r\n"
        if self._in_content and self._buffer and self._rcpt not in self.begun:
            self.begun.append(self._rcpt)
        piece, found, rest = self._buffer.partition(end)
        if not found or self._transport.is_closing():
            return False
        self._buffer = rest
        if self._in_content:
            self._in_content = False
            self.accepted.append(self._rcpt)
            if self._say(b"250 queued\r\n"):
                self.answered.append(self._rcpt)
        elif piece.startswith(b"RCPT"):
            self._rcpt = piece.decode().partition("<")[2].partition("@")[0]
            self._say(b"250 ok\r\n")
        elif piece == b"DATA":
            self._in_content = self._say(b"354 go\r\n")
        else:
            self._say(
                b"250-ok\r\n250 PIPELINING\r\n" if piece.startswith(b"EHLO") else b"250 ok\r\n"
            )
        return True

    def _say(self, line: bytes) -> bool:
        """Say it, or its beginning and then nothing any more; return whether it was said whole."""
        part = line[: self._says - self.said]
        self.said += len(part)
        self._transport.write(part)
        if self.said >= self._says:
            self._transport.close()
        return part == line


async def over_a_mortal(
    *, hears: int = 10**6, says: int = 10**6
) -> tuple[Mortal, dict[str, Any]] | None:
    """Send three over one connection; return what its server knows, and what we do. None where it died too early."""
    server_end = Mortal(hears=hears, says=says)
    server = await asyncio.get_running_loop().create_server(lambda: server_end, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    endpoint = Endpoint(host="127.0.0.1", port=port, security="none", local_name="c.test")
    try:
        transport = await opened(endpoint)
    except AssertionError:
        return None
    else:
        answers = {}
        for message, after in ((ANN, BOB), (BOB, CLEO), (CLEO, None)):
            name = message.rcpt_to.partition("@")[0]
            answers[name] = told(await transport.send(message, yes, next_is(after)))
        await transport.close()
        return server_end, answers
    finally:
        server.close()
        await server.wait_closed()


def test_wherever_a_connection_dies_at_most_one_is_in_doubt_and_none_is_lost() -> None:
    async def die_everywhere() -> int:
        whole = await over_a_mortal()
        assert whole is not None
        unhurt, answers = whole
        assert answers == dict.fromkeys(("ann", "bob", "cleo"), TAKEN)
        deaths = [{"hears": n} for n in range(1, unhurt.heard)]
        deaths += [{"says": n} for n in range(1, unhurt.said)]
        looked_at = 0
        for death in deaths:
            if (lived := await over_a_mortal(**death)) is not None:
                look_at(*lived, death)
                looked_at += 1
        return looked_at

    def look_at(server: Mortal, answers: dict[str, Any], death: dict[str, int]) -> None:
        doubts = [name for name, answer in answers.items() if answer == Stage.END_GIVEN]
        taken = [name for name, answer in answers.items() if answer == TAKEN]
        assert len(doubts) <= 1, (death, answers)
        assert taken == server.answered, (death, answers)
        assert set(server.accepted) <= {*taken, *doubts}, (death, answers)
        assert len(server.accepted) == len(set(server.accepted))
        # Content has begun for nobody before the one before had its answer.
        assert len(server.begun) <= len(server.answered) + 1, death

    assert asyncio.run(die_everywhere()) > 300
