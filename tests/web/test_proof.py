"""What people do about doubts and about the missing through the API, and the proof that they get."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from accounts import store as account_store
from assembly import Sendonce
from delivery import leases, ledger
from delivery.outcome import Failed, InDoubt, Outcome, Sent
from delivery.tally import Tally
from mail.reply import Reply, Stage
from storage.aliveness import current_epoch
from tests.house import bearer
from tests.web.given import materialised

ANN, BOB, CLEO = "ann@example.com", "bob@example.com", "-cleo@example.com"
SENT = Sent(Reply(stage=Stage.END_GIVEN, code=250, text='2.0.0 "Grüße", queued'))
REFUSED = Failed(Reply(stage=Stage.RCPT, code=550, text="5.1.1 no"), "the server refused")
DOUBT = InDoubt("the server fell silent")
API_PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def ended(house: Sendonce, client: FlaskClient, outcomes: Mapping[str, Outcome]) -> int:
    """Make a run that has come to these outcomes and has ended."""
    run_id = materialised(house, client, recipients=[*outcomes])
    now = house.clock.now()
    with house.database.write(durable=False) as tx:
        assert ledger.start(tx, run_id, now)
    come_to(house, run_id, outcomes)
    return run_id


def come_to(house: Sendonce, run_id: int, outcomes: Mapping[str, Outcome]) -> None:
    now, tally = house.clock.now(), Tally()
    with house.database.write(durable=False) as tx:
        account = account_store.sandbox(tx, house.key)
        epoch = current_epoch(tx)
        for item in leases.lease(tx, run_id, account, limit=100, epoch=epoch, now=now):
            sends = {"epoch": epoch, "now": now}
            leases.mark_sending(tx, item, tally, message_id=f"<{item.id}@test>", **sends)
            outcome = outcomes[item.email]
            leases.record(tx, item, outcome, tally, begun=True, retry_at=now, **sends)
        tally.write(tx)
        assert ledger.finish(tx, run_id, now)


def test_a_doubt_is_sent_again_and_the_run_runs(house: Sendonce, client: FlaskClient) -> None:
    run_id = ended(house, client, {ANN: DOUBT, BOB: DOUBT})

    answer = client.post(
        f"/api/runs/{run_id}/in-doubt", json={"action": "resend", "emails": ["ANN@example.com"]}
    )

    assert answer.status_code == 200, answer.text
    assert (answer.json["resolved"], answer.json["status"]) == (1, "running")
    assert answer.json["counts"]["queued"] == answer.json["counts"]["in_doubt"] == 1


def test_all_doubts_are_marked_that_were_there_when_the_list_was_read(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = ended(house, client, {ANN: DOUBT, BOB: DOUBT})
    path, body = f"/api/runs/{run_id}/in-doubt", {"action": "mark-sent", "emails": "all"}

    early = client.post(path, json=body | {"before": "2026-03-02T07:00:00+00:00"})
    done = client.post(path, json=body | {"before": "2026-03-02T10:00:00+01:00"})
    again = client.post(path, json=body)

    assert (early.status_code, early.json["run_id"]) == (409, run_id)
    assert (done.json["resolved"], done.json["status"]) == (2, "completed")
    assert (again.status_code, again.json["run_id"]) == (409, run_id)
    assert "in doubt any more" in again.json["detail"]


def test_a_second_click_with_the_same_key_sends_once(house: Sendonce, client: FlaskClient) -> None:
    run_id = ended(house, client, {ANN: DOUBT})
    path, body = f"/api/runs/{run_id}/in-doubt", {"action": "resend", "emails": "all"}

    answers = [client.post(path, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]

    assert [a.status_code for a in answers] == [200, 200]
    assert len(client.get(f"/api/runs/{run_id}/certificate").json["decisions"]) == 1


@pytest.mark.parametrize("call", ["in-doubt", "send-missing"])
def test_a_viewer_decides_nothing(house: Sendonce, client: FlaskClient, call: str) -> None:
    run_id = ended(house, client, {ANN: DOUBT, BOB: REFUSED})
    made = client.post("/api/tokens", json={"name": "looks", "role": "viewer"}).json
    body = {"action": "resend", "emails": "all"} if call == "in-doubt" else {}

    viewer = bearer(made["token"])
    refused = client.post(f"/api/runs/{run_id}/{call}", json=body, headers=viewer)

    assert refused.status_code == 403
    proof = client.get(f"/api/runs/{run_id}/certificate", headers=viewer)
    assert (proof.status_code, proof.json["decisions"]) == (200, [])


def test_the_missing_get_a_run_of_their_own(house: Sendonce, client: FlaskClient) -> None:
    run_id = ended(house, client, {ANN: SENT, BOB: REFUSED})
    schedule = client.get("/api/schedules/1").json

    made = client.post(f"/api/runs/{run_id}/send-missing")
    again = client.post(f"/api/runs/{run_id}/send-missing")

    assert made.status_code == 202, made.text
    assert (made.json["origin"], made.json["made_from"]) == ("send-missing", run_id)
    assert made.json["slot"] == "2026-03-02T08:00:00Z"
    assert made.json["counts"]["recipients"] == 1
    assert (again.status_code, again.json["run_id"]) == (409, made.json["id"])
    assert client.get("/api/schedules/1").json["total_runs"] == schedule["total_runs"]


def test_a_send_missing_that_died_before_its_answer_is_answered_with_its_run(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = ended(house, client, {ANN: REFUSED})
    path, key = f"/api/runs/{run_id}/send-missing", {"Idempotency-Key": "k"}
    first = client.post(path, headers=key)
    with house.database.write(durable=False) as tx:
        tx.exec_driver_sql("DELETE FROM replays")

    again = client.post(path, headers=key)

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json["id"] == first.json["id"]


def test_the_certificate_is_what_the_contract_says_and_who_decided(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = ended(house, client, {ANN: DOUBT, BOB: DOUBT, CLEO: SENT})
    client.post(f"/api/runs/{run_id}/in-doubt", json={"action": "mark-failed", "emails": [ANN]})

    told = client.get(f"/api/runs/{run_id}/certificate").json

    assert told["holds"]
    assert told["is_final"]
    assert told["outcomes"] == client.get(f"/api/runs/{run_id}").json["counts"]
    assert (told["run_id"], told["recipients"]) == (run_id, 3)
    assert (told["duplicates"], told["missing"]) == (0, 0)
    assert told["slot"] == told["checked_at"] == "2026-03-02T08:00:00Z"
    [doubt] = told["in_doubt"]
    assert (doubt["email"], doubt["since"], doubt["account"]) == (
        BOB,
        "2026-03-02T08:00:00Z",
        "Sandbox",
    )
    assert told["decisions"] == [
        {
            "action": "mark-failed",
            "email": ANN,
            "by": "the bootstrap token",
            "detail": "the server fell silent",
            "at": "2026-03-02T08:00:00Z",
        }
    ]
    assert all(check["ok"] for check in told["checks"])


def test_the_ledger_s_hash_can_be_computed_again_as_the_documentation_says(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = ended(house, client, {ANN: DOUBT, BOB: REFUSED, CLEO: SENT})
    client.post(f"/api/runs/{run_id}/in-doubt", json={"action": "mark-sent", "emails": "all"})
    told = client.get(f"/api/runs/{run_id}/certificate").json
    deliveries = client.get(f"/api/runs/{run_id}/deliveries.csv").text
    found = re.search(r"```python\n(import csv.*?)```", API_PAGE.read_text(), re.DOTALL)
    assert found is not None
    recipe: dict[str, Any] = {"csv": csv, "hashlib": hashlib, "json": json}

    exec(found[1], recipe)

    computed = recipe["ledger_sha256"](io.StringIO(deliveries, newline=""), told)
    assert computed == told["ledger_sha256"]


def test_a_person_is_told_what_was_decided_about_their_mails(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = ended(house, client, {ANN: DOUBT, BOB: DOUBT})
    client.post(f"/api/runs/{run_id}/in-doubt", json={"action": "mark-failed", "emails": [ANN]})
    client.post(f"/api/runs/{run_id}/send-missing")

    ann = client.get(f"/api/recipients/{ANN}").json["deliveries"]
    bob = client.get(f"/api/recipients/{BOB}").json["deliveries"]

    assert [d["status"] for d in ann] == ["queued", "failed"]
    assert ann[0]["decisions"] == []
    [made] = ann[1]["decisions"]
    assert (made["action"], made["by"]) == ("mark-failed", "the bootstrap token")
    assert ann[1]["reason"] == "was in doubt; marked as failed by the bootstrap token"
    assert [d["decisions"] for d in bob] == [[]]


def test_who_paused_and_cancelled_a_run_stands_in_its_certificate(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = materialised(house, client)
    for action in ("pause", "resume", "cancel"):
        client.post(f"/api/runs/{run_id}/{action}")

    made = client.get(f"/api/runs/{run_id}/certificate").json["decisions"]

    assert [(d["action"], d["by"], d["email"]) for d in made] == [
        (action, "the bootstrap token", None) for action in ("pause", "resume", "cancel")
    ]
