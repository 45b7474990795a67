"""The client against real sockets: a scripted server that misbehaves, and aiosmtpd that does not."""

import asyncio
import contextlib
import gc
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from mail.message import Message
from mail.opening import Endpoint, ProbeStep, connect, probe
from mail.reply import Answer, Broken, Reply, Stage, Withdrawn
from mail.transport import BLOCK_BYTES, SmtpTransport, Timeouts
from tests.mail.certificates import client_context, server_context
from tests.mail.scripted_server import (
    DEAF,
    HANG_UP,
    RESET,
    SHAKE_HANDS,
    SILENCE,
    Call,
    Drip,
    Flood,
    InTurn,
    ScriptedServer,
)

SOON = timedelta(seconds=0.5)
LATE = timedelta(seconds=20)
PATIENT = Timeouts(
    connect=LATE, tls=LATE, banner=LATE, command=LATE, data=LATE, block=LATE, end=LATE, reset=LATE
)
HASTY = Timeouts(
    connect=SOON,
    tls=SOON,
    banner=SOON,
    command=SOON,
    data=SOON,
    block=SOON,
    end=SOON,
    reset=SOON,
    quit=SOON,
)

OFFERS_AUTH = [b"250-mx.test\r\n250 AUTH PLAIN LOGIN\r\n"]
OFFERS_STARTTLS = [b"250-mx.test\r\n250 STARTTLS\r\n"]


