"""What a name, a template, an attribute or an account says never becomes another mail, header or command."""

import asyncio
import re
from email import message_from_bytes, policy

import pytest

from campaigns.render import compile_content
from delivery.compose import RunContent, make_message
from foundation.errors import Invalid
from mail import opening, smtp
from mail.message import Message
from mail.opening import Endpoint
from mail.reply import Reply
from mail.transport import SmtpTransport
from tests.accounts.builders import an_account
from tests.builders import NOON
from tests.campaigns.builders import LINK, SLOT, a_reader, a_snapshot
from tests.mail.scripted_server import ScriptedServer

FORGED = "MAIL FROM:<boss@example.com>{end}RCPT TO:<all@example.com>{end}DATA{end}Subject: forged{end}{end}x"

ENDINGS = [
    "\n.\n",
    "\r.\r\n",
    "\r\n.\r\n",
    "\r.\r",
    "\n.\r",
    "\n.\r\n",
    "\r\n.\n",
    "\r\r\n.\r\r\n",
    "\r\n.\r",
    "\r",
    "\n",
    "\x0b.\x0b",
    "\x0c.\x0c",
    "\x1c.\x1c",
    "\x85.\x85",
    "\u2028.\u2028",
    "\u2029.\u2029",
    "\0\r\n.\r\n",
]

HEADERS = {
    "from", "to", "subject", "date", "message-id", "mime-version", "content-type", "list-unsubscribe",
    "list-unsubscribe-post", "x-extra",
}  # fmt: skip


async def _handed_over(server: ScriptedServer, message: Message) -> object:
    endpoint = Endpoint(
        host=server.host, port=server.port, security="none", local_name="client.test"
    )
    transport = await opening.connect(endpoint)
    assert isinstance(transport, SmtpTransport)

    async def yes() -> bool:
        return True

    try:
        return await transport.send(message, yes)
    finally:
        await transport.close()


def saying(evil: str) -> Message:
    """Return a message that holds the text wherever somebody can write one."""
    snapshot = a_snapshot(
        name=evil,
        subject=f"S{evil}{{{{ recipient.attributes.evil }}}}{{{{ name }}}}",
        html=f"<p>{evil}{{{{ recipient.attributes.evil }}}}{{{{ name }}}}</p>",
        text=f"{evil}{{{{ recipient.attributes.evil }}}}{{{{ name }}}}\n.\n..\n",
        from_name=f"News{evil}",
    )
    return make_message(
        RunContent(snapshot=snapshot, compiled=compile_content(snapshot), slot=SLOT),
        an_account(from_name=f"Acc{evil}"),
        a_reader(name=f"Ada{evil}", attributes={"evil": evil}),
        unsubscribe_url=LINK,
        message_id="<1@example.com>",
        now=NOON,
        headers=(("X-Extra", f"extra{evil}"),),
    )


@pytest.mark.parametrize("end", ENDINGS, ids=ascii)
def test_whatever_is_said_the_server_gets_one_mail_with_its_own_headers(end: str) -> None:
    message = saying(end + FORGED.format(end=end) + end)

    with ScriptedServer({}) as server:
        answer = asyncio.run(_handed_over(server, message))
    wire = b"".join(server.reads)

    assert isinstance(answer, Reply)
    assert answer.code == 250
    assert [command.split(":")[0] for command in server.commands] == [
        "EHLO client.test", "MAIL FROM", "RCPT TO", "DATA", "QUIT",
    ]  # fmt: skip
    (received,) = server.messages
    assert received.rcpt_to == ("ada@example.com",)
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", wire) is None
    assert wire.count(b"\r\n.\r\n") == 1
    parsed = message_from_bytes(received.content, policy=policy.default)
    assert {name.lower() for name in parsed} == HEADERS
    assert max(map(len, wire.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\u2028", "\x85"], ids=ascii)
def test_no_command_holds_another_one(end: str) -> None:
    for line in (
        lambda: smtp.ehlo(f"client.test{end}MAIL FROM:<x@example.com>"),
        lambda: smtp.helo(f"client.test{end}QUIT"),
        lambda: smtp.command(f"RCPT TO:<a@example.com>{end}DATA"),
    ):
        try:
            said = line()
        except ValueError:
            continue
        assert re.fullmatch(rb"[^\r\n\0]*\r\n", said), end


@pytest.mark.parametrize(
    "address",
    [
        "a@example.com>\r\nDATA\r\n",
        "a@example.com> SIZE=1 <b@example.com",
        "a@example.com>\nRCPT TO:<b@example.com",
        '"a b>"@example.com\r\n',
        '"a\r\nDATA"@example.com',
        "a b@example.com",
        "a@example.com\0",
        "ä@example.com>\u2028DATA",
    ],
)
def test_an_address_that_says_more_than_an_address_goes_nowhere(address: str) -> None:
    message = Message(
        mail_from="news@example.com", rcpt_to=address, content=b"x\r\n", needs_smtputf8=False
    )

    with pytest.raises((ValueError, Invalid), match=r"address|control|can't"):
        smtp.envelope(message, smtp.Extensions(smtputf8=True))
