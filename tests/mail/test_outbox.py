import smtplib
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foundation.errors import NotFound
from mail.message import Parts, build
from mail.outbox import OutboxItem, list_outbox, read_attachment, read_outbox
from mail.sandbox import Maildir, SandboxServer
from tests.fake_clock import FakeClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOON_ID = 1_772_452_800_000_000


def keep(outbox: Path, **changes: Any) -> int:
    """Put one of our own messages into the outbox, as the sandbox server does."""
    fields: dict[str, Any] = {
        "from_email": "news@example.com",
        "from_name": "Jörgs Läden",
        "to_email": "jane@example.org",
        "to_name": "Zoë",
        "reply_to": None,
        "subject": "Grüße 👋",
        "text": "Hallo Zoë\n",
        "html": "<p>Hallo Zoë</p>\n",
        "date": NOON,
        "message_id": "<1.2@example.com>",
        "unsubscribe_url": None,
        "headers": (("X-Sendonce-Run", "41"),),
    }
    message = build(Parts(**(fields | changes)))
    return Maildir(outbox, FakeClock(NOON)).deliver(
        message.mail_from, [message.rcpt_to], message.content
    )


def keep_raw(outbox: Path, content: bytes) -> int:
    return Maildir(outbox, FakeClock(NOON)).deliver("a@b.de", ["c@d.de"], content)


def ids(
    outbox: Path, *, q: str | None = None, before: int | None = None, limit: int = 50
) -> list[int]:
    return [item.id for item in list_outbox(outbox, q=q, before=before, limit=limit)]


def test_a_message_is_listed_with_its_envelope_and_run(tmp_path: Path) -> None:
    kept = keep(tmp_path)

    assert list_outbox(tmp_path, q=None, before=None, limit=50) == [
        OutboxItem(
            id=kept,
            received_at=NOON,
            mail_from="news@example.com",
            rcpt_to=("jane@example.org",),
            subject="Grüße 👋",
            message_id="<1.2@example.com>",
            run_id=41,
        )
    ]


def test_a_message_is_read_whole(tmp_path: Path) -> None:
    kept = keep(tmp_path)

    message = read_outbox(tmp_path, kept)

    assert (message.id, message.received_at, message.run_id) == (kept, NOON, 41)
    assert message.text == "Hallo Zoë\n"
    assert message.html == "<p>Hallo Zoë</p>\n"
    assert message.headers[:3] == (
        ("Return-Path", "<news@example.com>"),
        ("Delivered-To", "jane@example.org"),
        (
            "Received",
            "from localhost by localhost (Sendonce sandbox); Mon, 02 Mar 2026 12:00:00 +0000",
        ),
    )
    assert ("From", "Jörgs Läden <news@example.com>") in message.headers
    assert ("Subject", "Grüße 👋") in message.headers
    assert message.raw.startswith("Return-Path: <news@example.com>\r\n")
    assert "Hallo Zo=C3=AB" in message.raw


def test_a_message_that_went_through_the_server_is_read_as_it_was_written(tmp_path: Path) -> None:
    server = SandboxServer(tmp_path, FakeClock(NOON))
    lines = ".\n..\n.dot\n\nFrom here\n" + "viele schöne Tage und Worte " * 30 + "\ntrailing \n"
    message = build(
        Parts(
            from_email="news@example.com",
            from_name="",
            to_email="zoë@bücher.de",
            to_name="",
            reply_to=None,
            subject="x" * 200,
            text=lines,
            html=None,
            date=NOON,
            message_id="<1.2@example.com>",
            unsubscribe_url=None,
        )
    )

    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        client.sendmail(
            message.mail_from, [message.rcpt_to], message.content, ["SMTPUTF8", "BODY=8BITMIME"]
        )
    server.stop()

    read = read_outbox(tmp_path, NOON_ID)
    assert read.text == lines + "\n"
    assert read.html is None
    assert read.subject == "x" * 200
    assert read.rcpt_to == ("zoë@xn--bcher-kva.de",)
    assert ("To", "zoë@xn--bcher-kva.de") in read.headers
    assert read.run_id is None