@pytest.fixture(autouse=True, scope="module")
def collecting_is_cheap() -> Iterator[None]:
    """Leave what other tests have made out of the collections: there is much of it, and it is looked at each time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """What is not closed complains when it is collected: here, so that the right test fails."""
    yield
    gc.collect()


def a_message(**changes: Any) -> Message:
    fields: dict[str, Any] = {
        "mail_from": "news@example.com",
        "rcpt_to": "ann@example.org",
        "content": b"Subject: hello\r\n\r\nhello\r\n.\r\n",
        "needs_smtputf8": False,
    }
    return Message(**(fields | changes))


def at(server: ScriptedServer, **changes: Any) -> Endpoint:
    fields: dict[str, Any] = {"host": server.host, "port": server.port, "security": "none"}
    return Endpoint(**({"local_name": "client.test"} | fields | changes))


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


async def opened(endpoint: Endpoint, timeouts: Timeouts = PATIENT, **more: Any) -> SmtpTransport:
    transport = await connect(endpoint, timeouts, **more)
    assert isinstance(transport, SmtpTransport), transport
    return transport


def refused(
    endpoint: Endpoint, timeouts: Timeouts = PATIENT, *, tls: ssl.SSLContext | None = None
) -> Reply | Broken:
    """Connect, which must not work, and return why."""
    answer = asyncio.run(connect(endpoint, timeouts, tls=tls))
    assert not isinstance(answer, SmtpTransport)
    return answer


def sent(
    server: ScriptedServer,
    message: Message | None = None,
    timeouts: Timeouts = PATIENT,
    before_content: Callable[[], Awaitable[bool]] = yes,
) -> tuple[Answer, bool]:
    """Send one message; return the answer, and whether the connection was usable afterwards."""

    async def send() -> tuple[Answer, bool]:
        transport = await opened(at(server), timeouts)
        answer = await transport.send(message or a_message(), before_content)
        usable = transport.usable
        await transport.close()
        return answer, usable

    return asyncio.run(send())


def test_a_message_is_handed_over() -> None:
    with ScriptedServer() as server:
        answer, usable = sent(server)

        [received] = server.messages
    assert answer == Reply(stage=Stage.END_GIVEN, code=250, text="queued")
    assert usable
    assert received.mail_from == "news@example.com"
    assert received.rcpt_to == ("ann@example.org",)
    assert received.content == b"Subject: hello\r\n\r\nhello\r\n..\r\n"
    assert server.commands == [
        "EHLO client.test",
        "MAIL FROM:<news@example.com> SIZE=28",
        "RCPT TO:<ann@example.org>",
        "DATA",
        "QUIT",
    ]


def test_many_messages_go_over_one_connection() -> None:
    async def send() -> list[Answer]:
        transport = await opened(at(server))
        answers = [
            await transport.send(a_message(rcpt_to=f"{n}@example.org"), yes) for n in range(20)
        ]
        await transport.close()
        return answers

    with ScriptedServer() as server:
        answers = asyncio.run(send())

    assert [a.code for a in answers if isinstance(a, Reply)] == [250] * 20
    assert [m.rcpt_to for m in server.messages] == [(f"{n}@example.org",) for n in range(20)]
    assert server.connections == 1


def test_content_of_many_blocks_arrives_whole() -> None:
    content = b"".join(b".%07d %s\r\n" % (n, b"x" * 90) for n in range(20_000))
    assert len(content) > 20 * BLOCK_BYTES

    with ScriptedServer() as server:
        answer, _ = sent(server, a_message(content=content))

    assert isinstance(answer, Reply)
    assert server.messages[0].content == content.replace(b"\r\n.", b"\r\n..").replace(
        b".", b"..", 1
    )


def test_an_empty_message_is_a_lone_dot() -> None:
    with ScriptedServer() as server:
        answer, _ = sent(server, a_message(content=b""))

    assert isinstance(answer, Reply)
    assert [m.content for m in server.messages] == [b""]


def test_replies_that_come_byte_by_byte_are_understood() -> None:
    script: dict[str, Any] = {
        "banner": [Drip(b"220-hello\r\n220 there\r\n")],
        "EHLO": [Drip(b"250-mx.test\r\n250 SIZE 1000\r\n")],
        "MAIL": [Drip(b"250\r\n")],
        "DATA": [Drip(b"354-go\r\n354 on\r\n")],
        "end": [Drip(b"250-as\r\n250 4711\r\n")],
    }
    with ScriptedServer(script) as server:
        answer, usable = sent(server)

    assert answer == Reply(stage=Stage.END_GIVEN, code=250, text="as\n4711")
    assert usable


@pytest.mark.parametrize(
    ("step", "stage", "code"),
    [
        ("MAIL", Stage.MAIL, 550),
        ("MAIL", Stage.MAIL, 451),
        ("RCPT", Stage.RCPT, 550),
        ("RCPT", Stage.RCPT, 450),
        ("DATA", Stage.DATA, 554),
        ("end", Stage.END_GIVEN, 554),
        ("end", Stage.END_GIVEN, 452),
    ],
)
def test_after_a_refusal_the_next_message_goes_over_the_same_connection(
    step: str, stage: Stage, code: int
) -> None:
    async def send() -> tuple[Answer, bool, Answer]:
        transport = await opened(at(server))
        first = await transport.send(a_message(rcpt_to="bad@example.org"), yes)
        usable = transport.usable
        second = await transport.send(a_message(), yes)
        await transport.close()
        return first, usable, second

    with ScriptedServer(
        {step: InTurn([b"%d no\r\n" % code], [b"354 on\r\n" if step == "DATA" else b"250 ok\r\n"])}
    ) as server:
        first, usable, second = asyncio.run(send())

    assert first == Reply(stage=stage, code=code, text="no")
    assert usable
    assert isinstance(second, Reply)
    assert second.code == 250
    assert ("RSET" in server.commands) == (step != "end")
    assert server.connections == 1


@pytest.mark.parametrize("said", [[b"500 what\r\n"], [HANG_UP], [b"354 go\r\n"], [SILENCE]])
def test_a_connection_that_can_not_be_reset_is_not_used_again(said: list[Any]) -> None:
    quick = Timeouts(reset=SOON)
    with ScriptedServer({"RCPT": [b"550 no\r\n"], "RSET": said}) as server:
        answer, usable = sent(server, timeouts=quick)

    assert answer == Reply(stage=Stage.RCPT, code=550, text="no")
    assert not usable


@pytest.mark.parametrize(
    ("step", "stage"),
    [
        ("MAIL", Stage.MAIL),
        ("RCPT", Stage.RCPT),
        ("DATA", Stage.DATA),
        ("end", Stage.END_GIVEN),
    ],
)
class TestAnyStep:
    """What a server may do at each step of a message."""

    def test_a_421_is_reported_and_ends_the_connection(self, step: str, stage: Stage) -> None:
        with ScriptedServer({step: [b"421 4.3.2 going down\r\n"]}) as server:
            answer, usable = sent(server)

        assert answer == Reply(stage=stage, code=421, text="4.3.2 going down")
        assert not usable
        assert "RSET" not in server.commands

    @pytest.mark.parametrize(
        "said",
        [
            [HANG_UP],
            [RESET],
            [b"250", HANG_UP],
            [b"250-ok\r\n", HANG_UP],
            [b"250 ok", HANG_UP],
            [b"250 ok\r", RESET],
            [b"\xff\xfe\x00garbage\r\n"],
            [b"250-ok\r\n550 no\r\n"],
            [b"700 ok\r\n"],
            [b"334 ok\r\n250 ok\r\n"],
            [Flood(b"x" * 65536)],
            [Flood(b"250-more\r\n" * 100)],
            [SILENCE],
            [b"250-wait\r\n", SILENCE],
        ],
    )
    def test_no_complete_reply_is_a_break_at_that_step(
        self, step: str, stage: Stage, said: list[Any]
    ) -> None:
        if step == "DATA":
            said = [x.replace(b"334", b"250") if isinstance(x, bytes) else x for x in said]

        with ScriptedServer({step: said}) as server:
            answer, usable = sent(server, timeouts=HASTY if SILENCE in said else PATIENT)

        assert isinstance(answer, Broken)
        assert answer.stage == stage
        assert answer.detail.endswith(".")
        assert not usable


def test_a_break_after_the_end_is_a_doubt_and_before_it_is_not() -> None:
    with ScriptedServer({"content": [RESET]}) as server:
        large, _ = sent(server, a_message(content=b"hello\r\n" * 3_000_000))
    with ScriptedServer({"end": [HANG_UP]}) as server:
        small, _ = sent(server)

    assert isinstance(large, Broken)
    assert large.stage == Stage.CONTENT
    assert isinstance(small, Broken)
    assert small.stage == Stage.END_GIVEN


def test_a_server_that_takes_no_more_content_is_given_up_before_the_end() -> None:
    with ScriptedServer({"content": [DEAF]}, receive_buffer_bytes=4096) as server:
        answer, usable = sent(
            server,
            a_message(content=b"hello\r\n" * 3_000_000),
            timeouts=replace(PATIENT, block=SOON),
        )

        assert answer == Broken(
            stage=Stage.CONTENT, detail="The server took no more content within 0.5 seconds."
        )
        assert not usable


@pytest.mark.parametrize(
    "early", [b"250 queued\r\n", b"452 4.3.1 no room\r\n", b"421 bye\r\n", b"2"]
)
def test_a_reply_in_the_middle_of_the_content_is_no_reply_to_it(early: bytes) -> None:
    with ScriptedServer({"content": [early]}) as server:
        answer, usable = sent(server, a_message(content=b"hello\r\n" * 3_000_000))
        server.wait_until(lambda: server.open_connections == 0)

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.CONTENT
    assert early.decode().strip() in answer.detail
    assert not usable
    assert server.messages == []


def test_a_reply_that_lies_unread_when_the_end_would_be_written_is_no_reply_to_it() -> None:
    ready, said = threading.Event(), threading.Event()

    async def hold_the_loop() -> bool:
        # Blocks: the stray reply is in the kernel then, and nobody has read it.
        ready.set()
        return said.wait(10)

    script: dict[str, Any] = {
        "DATA": [
            b"354 go ahead\r\n",
            Call(lambda: ready.wait(10)),
            b"250 stray\r\n",
            Call(said.set),
        ]
    }
    with ScriptedServer(script) as server:
        answer, _ = sent(server, before_content=hold_the_loop)
        server.wait_until(lambda: server.open_connections == 0)

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.CONTENT
    assert server.messages == []


def test_a_stray_reply_between_two_messages_is_not_taken_for_the_next_ones() -> None:
    async def send() -> Answer:
        transport = await opened(at(server))
        await transport.send(a_message(), yes)
        return await transport.send(a_message(rcpt_to="bob@example.org"), yes)

    with ScriptedServer({"end": [b"250 queued\r\n250 stray\r\n"]}) as server:
        answer = asyncio.run(send())

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.CONNECT
    assert len(server.messages) == 1


def test_a_reply_too_many_ends_the_connection_before_the_end_is_written() -> None:
    with ScriptedServer({"RCPT": [b"250 ok\r\n250 ok\r\n"]}) as server:
        answer, usable = sent(server)

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.DATA
    assert not usable
    assert server.messages == []


@pytest.mark.parametrize("last_words", [[], [b"421 4.4.2 idle too long\r\n"]])
def test_a_connection_that_was_closed_while_idle_is_not_usable(last_words: list[Any]) -> None:
    leave = threading.Event()

    async def send() -> tuple[bool, Answer]:
        transport = await opened(at(server))
        leave.set()
        async with asyncio.timeout(10):
            while transport.usable:
                await asyncio.sleep(0)
        return transport.usable, await transport.send(a_message(), yes)

    script: dict[str, Any] = {
        "EHLO": [b"250 mx.test\r\n", Call(lambda: leave.wait(10)), *last_words, HANG_UP],
    }
    with ScriptedServer(script) as server:
        usable, answer = asyncio.run(send())

    assert not usable
    assert isinstance(answer, Broken)
    assert answer.stage == Stage.CONNECT
    assert server.commands == ["EHLO client.test"]


def test_a_message_that_is_withdrawn_ends_without_a_dot() -> None:
    with ScriptedServer() as server:
        answer, usable = sent(server, before_content=no)
        server.wait_until(lambda: server.open_connections == 0)

    assert answer == Withdrawn()
    assert not usable
    assert server.messages == []
    assert server.cut_off == [b""]


def test_no_byte_of_content_is_written_before_it_is_allowed() -> None:
    async def while_asked() -> bool:
        await asyncio.sleep(0.05)
        seen.append(bool(server.messages or server.cut_off or content_came.is_set()))
        return True

    seen: list[bool] = []
    content_came = threading.Event()
    with ScriptedServer({"content": [Call(content_came.set)]}) as server:
        answer, _ = sent(server, before_content=while_asked)

    assert isinstance(answer, Reply)
    assert seen == [False]


def test_a_fence_that_fails_closes_the_connection_and_is_told() -> None:
    class Crash(BaseException):
        pass

    async def crash() -> bool:
        raise Crash

    async def send() -> bool:
        transport = await opened(at(server))
        with pytest.raises(Crash):
            await transport.send(a_message(), crash)
        return transport.usable

    with ScriptedServer() as server:
        usable = asyncio.run(send())
        server.wait_until(lambda: server.open_connections == 0)

    assert not usable
    assert server.messages == []


@pytest.mark.parametrize("step", ["MAIL", "DATA", "end"])
def test_a_cancelled_send_closes_the_connection(step: str) -> None:
    async def send() -> bool:
        transport = await opened(at(server))
        sending = asyncio.ensure_future(transport.send(a_message(), yes))
        await asyncio.to_thread(
            server.wait_until, lambda: server.commands[-1:] == [awaited] or bool(server.messages)
        )
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        return transport.usable

    awaited = {"MAIL": "MAIL FROM:<news@example.com> SIZE=28", "DATA": "DATA", "end": "-"}[step]
    with ScriptedServer({step: [SILENCE]}) as server:
        usable = asyncio.run(send())
        server.wait_until(lambda: server.open_connections == 0)

    assert not usable


def test_an_abort_breaks_what_is_under_way() -> None:
    async def send() -> Answer:
        transport = await opened(at(server))
        sending = asyncio.ensure_future(transport.send(a_message(), yes))
        await asyncio.to_thread(server.wait_until, lambda: bool(server.messages))
        transport.abort()
        return await sending

    with ScriptedServer({"end": [SILENCE]}) as server:
        answer = asyncio.run(send())

    assert answer == Broken(stage=Stage.END_GIVEN, detail="The connection was closed on our side.")


@pytest.mark.parametrize("said", [[SILENCE], [HANG_UP], [b"garbage\r\n"], [RESET], [DEAF]])
def test_taking_leave_never_takes_long(said: list[Any]) -> None:
    async def leave() -> float:
        transport = await opened(at(server), replace(PATIENT, quit=SOON))
        before = asyncio.get_running_loop().time()
        await transport.close()
        await transport.close()
        return asyncio.get_running_loop().time() - before

    with ScriptedServer({"QUIT": said}) as server:
        assert asyncio.run(leave()) < 5


def test_an_address_that_is_no_address_costs_nothing() -> None:
    async def send() -> bool:
        transport = await opened(at(server))
        with pytest.raises(ValueError, match="can't be written"):
            await transport.send(a_message(rcpt_to="a@b.test>\r\nDATA"), yes)
        usable = transport.usable
        await transport.close()
        return usable

    with ScriptedServer() as server:
        assert asyncio.run(send())

    assert server.commands == ["EHLO client.test", "QUIT"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"content": b"x" * 2000}, 552), ({"needs_smtputf8": True}, 553), ({"content": b"\xe4"}, 555)],
)
def test_a_message_that_the_server_can_not_take_is_not_offered(
    changes: dict[str, Any], code: int
) -> None:
    with ScriptedServer({"EHLO": [b"250-mx.test\r\n250 SIZE 1000\r\n"]}) as server:
        answer, usable = sent(server, a_message(**changes))

    assert isinstance(answer, Reply)
    assert (answer.stage, answer.code) == (Stage.MAIL, code)
    assert usable
    assert server.commands == ["EHLO client.test", "QUIT"]


def test_a_server_without_ehlo_is_greeted_with_helo() -> None:
    with ScriptedServer({"EHLO": [b"502 what?\r\n"]}) as server:
        answer, _ = sent(server)

    assert isinstance(answer, Reply)
    assert server.commands[:3] == [
        "EHLO client.test",
        "HELO client.test",
        "MAIL FROM:<news@example.com>",
    ]


@pytest.mark.parametrize(
    "changes", [{"security": "starttls"}, {"username": "ann", "password": "hunter2"}]
)
def test_helo_is_not_enough_where_more_is_needed(changes: dict[str, Any]) -> None:
    with ScriptedServer({"EHLO": [b"502 what?\r\n"]}) as server:
        answer = refused(at(server, **changes))

    assert answer == Reply(stage=Stage.EHLO, code=502, text="what?")
    assert server.commands == ["EHLO client.test"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"banner": [b"554 go away\r\n"]}, Reply(stage=Stage.BANNER, code=554, text="go away")),
        ({"banner": [b"421 busy\r\n"]}, Reply(stage=Stage.BANNER, code=421, text="busy")),
        ({"EHLO": [b"421 busy\r\n"]}, Reply(stage=Stage.EHLO, code=421, text="busy")),
        (
            {"EHLO": [b"500 no\r\n"], "HELO": [b"550 no\r\n"]},
            Reply(stage=Stage.EHLO, code=550, text="no"),
        ),
    ],
)
def test_a_server_that_does_not_want_us_is_heard(script: Any, expected: Reply) -> None:
    with ScriptedServer(script) as server:
        assert refused(at(server)) == expected


@pytest.mark.parametrize(
    ("script", "stage"),
    [
        ({"banner": [HANG_UP]}, Stage.BANNER),
        ({"banner": [SILENCE]}, Stage.BANNER),
        ({"banner": [b"SSH-2.0-OpenSSH_9.2\r\n"]}, Stage.BANNER),
        ({"banner": [b"354 go\r\n"]}, Stage.BANNER),
        ({"banner": [b"220 hi\r\n220 hi\r\n"]}, Stage.EHLO),
        ({"EHLO": [HANG_UP]}, Stage.EHLO),
        ({"EHLO": [b"250-mx\r\n", SILENCE]}, Stage.EHLO),
        ({"EHLO": [Flood(b"250-X\r\n")]}, Stage.EHLO),
    ],
)
def test_a_server_that_breaks_before_mail_is_a_break(script: Any, stage: Stage) -> None:
    with ScriptedServer(script) as server:
        answer = refused(at(server), HASTY if SILENCE in next(iter(script.values())) else PATIENT)

    assert isinstance(answer, Broken)
    assert answer.stage == stage


def test_a_port_where_nobody_listens_is_a_break() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))

        answer = refused(Endpoint(host="127.0.0.1", port=unused.getsockname()[1], security="none"))

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.CONNECT
    assert "refused" in answer.detail


@pytest.mark.parametrize("host", ["mail.invalid", "", "a" * 70 + ".test", "ho st", "x\0y", ".test"])
def test_a_host_that_can_not_be_found_is_a_break(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_numbers(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("flags"):
            return look_up(*args, **kwargs)
        args[0].encode("idna")
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", only_numbers)

    answer = refused(Endpoint(host=host, port=25, security="none"), HASTY)

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.CONNECT


def test_a_host_name_is_looked_up_and_each_address_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def two_addresses(host: str, port: int, **kwargs: Any) -> Any:
        if kwargs.get("flags"):
            return look_up(host, port, **kwargs)
        return look_up("127.0.0.2", port, **kwargs) + look_up("127.0.0.1", port, **kwargs)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)

    async def visit() -> None:
        transport = await opened(at(server, host="mx.test"))
        await transport.close()

    with ScriptedServer() as server:
        asyncio.run(visit())

    assert server.connections == 1


def test_a_name_server_that_is_silent_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def silent(*args: Any, **kwargs: Any) -> Any:
        if kwargs.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not a number")
        never.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    answer = refused(Endpoint(host="mx.test", port=25, security="none"), HASTY)

    never.set()
    assert isinstance(answer, Broken)
    assert "took too long" in answer.detail


@pytest.mark.parametrize("step", ["banner", "EHLO"])
def test_a_cancelled_connect_leaves_nothing_open(step: str) -> None:
    async def visit() -> None:
        connecting = asyncio.ensure_future(connect(at(server), PATIENT))
        await asyncio.to_thread(server.wait_until, reached)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    def reached() -> bool:
        return server.connections == 1 if step == "banner" else bool(server.commands)

    with ScriptedServer({step: [SILENCE]}) as server:
        asyncio.run(visit())
        server.wait_until(lambda: server.open_connections == 0)

    assert server.messages == []


def test_the_wait_for_a_reply_counts_from_its_command_however_it_drips() -> None:
    endless = [Flood(b"2")]
    with ScriptedServer({"MAIL": [b"250-a\r\n", SILENCE], "EHLO": [b"250 mx\r\n"]}) as server:
        answer, _ = sent(server, timeouts=HASTY)
    with ScriptedServer({"MAIL": endless}) as server:
        flooded, _ = sent(server, timeouts=HASTY)

    assert isinstance(answer, Broken)
    assert "no complete answer within 0.5 seconds" in answer.detail
    assert isinstance(flooded, Broken)


# TLS


@pytest.fixture
def for_localhost(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for localhost, and a client's that trusts it."""
    server, certificate = server_context(tmp_path, names=("localhost",))
    return server, client_context(certificate)


