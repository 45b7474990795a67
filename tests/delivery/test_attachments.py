"""Files in a run: frozen with its content, in every mail, and there for as long as the run."""

from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from campaigns import attaching, files
from campaigns import store as campaign_store
from campaigns.attaching import Upload
from campaigns.model import FrozenFile
from campaigns.tables import attached_files
from delivery.ledger import content_sha256
from delivery.tables import runs
from foundation.clock import SystemClock
from storage.database import Refused
from tests.delivery.builders import (
    Books,
    books,
    everybody,
    receivers,
    sending,
    until,
    until_finished,
)
from tests.delivery.decided import REFUSED, SENT, certified, ended, send_missing
from tests.delivery.test_trial_send import a_campaign, send
from tests.mail.scripted_server import ScriptedServer

LARGE = bytes(range(256)) * 1000  # some blocks of what is written at once
SMALL_SERVER = {"EHLO": [b"250-mx.test\r\n250-PIPELINING\r\n250 SIZE 9000\r\n"]}


def put(b: Books, campaign_id: int, name: str, content: bytes) -> FrozenFile:
    with b.database.write(durable=True) as tx:
        upload = Upload(name=name, claimed=None, content=content)
        attaching.attach(tx, campaign_id, upload, expected_version=None, now=b.now)
        return campaign_store.freeze(tx, campaign_id).attachments[-1]


def take_all_off(b: Books, campaign_id: int) -> None:
    with b.database.write(durable=True) as tx:
        for one in campaign_store.get(tx, campaign_id).attachments:
            attaching.detach(tx, campaign_id, one.id, expected_version=None, now=b.now)


def attached_to(message: Any) -> list[tuple[str, str, Any]]:
    mail = message_from_bytes(message.content, policy=policy.default)
    return [
        (a.get_filename() or "", a.get_content_type(), a.get_payload(decode=True))
        for a in mail.iter_attachments()
    ]


def test_everybody_gets_what_was_attached_when_the_run_was_claimed(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port, max_connections=3)
        campaign_id = a_campaign(b, account.id)
        frozen = (
            put(b, campaign_id, "Übersicht.bin", LARGE),
            put(b, campaign_id, "a.csv", b".\n.."),
        )
        run_id = b.running(people=12, account_ids=(account.id,), attachments=frozen)
        take_all_off(b, campaign_id)

        with sending(b):
            assert until_finished(b, run_id).counts.sent == 12

        assert receivers(server.messages) == everybody(12)
        wanted = [
            ("Übersicht.bin", "application/octet-stream", LARGE),
            ("a.csv", "text/csv", b".\n.."),
        ]
        assert [attached_to(m) for m in server.messages] == [wanted] * 12
        assert b.run(run_id).content.attachments == frozen
        assert certified(b, run_id).holds


def test_a_run_goes_nowhere_without_what_was_attached(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port)
        frozen = put(b, a_campaign(b, account.id), "offer.pdf", b"%PDF-1.7")
        run_id = b.running(people=2, account_ids=(account.id,), attachments=(frozen,))
        with b.database.write(durable=True) as tx:
            tx.execute(update(attached_files).values(content=b"%PDF-6.6"))

        with sending(b):
            until(lambda: b.run(run_id).status == "paused")

        assert "offer.pdf is not there any more" in (b.run(run_id).reason or "")
        assert b.statuses(run_id) == {"queued": 2}
        assert server.messages == []


def test_the_database_keeps_a_file_while_a_run_names_it(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        frozen = put(b, a_campaign(b, b.account().id), "offer.pdf", b"%PDF-1.7")
        first = ended(
            b, {"ann@example.com": SENT, "ben@example.com": REFUSED}, attachments=(frozen,)
        )
        second = send_missing(b, first).id

        with pytest.raises(Refused), b.database.write(durable=True) as tx:
            tx.execute(attached_files.delete())

        take_all_off(b, 1)
        with b.database.read() as tx:
            assert files.read(tx, frozen.sha256) == b"%PDF-1.7"
        assert b.raw("SELECT run_id FROM frozen_files ORDER BY run_id") == [(first,), (second,)]
        assert b.run(second).content.attachments == (frozen,)


def test_the_hash_of_the_content_is_about_the_files_too(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        frozen = put(b, a_campaign(b, b.account().id), "offer.pdf", b"%PDF-1.7")
        run_id = ended(b, {"ann@example.com": SENT}, attachments=(frozen,))
        assert certified(b, run_id).holds

        rewrite(b, run_id, attachments=[])

        assert not certified(b, run_id).holds


def test_a_run_from_before_there_were_attachments_is_read_and_proved(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        b.account()
        run_id = ended(b, {"ann@example.com": SENT})

        content = rewrite(b, run_id)
        del content["attachments"]
        rewrite(b, run_id, whole=content, sha256=content_sha256(content))

        assert b.run(run_id).content.attachments == ()
        assert certified(b, run_id).holds


def test_a_server_that_takes_no_mail_so_large_pauses_the_run_with_its_limit(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer(SMALL_SERVER) as server:
        account = b.account(port=server.port)
        campaign_id = a_campaign(b, account.id)
        frozen = put(b, campaign_id, "offer.bin", b"x" * 9000)
        run_id = b.running(people=25, account_ids=(account.id,), attachments=(frozen,))

        with sending(b):
            until(lambda: b.run(run_id).status == "paused")
        [result] = send(b, campaign_id, ["me@example.com"])

        assert "the server takes at most 9000" in (b.run(run_id).reason or "")
        assert b.account_by_id(account.id).state == "ok"
        assert (result.ok, result.smtp_code) == (False, 552)
        assert "the server takes at most 9000" in (result.smtp_reply or "")
        assert server.messages == []


def test_a_test_carries_what_is_attached_now(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        campaign_id = a_campaign(b, b.account(port=server.port).id)
        put(b, campaign_id, "offer.pdf", b"%PDF-1.7")

        results = send(b, campaign_id, ["me@example.com", "you@example.com"])

        assert all(result.ok for result in results)
        assert [attached_to(m) for m in server.messages] == [
            [("offer.pdf", "application/pdf", b"%PDF-1.7")]
        ] * 2


def rewrite(
    b: Books,
    run_id: int,
    *,
    whole: dict[str, Any] | None = None,
    sha256: str | None = None,
    **changes: object,
) -> dict[str, Any]:
    """Change what stands in a run's row, behind the product's back; return its content."""
    with b.database.write(durable=True) as tx:
        content = tx.execute(select(runs.c.content).where(runs.c.id == run_id)).scalar_one()
        content = (content if whole is None else whole) | changes
        values = {"content": content} | ({} if sha256 is None else {"content_sha256": sha256})
        tx.execute(update(runs).where(runs.c.id == run_id).values(**values))
    return dict(content)
