"""A test mail: like the real one, and the ledger knows nothing of it."""

from collections.abc import Sequence
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from accounts import store as account_store
from accounts import usage
from campaigns import store as campaign_store
from campaigns.model import InDoubtRule
from campaigns.store import CampaignFields
from delivery.trial_send import TrialResult, send_test
from foundation.clock import SystemClock
from foundation.errors import Conflict, Invalid, NotFound
from tests.delivery.builders import KEY, Books, books, connect_quickly
from tests.mail.scripted_server import HANG_UP, InTurn, ScriptedServer


def a_campaign(b: Books, *account_ids: int, **changes: Any) -> int:
    audience_id = b.audience()
    b.add_people(audience_id, "ann@example.com", city="Köln")
    fields: dict[str, Any] = {
        "name": "News",
        "subject": "Hello {{ name }}",
        "html": "",
        "text": "{{ recipient.attributes.city }} {{ unsubscribe_url }}",
        "audience_ids": (audience_id,),
        "account_ids": account_ids,
        "from_name": None,
        "reply_to": None,
        "in_doubt": InDoubtRule.HOLD,
    }
    with b.database.write(durable=True) as tx:
        return campaign_store.create(tx, CampaignFields(**(fields | changes)), b.now).id


def send(b: Books, campaign_id: int, to: Sequence[str]) -> list[TrialResult]:
    return send_test(
        b.database,
        connect_quickly,
        key=KEY,
        public_url="https://news.example.com",
        campaign_id=campaign_id,
        to=to,
        now=b.now,
    )


def test_a_recipient_of_the_campaign_gets_what_they_would_get(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        campaign_id = a_campaign(b, b.account(port=server.port).id)

        [result] = send(b, campaign_id, ["ANN@example.com"])

        assert (result.ok, result.smtp_code, result.smtp_reply) == (True, 250, "queued")
        mail = message_from_bytes(server.messages[0].content, policy=policy.default)
        assert mail["Subject"] == "[Test] Hello ann"
        assert mail.get_payload(decode=True).decode().split() == [  # type: ignore[union-attr]
            "Köln",
            "https://news.example.com/u/test",
        ]
        assert mail["X-Sendonce-Run"] is None


def test_somebody_else_gets_it_as_a_stranger(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        campaign_id = a_campaign(b, b.account(port=server.port).id)

        results = send(b, campaign_id, ["me@example.com", "you@example.com"])

        assert [(r.email, r.ok) for r in results] == [
            ("me@example.com", True),
            ("you@example.com", True),
        ]
        assert [m.rcpt_to for m in server.messages] == [("me@example.com",), ("you@example.com",)]
        assert server.connections == 1


def test_nothing_of_it_is_in_the_ledger(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        send(b, a_campaign(b, b.account(port=server.port).id), ["me@example.com"])

        assert b.raw("SELECT count(*) FROM deliveries") == [(0,)]
        assert b.raw("SELECT count(*) FROM runs") == [(0,)]


def test_it_counts_for_the_limits_of_the_account(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port, limit_per_hour=1)

        results = send(b, a_campaign(b, account.id), ["me@example.com", "you@example.com"])

        assert all(result.ok for result in results)
        with b.database.read() as tx:
            assert usage.used(tx, account.id, b.now).hour == 2


def test_what_the_server_refuses_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        server.script["RCPT"] = InTurn([b"550 5.1.1 nobody\r\n"], [b"250 ok\r\n"])
        campaign_id = a_campaign(b, b.account(port=server.port).id)

        results = send(b, campaign_id, ["me@example.com", "you@example.com"])

        assert [(r.ok, r.smtp_code) for r in results] == [(False, 550), (True, 250)]
        assert results[0].smtp_reply == "5.1.1 nobody"


def test_a_server_that_breaks_off_is_connected_to_again_for_the_next(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        server.script["end"] = InTurn([HANG_UP], [b"250 ok\r\n"])
        campaign_id = a_campaign(b, b.account(port=server.port).id)

        results = send(b, campaign_id, ["me@example.com", "you@example.com"])

        assert [(r.ok, r.smtp_code) for r in results] == [(False, None), (True, 250)]
        assert results[0].smtp_reply


def test_a_server_that_is_not_there_is_asked_once(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer({"banner": [b"554 no\r\n"]}) as server:
        campaign_id = a_campaign(b, b.account(port=server.port).id)

        results = send(b, campaign_id, ["me@example.com", "you@example.com"])

        assert [(r.ok, r.smtp_code, r.smtp_reply) for r in results] == [(False, 554, "no")] * 2
        assert server.connections == 1


def test_a_paused_account_is_passed_over(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        paused, well = b.account(port=1, name="Paused"), b.account(port=server.port)
        with b.database.write(durable=True) as tx:
            account_store.pause(tx, paused.id, "535 wrong")
        campaign_id = a_campaign(b, paused.id, well.id)

        [result] = send(b, campaign_id, ["me@example.com"])

        assert result.ok


def test_where_every_account_is_paused_nothing_is_sent(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b:
        paused = b.account()
        with b.database.write(durable=True) as tx:
            account_store.pause(tx, paused.id, "535 wrong")

        with pytest.raises(Conflict, match="paused"):
            send(b, a_campaign(b, paused.id), ["me@example.com"])


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b:
        campaign_id = a_campaign(b, b.account().id)

        with pytest.raises(Invalid) as caught:
            send(b, campaign_id, ["me@example.com", "nobody"])

        assert [e.field for e in caught.value.errors] == ["to[1]"]


def test_a_template_that_fails_for_the_recipient_is_told(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        text = "{{ 1 / (name|length - 3) }}"
        campaign_id = a_campaign(b, b.account(port=server.port).id, text=text)

        with pytest.raises(Invalid, match="divides by zero"):
            send(b, campaign_id, ["ann@example.com"])

        assert server.connections == 0


def test_a_campaign_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, pytest.raises(NotFound):
        send(b, 9, ["me@example.com"])