Contexts = tuple[ssl.SSLContext, ssl.SSLContext]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_message_is_handed_over_under_tls(security: str, for_localhost: Contexts) -> None:
    ours, theirs = for_localhost
    script = {"EHLO": InTurn(OFFERS_STARTTLS, OFFERS_AUTH)} if security == "starttls" else {}
    content = b"hello\r\n" * 100_000

    async def send() -> Answer:
        transport = await opened(at(server, host="localhost", security=security), tls=theirs)
        answer = await transport.send(a_message(content=content), yes)
        await transport.close()
        return answer

    with ScriptedServer(script, tls=ours, implicit_tls=security == "tls") as server:
        answer = asyncio.run(send())

    assert answer == Reply(stage=Stage.END_GIVEN, code=250, text="queued")
    assert server.messages[0].content == content
    assert ("STARTTLS" in server.commands) == (security == "starttls")
    assert server.commands[-1] == "QUIT"


def test_what_was_said_before_tls_is_asked_again(for_localhost: Contexts) -> None:
    ours, theirs = for_localhost
    before = [b"250-mx.test\r\n250-SIZE 10\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n"]

    async def visit() -> Any:
        transport = await opened(at(server, host="localhost", security="starttls"), tls=theirs)
        extensions = transport.extensions
        await transport.close()
        return extensions

    with ScriptedServer({"EHLO": InTurn(before, [b"250 mx.test\r\n"])}, tls=ours) as server:
        extensions = asyncio.run(visit())

    assert not extensions.size
    assert extensions.auth == frozenset()
    assert server.commands[:3] == ["EHLO client.test", "STARTTLS", "EHLO client.test"]