def test_pages_go_from_the_newest_to_the_oldest(tmp_path: Path) -> None:
    kept = [keep(tmp_path, subject=str(n)) for n in range(5)]

    assert ids(tmp_path, limit=2) == [kept[4], kept[3]]
    assert ids(tmp_path, limit=2, before=kept[3]) == [kept[2], kept[1]]
    assert ids(tmp_path, limit=2, before=kept[1]) == [kept[0]]
    assert ids(tmp_path, limit=2, before=kept[0]) == []


@pytest.mark.parametrize("q", ["GRÜSSE", "zoë", "jane@example", "läden", "NEWS@", " 👋 "])
def test_a_search_looks_into_subject_sender_and_recipients(tmp_path: Path, q: str) -> None:
    other = {"subject": "Offer", "to_name": "", "from_name": "", "to_email": "joe@x.org"}
    keep(tmp_path, from_email="offers@x.org", **other)
    wanted = keep(tmp_path)
    keep(tmp_path, from_email="offers@x.org", **other)

    assert ids(tmp_path, q=q) == [wanted]
    assert ids(tmp_path, q=q, before=wanted) == []


def test_a_search_does_not_look_into_the_text(tmp_path: Path) -> None:
    keep(tmp_path, text="needle", html=None)

    assert ids(tmp_path, q="needle") == []


def test_an_outbox_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert ids(tmp_path / "outbox") == []
    with pytest.raises(NotFound):
        read_outbox(tmp_path / "outbox", 1)


@pytest.mark.parametrize("wanted", [0, -1, NOON_ID + 1, 10**17, pytest.param(10**5000, id="huge")])
def test_a_message_that_is_not_there_is_not_found(tmp_path: Path, wanted: int) -> None:
    keep(tmp_path)

    with pytest.raises(NotFound):
        read_outbox(tmp_path, wanted)


def test_a_message_that_a_mail_program_has_seen_is_still_there(tmp_path: Path) -> None:
    kept = keep(tmp_path)
    (tmp_path / "new" / str(kept)).rename(tmp_path / "cur" / f"{kept}:2,S")

    assert ids(tmp_path) == [kept]
    assert read_outbox(tmp_path, kept).text == "Hallo Zoë\n"


def test_what_is_no_message_is_passed_over(tmp_path: Path) -> None:
    kept = keep(tmp_path)
    for name in ("notes.txt", ".hidden", "0", "-5", "12a", "9" * 40, "٣"):
        (tmp_path / "new" / name).write_bytes(b"Subject: no\r\n\r\n")
    (tmp_path / "new" / str(kept + 1)).mkdir()
    (tmp_path / "new" / str(kept + 2)).symlink_to(tmp_path / "gone")

    assert ids(tmp_path) == [kept]
    assert ids(tmp_path, q="Grüße") == [kept]
    with pytest.raises(NotFound):
        read_outbox(tmp_path, kept + 1)


def test_a_message_cannot_claim_other_recipients_than_its_envelope(tmp_path: Path) -> None:
    kept = keep_raw(tmp_path, b"Delivered-To: x@y.de\r\nReturn-Path: <x@y.de>\r\n\r\nHello")

    (item,) = list_outbox(tmp_path, q=None, before=None, limit=1)
    assert (item.id, item.rcpt_to, item.mail_from) == (kept, ("c@d.de",), "a@b.de")


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"1.5", b"9" * 30, "٣".encode(), b"1\r\n 2"])
def test_a_run_that_is_no_number_is_no_run(tmp_path: Path, value: bytes) -> None:
    keep_raw(tmp_path, b"X-Sendonce-Run: " + value + b"\r\n\r\n")

    (item,) = list_outbox(tmp_path, q=None, before=None, limit=1)
    assert item.run_id is None


def test_an_attachment_is_not_taken_for_the_text(tmp_path: Path) -> None:
    kept = keep_raw(
        tmp_path,
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nattached\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nwritten\r\n--b--\r\n",
    )

    assert read_outbox(tmp_path, kept).text == "written"


