import base64
import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.errors import Invalid
from mail.message import Message, Parts, build

NINE = datetime(2026, 3, 2, 9, 0, 5, 250_000, tzinfo=UTC)
LINE_ENDS = ["\r\n", "\r", "\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
PIECES = [
    *LINE_ENDS, " ", "  ", "\t", "\x00", ".", "\n.\r\n", "=", "=?utf-8?q?a?=", "=20", "=_", "--", "From ", "a", "Ärger",
    "wort", "x" * 80, "Zoë", "字", "😀", "\u200d", "e\u0301", "\ud800", "\"", "\\", "<", ">", ",", ":", ";", "(", ")",
    "@", "\nBcc: all@example.com\n", "\u00a0", "\x7f",
]  # fmt: skip
texts = st.one_of(
    st.text(max_size=200),
    st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
)


def parts(**changes: Any) -> Parts:
    fields: dict[str, Any] = {
        "from_email": "news@example.com",
        "from_name": "News",
        "to_email": "jane@example.org",
        "to_name": "Jane",
        "reply_to": None,
        "subject": "Hello",
        "text": "Hello Jane",
        "html": "<p>Hello Jane</p>",
        "date": NINE,
        "message_id": "<1.2@example.com>",
        "unsubscribe_url": "https://mail.example.com/u/abc",
    }
    return Parts(**(fields | changes))


def read(message: Message) -> EmailMessage:
    return email.message_from_bytes(message.content, policy=email.policy.default)


def body(message: Message, kind: str) -> str:
    part = read(message).get_body((kind,))
    assert part is not None
    return part.get_content().replace("\r\n", "\n")


def in_one_line(text: str) -> str:
    for control in ["\r\n", *map(chr, [*range(32), *range(127, 160)]), "\u2028", "\u2029"]:
        text = text.replace(control, " ")
    return text.encode("utf-8", "replace").decode().strip(" ")


def display_name(message: Message, header: str) -> str:
    """Return the name in an address header.

    By the older of the two parsers: the newer one leaves spaces between encoded words in a name, which RFC 2047 6.2
    forbids, in some of the Python versions that we support.
    """
    raw = email.message_from_bytes(message.content)[header]
    name, _ = parseaddr(raw.replace("\r\n", ""))
    return str(make_header(decode_header(name)))


def with_lf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").encode("utf-8", "replace").decode()


def check_form(message: Message) -> None:
    """The rules that hold for every message, whatever is in it."""
    content = message.content
    assert content.endswith(b"\r\n")
    assert content.count(b"\r\n") == content.count(b"\r") == content.count(b"\n")
    assert max(len(line) for line in content.split(b"\r\n")) <= 998
    assert message.needs_smtputf8 or content.isascii()
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", content)


@pytest.mark.parametrize("where", ["subject", "from_name", "to_name", "value"])
@given(text=texts)
@example("")
@example("\r\nBcc: all@example.com\r\n\r\nbody")
@example("a" * 2000)
@example("word " * 400)
@example("é" * 500)
@example("😀" * 100)
@example('Doe, "Jane" <jane@example.org>')
@example("\\")
@example("=?utf-8?q?=41?=")
@example("a  b")
@example("x" * 60 + " " + "y" * 60)
def test_any_text_in_a_header_is_read_back_and_makes_no_other_header(where: str, text: str) -> None:
    changes = {"headers": (("X-Note", text),)} if where == "value" else {where: text}

    message = build(parts(**changes))

    check_form(message)
    found = read(message)
    names = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
    ]
    extra = ["X-Note"] if where == "value" else []
    assert found.keys() == [*names, *extra, "MIME-Version", "Content-Type"]
    assert not found.defects
    seen = {
        "subject": found["Subject"],
        "from_name": display_name(message, "From"),
        "to_name": display_name(message, "To"),
        "value": found["X-Note"],
    }
    wanted = in_one_line(text)
    assert seen[where] == (wanted if where in ("subject", "value") else re.sub(" +", " ", wanted))
    assert [a.addr_spec for a in found["From"].addresses] == ["news@example.com"]
    assert [a.addr_spec for a in found["To"].addresses] == ["jane@example.org"]
    head = message.content.partition(b"\r\n\r\n")[0]
    assert all(len(line) <= 78 for line in head.split(b"\r\n"))
    assert all(len(word) <= 75 for word in re.findall(rb"=\?\S*", head))