def test_there_is_no_falling_back_to_clear() -> None:
    with ScriptedServer({"EHLO": OFFERS_AUTH}) as server:
        answer = refused(at(server, security="starttls", username="ann", password="hunter2"))

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.STARTTLS
    assert "does not offer STARTTLS" in answer.detail
    assert server.commands == ["EHLO client.test"]


@pytest.mark.parametrize("code", [454, 501])
def test_a_refused_starttls_is_the_end(code: int) -> None:
    with ScriptedServer({"EHLO": OFFERS_STARTTLS, "STARTTLS": [b"%d no\r\n" % code]}) as server:
        answer = refused(at(server, security="starttls", username="ann", password="hunter2"))

    assert answer == Reply(stage=Stage.STARTTLS, code=code, text="no")
    assert server.commands == ["EHLO client.test", "STARTTLS"]


@pytest.mark.parametrize("injected", [b"250 evil\r\n", b"2", b"250-mx.test\r\n250 AUTH PLAIN\r\n"])
def test_words_in_clear_behind_the_220_are_not_taken_into_tls(
    injected: bytes, for_localhost: Contexts
) -> None:
    ours, theirs = for_localhost
    script: dict[str, Any] = {
        "EHLO": OFFERS_STARTTLS,
        "STARTTLS": [b"220 go ahead\r\n" + injected, SHAKE_HANDS],
    }
    with ScriptedServer(script, tls=ours) as server:
        answer = refused(at(server, host="localhost", security="starttls"), tls=theirs)

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.STARTTLS


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(
    ("names", "trusted", "complaint"),
    [
        (("localhost",), False, "can't be trusted"),
        (("mail.example.com",), True, "Hostname mismatch"),
    ],
)
def test_a_certificate_that_does_not_hold_ends_the_connection(
    security: str, names: tuple[str, ...], trusted: bool, complaint: str, tmp_path: Path
) -> None:
    ours, certificate = server_context(tmp_path, names=names)
    theirs = client_context(certificate) if trusted else None

    with ScriptedServer(
        {"EHLO": OFFERS_STARTTLS}, tls=ours, implicit_tls=security == "tls"
    ) as server:
        answer = refused(
            at(server, host="localhost", security=security, username="ann", password="x"),
            tls=theirs,
        )

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.TLS
    assert complaint in answer.detail


