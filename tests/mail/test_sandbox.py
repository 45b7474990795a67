import multiprocessing
import smtplib
import socket
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from foundation.errors import Unavailable
from mail.sandbox import MAX_BYTES, Maildir, SandboxServer
from tests.fake_clock import FakeClock

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOON_ID = 1_772_452_800_000_000
MAIL = b"Subject: Hello\r\n\r\nHello\r\n.one dot\r\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SandboxServer]:
    server = SandboxServer(tmp_path / "outbox", FakeClock(NOON))
    yield server
    server.stop()


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "outbox" / "new").iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_message_is_kept_with_its_envelope_in_front(
    server: SandboxServer, tmp_path: Path
) -> None:
    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        client.sendmail("news@example.com", ["jane@example.org", "joe@example.org"], MAIL)

    (path,) = kept(tmp_path)
    assert path.name == str(NOON_ID)
    assert (
        path.read_bytes()
        == (
            b"Return-Path: <news@example.com>\r\n"
            b"Delivered-To: jane@example.org\r\n"
            b"Delivered-To: joe@example.org\r\n"
            b"Received: from localhost by localhost (Sendonce sandbox); Mon, 02 Mar 2026 12:00:00 +0000\r\n"
        )
        + MAIL
    )


def test_what_is_kept_is_for_its_owner_only(server: SandboxServer, tmp_path: Path) -> None:
    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        client.sendmail("news@example.com", ["jane@example.org"], MAIL)

    outbox = tmp_path / "outbox"
    assert {mode(path) for path in (outbox, outbox / "tmp", outbox / "new", outbox / "cur")} == {
        0o700
    }
    assert [mode(path) for path in kept(tmp_path)] == [0o600]
    assert list((outbox / "tmp").iterdir()) == []


def test_messages_of_one_instant_have_ids_of_their_own_in_their_order(
    server: SandboxServer, tmp_path: Path
) -> None:
    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        for number in range(5):
            client.sendmail(
                "news@example.com", ["jane@example.org"], b"Subject: %d\r\n\r\n" % number
            )

    paths = kept(tmp_path)
    assert [path.name for path in paths] == [str(NOON_ID + n) for n in range(5)]
    assert [b"Subject: %d\r\n" % n in path.read_bytes() for n, path in enumerate(paths)] == [
        True
    ] * 5


def test_a_clock_that_goes_back_does_not_reorder_messages(tmp_path: Path) -> None:
    clock = FakeClock(NOON)
    maildir = Maildir(tmp_path / "outbox", clock)

    first = maildir.deliver("a@b.de", ["c@d.de"], MAIL)
    clock.set_wall_clock(NOON - timedelta(hours=1))
    second = maildir.deliver("a@b.de", ["c@d.de"], MAIL)

    assert second == first + 1


def test_a_name_left_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    maildir = Maildir(tmp_path / "outbox", FakeClock(NOON))
    (tmp_path / "outbox" / "tmp" / str(NOON_ID)).write_bytes(b"half")

    assert maildir.deliver("a@b.de", ["c@d.de"], MAIL) == NOON_ID + 1


def deliver_many(folder: Path, mark: bytes) -> None:
    maildir = Maildir(folder, FakeClock(NOON))
    for _ in range(100):
        maildir.deliver("a@b.de", ["c@d.de"], mark)