@given(text=texts, html=texts)
@example("", "")
@example("x" * 73 + " ", "x" * 74 + "\t\n" + "y" * 75 + " \n" + "z" * 76 + " ")
@example("é" * 5000, "字" * 5000)
@example(".\r\n..\n.", "\n.\n")
@example("a\nb", "a\rb\r\nc\n\r")
@example("trailing \n", "\n\n")
@example("\x00", "--=_")
def test_any_text_in_a_body_is_read_back(text: str, html: str) -> None:
    message = build(parts(text=text, html=html))

    check_form(message)
    assert all(len(line) <= 76 for line in message.content.partition(b"\r\n\r\n")[2].split(b"\r\n"))
    found = read(message)
    assert [part.get_content_type() for part in found.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    assert not any(part.defects for part in found.walk())
    assert body(message, "plain") == with_lf(text)
    assert body(message, "html") == with_lf(html)


@given(text=texts)
def test_without_html_the_text_stands_alone(text: str) -> None:
    message = build(parts(text=text, html=None))

    check_form(message)
    found = read(message)
    assert found.get_content_type() == "text/plain"
    assert body(message, "plain") in (with_lf(text), with_lf(text) + "\n")


@given(st.text("aéß字😀 ", max_size=300))
def test_no_encoded_word_breaks_a_character(text: str) -> None:
    head = build(parts(subject="é" + text)).content.partition(b"\r\n\r\n")[0].decode()

    for word in re.findall(r"=\?utf-8\?b\?([^?]*)\?=", head):
        base64.b64decode(word).decode("utf-8")


def test_a_message_says_what_it_was_given() -> None:
    message = build(parts(reply_to="answers@example.com", headers=(("X-Sendonce-Run", "7"),)))

    assert (message.mail_from, message.rcpt_to) == ("news@example.com", "jane@example.org")
    assert not message.needs_smtputf8
    found = read(message)
    assert found["From"] == "News <news@example.com>"
    assert found["To"] == "Jane <jane@example.org>"
    assert found["Reply-To"] == "answers@example.com"
    assert found["Date"] == "Mon, 02 Mar 2026 09:00:05 +0000"
    assert found["Message-ID"] == "<1.2@example.com>"
    assert found["List-Unsubscribe"] == "<https://mail.example.com/u/abc>"
    assert found["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert found["X-Sendonce-Run"] == "7"
    assert found["MIME-Version"] == "1.0"


def test_the_same_parts_make_the_same_bytes() -> None:
    assert build(parts()) == build(parts())


def test_mostly_latin_text_stays_readable_and_other_text_stays_short() -> None:
    latin = build(parts(text="Viele Grüße aus der Stadt am Rhein. " * 50, html=None)).content
    japanese = build(parts(text="こんにちは" * 100, html=None)).content

    assert b"Content-Transfer-Encoding: quoted-printable" in latin
    assert b"Content-Transfer-Encoding: base64" in japanese
    assert len(japanese) < 2 * len("こんにちは".encode()) * 100


@pytest.mark.parametrize(("from_name", "to_name"), [("", ""), (" \r\n", "\x00")])
def test_an_empty_name_is_left_out(from_name: str, to_name: str) -> None:
    found = read(build(parts(from_name=from_name, to_name=to_name)))

    assert (found["From"], found["To"]) == ("news@example.com", "jane@example.org")


@pytest.mark.parametrize("url", [None, "mailto:stop@example.com", "", "javascript:alert(1)"])
def test_only_a_link_that_takes_a_post_is_announced(url: str | None) -> None:
    found = read(build(parts(unsubscribe_url=url)))

    assert "List-Unsubscribe" not in found
    assert "List-Unsubscribe-Post" not in found


def test_an_unsubscribe_link_cannot_end_its_header() -> None:
    message = build(parts(unsubscribe_url="http://x/u/a>\r\nBcc: b@c.de <\u2028ü"))

    check_form(message)
    assert (
        read(message)["List-Unsubscribe"]
        == "<http://x/u/a%3E%0D%0ABcc:%20b@c.de%20%3C%E2%80%A8%C3%BC>"
    )


def test_a_domain_beyond_ascii_travels_in_its_ascii_form() -> None:
    message = build(
        parts(from_email="news@Bücher.de", to_email="jane@例え.jp", reply_to="a@bücher.de")
    )

    check_form(message)
    assert (message.mail_from, message.rcpt_to) == ("news@xn--bcher-kva.de", "jane@xn--r8jz45g.jp")
    assert not message.needs_smtputf8
    assert read(message)["To"].addresses[0].addr_spec == "jane@xn--r8jz45g.jp"
    assert read(message)["Reply-To"] == "a@xn--bcher-kva.de"


@pytest.mark.parametrize("field", ["from_email", "to_email", "reply_to"])
def test_a_local_part_beyond_ascii_needs_smtputf8_and_stays_as_it_is(field: str) -> None:
    message = build(parts(**{field: "zoë@bücher.de"}))

    check_form(message)
    assert message.needs_smtputf8
    assert "zoë@xn--bcher-kva.de" in message.content.partition(b"\r\n\r\n")[0].decode()


@pytest.mark.parametrize("field", ["from_email", "to_email", "reply_to"])
@pytest.mark.parametrize(
    "address", ["a@b.de\r\nBcc: c@d.de", "a b@c.de", "a", "<a@b.de>", "a@b.de, c@d.de", "ä@b.de\n"]
)
def test_what_is_no_address_gets_into_no_message(field: str, address: str) -> None:
    with pytest.raises(Invalid):
        build(parts(**{field: address}))


@pytest.mark.parametrize(
    "name", ["Bcc", "subject", "CONTENT-TYPE", "X Y", "X:", "", "X\r\nBcc", "Ä", "x" * 51]
)
def test_a_header_that_must_not_be_added_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a header"):
        build(parts(headers=((name, "value"),)))


@pytest.mark.parametrize(
    "message_id",
    ["", "a@b", "<a@b>\r\nBcc: c@d.de", "<a b@c>", "<a@ü>", "<<a@b>>", "<" + "a" * 901 + ">"],
)
def test_a_malformed_message_id_is_refused(message_id: str) -> None:
    with pytest.raises(ValueError, match="not a message id"):
        build(parts(message_id=message_id))


def test_an_unsubscribe_link_too_long_for_a_line_is_refused() -> None:
    with pytest.raises(ValueError, match="fits into no header"):
        build(parts(unsubscribe_url="https://x/" + "a" * 1000))