def test_a_certificate_is_not_looked_at_where_that_was_switched_off(tmp_path: Path) -> None:
    ours, _ = server_context(tmp_path, names=("mail.example.com",))

    async def visit() -> None:
        endpoint = at(server, host="localhost", security="tls", verify_tls=False)
        await (await opened(endpoint)).close()

    with ScriptedServer(tls=ours, implicit_tls=True) as server:
        asyncio.run(visit())

    assert server.commands == ["EHLO client.test", "QUIT"]


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("said", [[HANG_UP], [RESET], [SILENCE], [b"no TLS here\r\n"], [DEAF]])
def test_a_handshake_that_fails_is_a_break(security: str, said: list[Any]) -> None:
    wait_for_hello = Call(lambda: _first_hello(server))
    script: dict[str, Any] = {"banner": [wait_for_hello, *said]}
    if security == "starttls":
        script = {
            "EHLO": OFFERS_STARTTLS,
            "STARTTLS": [b"220 go ahead\r\n", wait_for_hello, *said],
        }

    with ScriptedServer(script) as server:
        answer = refused(
            at(server, host="localhost", security=security), replace(PATIENT, tls=SOON)
        )

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.TLS


def _first_hello(server: ScriptedServer) -> None:
    """Wait until the client has begun its handshake, so that what follows is not taken for injected words."""
    channel = server._channels[-1]
    channel.recv(1, socket.MSG_PEEK)


