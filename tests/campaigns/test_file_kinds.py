"""What may be attached: names that are safe anywhere, and content that is what the name says."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.file_kinds import MAX_NAME_BYTES, safe_name, type_of


def a_zip(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return made.getvalue()


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("Programme.pdf", "Programme.pdf"),
        ("Übersicht (März).pdf", "Übersicht (März).pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\Ann\\offer.pdf", "offer.pdf"),
        ("a\r\nBcc: x@y.pdf", "a Bcc_ x@y.pdf"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\u200bb\u2066c\ufeff.pdf", "abc.pdf"),
        ("evil.exe. . ", "evil.exe"),
        (".htaccess", "htaccess"),
        ('a<b>"c"|d?*.pdf', "a_b__c__d__.pdf"),
        ("CON.txt", "_CON.txt"),
        ("U\u0308.pdf", "Ü.pdf"),
        ("\x00\x07", "attachment"),
        ("..", "attachment"),
        ("", "attachment"),
        ("half\ud800.pdf", "half.pdf"),
    ],
)
def test_a_name_is_made_safe(given: str, safe: str) -> None:
    assert safe_name(given) == safe


@given(st.text(max_size=400))
def test_any_name_becomes_one_that_stays_as_it_is(given: str) -> None:
    name = safe_name(given)

    assert name
    assert name.isprintable()
    assert not set(name) & set('/\\<>:"|?*')
    assert len(name.encode()) <= MAX_NAME_BYTES + 1
    assert safe_name(name) == name


def test_a_long_name_keeps_its_ending() -> None:
    name = safe_name("字" * 200 + ".pdf")

    assert name.endswith("字.pdf")
    assert len(name.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("name", "claimed", "content", "kind"),
    [
        ("a.pdf", None, b"%PDF-1.7", "application/pdf"),
        ("a.PDF", "application/octet-stream", b"%PDF-1.7", "application/pdf"),
        ("a.txt", "image/png", b"hello", "text/plain; charset=utf-8"),
        ("a.csv", "application/vnd.ms-excel", "Köln".encode("latin-1"), "text/csv"),
        ("a.csv", None, "Köln".encode("utf-16"), "text/csv"),
        ("a.txt", None, b"MZ stands for a name", "text/plain; charset=utf-8"),
        ("a.xyz", None, b"\x00\x01", "application/octet-stream"),
        ("a", "application/pdf; x=y", b"%PDF-1.7", "application/pdf"),
        ("a.xyz", "text/html\r\nX: y", b"\x00", "application/octet-stream"),
        ("a.zip", None, a_zip("b.pdf"), "application/zip"),
        ("mail.eml", "message/rfc822", b"From: a", "application/octet-stream"),
    ],
)
def test_the_type_is_the_one_that_name_and_content_agree_on(
    name: str, claimed: str | None, content: bytes, kind: str
) -> None:
    assert type_of(name, claimed, content) == kind


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.exe", b"x", "program or a script by its name"),
        ("a.pdf.JS", b"x", "program or a script by its name"),
        ("a.pdf", b"MZ\x90\x00\x03", "program or a script by its content"),
        ("a.dat", b"\x7fELF\x02", "program or a script by its content"),
        ("a.txt", b"#!/bin/sh\n", "program or a script by its content"),
        ("a.pdf", b"<html>", "does not begin as a file of the type application/pdf"),
        ("a.png", b"\xff\xd8\xff", "does not begin as a file of the type image/png"),
        ("a.csv", b"a\x00b", "is no text"),
        ("a.zip", a_zip("fine.pdf", "folder/run.EXE"), "holds run.EXE"),
        ("a.docx", a_zip("x.vbs."), "holds x.vbs"),
        ("a.zip", b"PK\x03\x04 and nothing more", "damaged ZIP"),
    ],
)
def test_what_mail_servers_refuse_or_is_not_what_it_says_is_refused(
    name: str, content: bytes, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        type_of(name, None, content)