def test_processes_that_deliver_into_one_folder_lose_nothing(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    marks = [b"process %d" % n for n in range(3)]
    processes = [spawn.Process(target=deliver_many, args=(tmp_path / "outbox", m)) for m in marks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    contents = [path.read_bytes() for path in kept(tmp_path)]
    assert [sum(c.endswith(mark) for c in contents) for mark in marks] == [100, 100, 100]


def test_addresses_beyond_ascii_and_an_empty_sender_are_taken(
    server: SandboxServer, tmp_path: Path
) -> None:
    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        client.sendmail("zoë@example.com", ["ärger@bücher.de"], MAIL, mail_options=["SMTPUTF8"])
        client.sendmail("", ["jane@example.org"], MAIL)

    first, second = (path.read_bytes() for path in kept(tmp_path))
    assert "Return-Path: <zoë@example.com>\r\nDelivered-To: ärger@bücher.de\r\n".encode() in first
    assert second.startswith(b"Return-Path: <>\r\n")


def test_a_message_over_the_limit_is_refused_before_and_after_its_content(
    server: SandboxServer, tmp_path: Path
) -> None:
    line = b"x" * 98 + b"\r\n"
    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == str(MAX_BYTES)
        assert client.mail("a@b.de", [f"size={MAX_BYTES + 1}"])[0] == 552
        client.mail("a@b.de")
        client.rcpt("c@d.de")
        assert client.data(line * (MAX_BYTES // 100 + 1))[0] == 552
        client.sendmail("a@b.de", ["c@d.de"], line * 10_000)

    assert len(kept(tmp_path)) == 1


def test_a_message_that_cannot_be_kept_is_put_off(server: SandboxServer, tmp_path: Path) -> None:
    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        (tmp_path / "outbox" / "tmp").rmdir()
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("a@b.de", ["c@d.de"], MAIL)

    assert caught.value.smtp_code == 452


def test_a_command_cannot_put_a_line_of_its_own_into_the_envelope(tmp_path: Path) -> None:
    maildir = Maildir(tmp_path / "outbox", FakeClock(NOON))

    maildir.deliver("a\rX: 1\n@b.de", ["c\x0b\u2028@d.de", "\ud800@e.de"], MAIL)

    head = kept(tmp_path)[0].read_bytes().partition(MAIL)[0].decode()
    assert head.splitlines()[:3] == [
        "Return-Path: <a?X: 1?@b.de>",
        "Delivered-To: c??@d.de",
        "Delivered-To: ?@e.de",
    ]


def test_many_clients_are_served_at_once(server: SandboxServer, tmp_path: Path) -> None:
    port = server.start()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            for _ in range(20):
                client.sendmail("a@b.de", ["c@d.de"], MAIL)

    clients = [threading.Thread(target=send) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()

    assert len(kept(tmp_path)) == 160


def test_starting_twice_keeps_the_port_and_stopping_twice_is_nothing(server: SandboxServer) -> None:
    port = server.start()

    assert server.start() == port
    server.stop()
    server.stop()


def test_it_can_be_started_and_stopped_from_any_thread(server: SandboxServer) -> None:
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    port = server.start()
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    stopper.join()

    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5).close()


def test_no_thread_is_left_and_clients_are_cut_off(server: SandboxServer) -> None:
    before = set(threading.enumerate())
    port = server.start()
    talking = smtplib.SMTP("127.0.0.1", port)
    talking.docmd("EHLO", "x")
    in_content = smtplib.SMTP("127.0.0.1", port)
    in_content.docmd("EHLO", "x")
    in_content.docmd("MAIL", "FROM:<a@b.de>")
    in_content.docmd("RCPT", "TO:<c@d.de>")
    in_content.docmd("DATA")
    silent = socket.create_connection(("127.0.0.1", port))

    server.stop()

    assert set(threading.enumerate()) == before
    for client in (talking, in_content):
        with pytest.raises((smtplib.SMTPServerDisconnected, OSError)):
            client.docmd("NOOP")
        client.close()
    silent.close()


def test_stopping_at_once_after_starting_ends_cleanly(server: SandboxServer) -> None:
    before = set(threading.enumerate())

    for _ in range(20):
        port = server.start()
        client = socket.create_connection(("127.0.0.1", port))
        server.stop()
        client.close()

    assert set(threading.enumerate()) == before


def test_it_can_be_started_again(server: SandboxServer, tmp_path: Path) -> None:
    server.start()
    server.stop()

    with smtplib.SMTP("127.0.0.1", server.start()) as client:
        client.sendmail("a@b.de", ["c@d.de"], MAIL)

    assert len(kept(tmp_path)) == 1


def test_it_does_not_keep_the_process_alive(server: SandboxServer) -> None:
    before = set(threading.enumerate())
    server.start()

    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon


def test_a_folder_that_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file")
    server = SandboxServer(tmp_path / "outbox", FakeClock())

    with pytest.raises(Unavailable, match="can't start"):
        server.start()


def test_no_free_port_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> socket.socket:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(socket, "create_server", refuse)

    with pytest.raises(Unavailable, match="Address already in use"):
        SandboxServer(tmp_path / "outbox", FakeClock()).start()


def test_a_client_that_leaves_in_mid_content_leaves_nothing(
    server: SandboxServer, tmp_path: Path
) -> None:
    port = server.start()
    client = smtplib.SMTP("127.0.0.1", port)
    client.docmd("EHLO", "x")
    client.docmd("MAIL", "FROM:<a@b.de>")
    client.docmd("RCPT", "TO:<c@d.de>")
    client.docmd("DATA")
    client.send(b"Subject: half\r\n\r\nhalf")
    client.close()
    with smtplib.SMTP("127.0.0.1", port) as other:
        other.sendmail("a@b.de", ["c@d.de"], MAIL)

    assert [b"Subject: Hello" in path.read_bytes() for path in kept(tmp_path)] == [True]