def test_a_handshake_can_be_cancelled() -> None:
    async def visit() -> None:
        connecting = asyncio.ensure_future(connect(at(server, security="tls"), PATIENT))
        await asyncio.to_thread(server.wait_until, lambda: server.connections == 1)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    with ScriptedServer({"banner": [SILENCE]}) as server:
        asyncio.run(visit())
        server.wait_until(lambda: server.open_connections == 0)

    assert server.commands == []


@pytest.mark.parametrize(
    ("step", "stage"), [("MAIL", Stage.MAIL), ("content", Stage.CONTENT), ("end", Stage.END_GIVEN)]
)
@pytest.mark.parametrize("said", [HANG_UP, RESET])
def test_a_break_under_tls_is_a_break_at_the_same_step(
    step: str, stage: Stage, said: Any, for_localhost: Contexts
) -> None:
    ours, theirs = for_localhost

    async def send() -> tuple[Answer, bool]:
        transport = await opened(at(server, host="localhost", security="tls"), tls=theirs)
        content = b"hello\r\n" * (3_000_000 if step == "content" else 1)
        answer = await transport.send(a_message(content=content), yes)
        usable = transport.usable
        await transport.close()
        return answer, usable

    with ScriptedServer({step: [said]}, tls=ours, implicit_tls=True) as server:
        answer, usable = asyncio.run(send())

    assert isinstance(answer, Broken)
    assert answer.stage == stage
    assert not usable