def test_times_are_those_of_the_ids(tmp_path: Path) -> None:
    first, second = keep(tmp_path), keep(tmp_path)

    assert second == first + 1
    assert read_outbox(tmp_path, second).received_at == NOON + timedelta(microseconds=1)


PIECES = [
    b"Subject: ", b"=?utf-8?b?=?=", b"=?utf-8?b?w6?=", b"=?x?q?=ff?=", b"=?utf-8?q?=zz?=", b"=?utf-8?B?",
    b"\r\n", b"\n", b"\r", b" ", b"\x00", b"\xff", b"\xc3\xa9", b"=", b"A", b":", b";",
    b"Content-Type: ", b"multipart/mixed; boundary=", b"b", b"--b", b"--b--", b"message/rfc822", b"text/html",
    b"text/plain; charset=", b"utf-8", b"utf-16", b"punycode", b"idna", b"hex", b'"a\x00b"', b"*0=",
    b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"7bit",
    b"X-Sendonce-Run: 1", b"Content-Disposition: inline",
    b"Content-Disposition: attachment; ", b"filename=", b"; filename*=", b"; filename*0*=", b"; filename*1=",
    b"utf-8''%C3%A9", b"no-such''%ff",
]  # fmt: skip
damage = st.binary(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=damage)
@example(b"")
@example(b"Subject: =?utf-8?b?w6?=\r\n\r\n")
@example(b"Subject: =?no-such?q?x?=\r\n\r\n")
@example(b'Content-Type: text/plain; charset="no-such"\r\n\r\n\xff')
@example(b'Content-Type: text/plain; charset="a\x00b"\r\n\r\n\xff')
@example(b"Content-Type: text/plain; charset=hex\r\n\r\nff")
@example(b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n=A=")
@example(b"Content-Type: multipart/mixed\r\n\r\n--\r\n")
@example(b"Content-Disposition: attachment; filename*=no-such''%ff\r\n\r\n")
@example(b"Content-Disposition: attachment; filename=\xff\xc3\xa9\r\n\r\n")
@example(
    b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b"
)
def test_a_damaged_message_is_shown_as_far_as_it_goes(tmp_path: Path, content: bytes) -> None:
    kept = keep_raw(tmp_path, content)

    assert kept in ids(tmp_path, limit=1)
    assert ids(tmp_path, q="c@d.de", limit=1) == [kept]
    message = read_outbox(tmp_path, kept)
    assert message.rcpt_to == ("c@d.de",)
    assert message.raw.endswith(content.decode("utf-8", "replace"))


def test_attached_files_are_told_and_given_out(tmp_path: Path) -> None:
    message = EmailMessage()
    message.set_content("Hello")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="Übersicht.pdf")
    message.add_attachment(b"x", maintype="text", subtype="csv", filename="plan.csv")

    kept = keep_raw(tmp_path, message.as_bytes())

    found = read_outbox(tmp_path, kept)
    assert found.text == "Hello\n"
    assert [(one.name, one.content_type, one.size) for one in found.attachments] == [
        ("Übersicht.pdf", "application/pdf", 4),
        ("plan.csv", "text/csv", 1),
    ]
    assert read_attachment(tmp_path, kept, 1) == ("Übersicht.pdf", b"%PDF")
    with pytest.raises(NotFound, match="no such file"):
        read_attachment(tmp_path, kept, 3)


def test_parts_within_parts_without_end_are_shown_raw(tmp_path: Path) -> None:
    kept = keep_raw(tmp_path, b"Subject: deep\r\n" + b"Content-Type: message/rfc822\r\n\r\n" * 5000)

    message = read_outbox(tmp_path, kept)

    assert message.subject == "deep"
    assert message.raw.count("message/rfc822") == 5000


def test_headers_without_end_are_read_up_to_a_bound(tmp_path: Path) -> None:
    kept = keep_raw(tmp_path, b"Subject: long\r\n" + b"X: y\r\n" * 100_000)

    (item,) = list_outbox(tmp_path, q=None, before=None, limit=1)
    assert (item.id, item.subject) == (kept, "long")
