"""Attached files, read back by the standard library's parser."""

import email
import email.policy
import re
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mail.attached import File, encode, encoded_size_bytes
from mail.message import Message, build
from tests.mail.test_message import PIECES, check_form, in_one_line, parts

names = st.one_of(st.text(max_size=80), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


def a_file(name: str = "Programme.pdf", content: bytes = b"%PDF-1.7") -> File:
    return File(name=name, content_type="application/pdf", content=content)


def whole(message: Message) -> EmailMessage:
    return email.message_from_bytes(message.content + message.attached, policy=email.policy.default)


def with_files(*files: File, **changes: object) -> Message:
    return build(parts(attached=encode(files), **changes))


@given(name=names)
@example("a" * 199 + ".pdf")
@example("字" * 60 + ".pdf")
@example('a"b\\c".pdf')
@example("=?utf-8?q?a?=.pdf")
@example("x.pdf\r\nBcc: all@example.com\r\n\r\nbody")
@example("utf-8''x")
@example("50 % off.pdf")
def test_any_name_is_read_back_and_makes_no_other_header(name: str) -> None:
    message = with_files(a_file(name))

    found = whole(message)
    [attachment] = found.iter_attachments()
    # Not by get_filename, which takes quotation marks off a second time.
    assert attachment["Content-Disposition"].params["filename"] == in_one_line(name)
    assert attachment.keys() == [
        "Content-Type",
        "Content-Transfer-Encoding",
        "Content-Disposition",
    ]
    assert not any(part.defects for part in found.walk())
    raw = message.content + message.attached
    assert raw.isascii()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 300


@given(
    text=st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
    html=st.none() | st.just("<p>é</p>"),
    contents=st.lists(st.binary(max_size=300), min_size=1, max_size=4),
)
@example("--=_mixed_", None, [b""])
@example(".", "<p>", [b"\r\n.\r\n", b"--=_", b"\x00" * 57])
def test_any_content_is_read_back_beside_any_text(
    text: str, html: str | None, contents: list[bytes]
) -> None:
    files = [a_file(f"{number}.pdf", content) for number, content in enumerate(contents)]

    message = with_files(*files, text=text, html=html)

    found = whole(message)
    assert [a.get_content() for a in found.iter_attachments()] == contents
    body = found.get_body(("html", "plain"))
    assert body is not None
    assert body.get_content_type() == ("text/plain" if html is None else "text/html")
    assert not any(part.defects for part in found.walk())
    check_form(message)
    # What is attached goes out as it is: nothing in it may be taken for the end of a mail.
    assert not re.search(rb"^\.", message.attached, re.MULTILINE)
    assert message.attached.count(b"\r\n") == message.attached.count(b"\n")


def test_messages_of_a_run_share_what_is_attached() -> None:
    attached = encode([a_file(content=b"x" * 1000)])

    ann, bob = (build(parts(to_email=f"{who}@example.com", attached=attached)) for who in "ab")

    assert ann.attached is bob.attached
    assert ann.size_bytes == len(ann.content) + len(ann.attached)


def test_a_mail_without_files_is_written_as_if_there_were_none_anywhere() -> None:
    assert encode([]) is None
    assert with_files() == build(parts())


def test_the_size_in_a_mail_is_known_before_it_is_written() -> None:
    for size in (0, 1, 57, 58, 1000):
        attached = encode([a_file(content=b"x" * size)])

        assert attached is not None
        lines = attached.encoded.split(b"\r\n\r\n", 1)[1].rsplit(b"--=_mixed_", 1)[0]
        assert len(lines) == encoded_size_bytes(size)


@pytest.mark.parametrize(
    "content_type", ["message/rfc822", "multipart/mixed", "pdf", "a/b\r\nBcc: x", "a/b; name=x", ""]
)
def test_a_type_that_can_t_be_base64_is_refused(content_type: str) -> None:
    with pytest.raises(ValueError, match="not a type"):
        encode([File(name="a", content_type=content_type, content=b"")])


def test_the_parts_say_what_the_standard_library_s_writer_would() -> None:
    made = EmailMessage()
    made.set_content("Hello")
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Übersicht.pdf")
    theirs = next(made.iter_attachments())

    [ours] = whole(with_files(a_file("Übersicht.pdf", b"%PDF"))).iter_attachments()

    for header in ("Content-Type", "Content-Transfer-Encoding", "Content-Disposition"):
        assert str(ours[header]) == str(theirs[header])