# AUTH


@pytest.mark.parametrize(
    ("offered", "commands"),
    [
        (b"AUTH PLAIN", ["AUTH PLAIN AGFubgBodW50ZXIy"]),
        (b"AUTH=PLAIN", ["AUTH PLAIN AGFubgBodW50ZXIy"]),
        (b"AUTH LOGIN XOAUTH2", ["AUTH LOGIN", "YW5u", "aHVudGVyMg=="]),
    ],
)
def test_we_sign_in_the_way_that_is_offered(offered: bytes, commands: list[str]) -> None:
    script: dict[str, Any] = {"EHLO": [b"250-mx.test\r\n250 %s\r\n" % offered]}
    if b"LOGIN" in offered:
        script |= {
            "AUTH": [b"334 VXNlcm5hbWU6\r\n"],
            "challenge": InTurn([b"334 UGFzc3dvcmQ6\r\n"], [b"235 welcome\r\n"]),
        }

    async def visit() -> None:
        transport = await opened(at(server, username="ann", password="hunter2"))
        await transport.close()

    with ScriptedServer(script) as server:
        asyncio.run(visit())

    assert server.commands == ["EHLO client.test", *commands, "QUIT"]


def test_nobody_signs_in_where_that_is_not_offered() -> None:
    with ScriptedServer() as server:
        answer = refused(at(server, username="ann", password="hunter2"))

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.AUTH
    assert "TLS" in answer.detail
    assert server.commands == ["EHLO client.test"]


@pytest.mark.parametrize(
    "script",
    [
        {"AUTH": [b"535 5.7.8 no: AUTH PLAIN AGFubgBodW50ZXIy\r\n"]},
        {"AUTH": [b"535 no: hunter2\r\n"]},
        {"AUTH": [b"you said AGFubgBodW50ZXIy\r\n"]},
        {"AUTH": [b"354 AGFubgBodW50ZXIy\r\n"]},
        {"AUTH": [b"421 AGFubgBodW50ZXIy\r\n"]},
        {"AUTH": [b"235-AGFubgBodW50ZXIy\r\n", HANG_UP]},
        {"AUTH": [b"334 \r\n"], "challenge": [b"334 AGFubgBodW50ZXIy\r\n"]},
    ],
)
def test_a_password_is_never_shown(script: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with ScriptedServer({"EHLO": OFFERS_AUTH} | script) as server:
        endpoint = at(server, username="ann", password="hunter2")
        answer = refused(endpoint)

    assert answer.stage == Stage.AUTH
    everything = f"{answer!r} {endpoint!r} {caplog.text}"
    assert "hunter2" not in everything
    assert "AGFubgBodW50ZXIy" not in everything


@pytest.mark.parametrize("password", ["nul\0byte", "lone \udc80 surrogate"])
def test_a_password_that_can_not_be_sent_is_a_break(password: str) -> None:
    with ScriptedServer({"EHLO": OFFERS_AUTH}) as server:
        answer = refused(at(server, username="ann", password=password))

    assert isinstance(answer, Broken)
    assert answer.stage == Stage.AUTH
    assert "surrogate" not in answer.detail


def test_an_account_without_a_name_for_its_security_is_refused() -> None:
    with pytest.raises(ValueError, match="none, starttls or tls"):
        Endpoint(host="mx.test", port=25, security="ssl")


# Probe


def words(steps: list[ProbeStep]) -> list[tuple[str, bool]]:
    return [(step.step, step.ok) for step in steps]


def test_a_probe_tells_each_step(for_localhost: Contexts) -> None:
    ours, theirs = for_localhost
    script: dict[str, Any] = {"EHLO": InTurn(OFFERS_STARTTLS, OFFERS_AUTH)}
    with ScriptedServer(script, tls=ours) as server:
        endpoint = at(
            server, host="localhost", security="starttls", username="ann", password="hunter2"
        )
        steps = asyncio.run(probe(endpoint, message=a_message(), tls=theirs))

    assert words(steps) == [
        ("connect", True),
        ("banner", True),
        ("ehlo", True),
        ("starttls", True),
        ("tls", True),
        ("ehlo", True),
        ("auth", True),
        ("mail", True),
        ("rcpt", True),
        ("data", True),
        ("content", True),
    ]
    assert steps[1].detail == "220 scripted.test ESMTP"
    assert "certificate verified" in steps[4].detail
    assert all(step.ms >= 0 for step in steps)
    assert len(server.messages) == 1


def test_a_probe_without_a_message_sends_nothing() -> None:
    with ScriptedServer() as server:
        steps = asyncio.run(probe(at(server)))

    assert words(steps) == [("connect", True), ("banner", True), ("ehlo", True)]
    assert server.commands == ["EHLO client.test", "QUIT"]


@pytest.mark.parametrize(
    ("script", "last"),
    [
        ({"banner": [b"554 no\r\n"]}, ("banner", False)),
        ({"EHLO": [b"250 mx\r\n"]}, ("auth", False)),
        ({"AUTH": [b"535 no\r\n"]}, ("auth", False)),
        ({"RCPT": [b"550 no\r\n"]}, ("rcpt", False)),
        ({"DATA": [HANG_UP]}, ("data", False)),
        ({"end": [b"554 no\r\n"]}, ("content", False)),
        ({"end": [HANG_UP]}, ("content", False)),
    ],
)
def test_a_probe_ends_with_the_step_that_failed(script: Any, last: tuple[str, bool]) -> None:
    with ScriptedServer({"EHLO": OFFERS_AUTH} | script) as server:
        endpoint = at(server, username="ann", password="hunter2")
        steps = asyncio.run(probe(endpoint, message=a_message()))

    assert words(steps)[-1] == last
    assert all(step.ok for step in steps[:-1])
    assert steps[-1].detail


def test_a_probe_of_nothing_says_so() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        steps = asyncio.run(probe(Endpoint(host="127.0.0.1", port=port, security="none")))

    assert words(steps) == [("connect", False)]
    assert "refused" in steps[0].detail


# A server that somebody else has written


class Inbox:
    """What aiosmtpd hands over."""

    def __init__(self) -> None:
        self.envelopes: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.envelopes.append(envelope)
        return "250 2.0.0 taken"


def let_in(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    """Let Ann in, with her password."""
    right = isinstance(data, LoginPassword) and data.password == b"hunter2"
    return AuthResult(success=right, handled=False)


@contextlib.asynccontextmanager
async def aiosmtpd(inbox: Inbox, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(inbox, hostname="mx.test", loop=loop, **options), "127.0.0.1", 0
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_a_real_server_takes_a_message_after_starttls_and_auth(
    mechanism: str, for_localhost: Contexts
) -> None:
    ours, theirs = for_localhost
    inbox = Inbox()

    async def send() -> list[Answer]:
        options: dict[str, Any] = {
            "tls_context": ours,
            "require_starttls": True,
            "auth_required": True,
            "authenticator": let_in,
            "enable_SMTPUTF8": True,
            "auth_exclude_mechanism": {"LOGIN", "PLAIN"} - {mechanism},
        }
        async with aiosmtpd(inbox, **options) as port:
            endpoint = Endpoint(
                host="localhost", port=port, security="starttls", username="ann", password="hunter2"
            )
            transport = await opened(endpoint, tls=theirs)
            answers = [
                await transport.send(a_message(content=b"Subject: one\r\n\r\n.dot\r\n"), yes),
                await transport.send(
                    a_message(rcpt_to="jürgen@example.org", needs_smtputf8=True), yes
                ),
            ]
            await transport.close()
            return answers

    answers = asyncio.run(send())

    assert answers == [Reply(stage=Stage.END_GIVEN, code=250, text="2.0.0 taken")] * 2
    assert [e.rcpt_tos for e in inbox.envelopes] == [["ann@example.org"], ["jürgen@example.org"]]
    assert inbox.envelopes[0].content == b"Subject: one\r\n\r\n.dot\r\n"
    assert inbox.envelopes[1].smtp_utf8


@pytest.mark.parametrize(
    ("password", "host", "stage"),
    [("wrong", "localhost", Stage.AUTH), ("hunter2", "127.0.0.1", Stage.TLS)],
)
def test_a_real_server_keeps_out_what_does_not_belong(
    password: str, host: str, stage: Stage, for_localhost: Contexts
) -> None:
    ours, theirs = for_localhost

    async def visit() -> Any:
        async with aiosmtpd(Inbox(), tls_context=ours, authenticator=let_in) as port:
            endpoint = Endpoint(
                host=host, port=port, security="starttls", username="ann", password=password
            )
            return await connect(endpoint, PATIENT, tls=theirs)

    answer = asyncio.run(visit())

    assert isinstance(answer, Reply | Broken)
    assert answer.stage == stage
