"""Everything that is kept of a person, as a file of theirs, and its end."""

import json

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from assembly import Sendonce
from identity import audit
from identity.model import Role
from tests.house import bearer
from tests.web.browser_client import signed_in
from tests.web.given import an_audience, materialised, put_as_failed, put_in_doubt
from tests.web.test_guards import a_token

ANN = "Ann.Doe@example.com"


def everything(house: Sendonce) -> str:
    """Return all that the database holds, as text."""
    with house.database.read() as tx:
        names = tx.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
        return "\n".join(str(tx.execute(text(f'SELECT * FROM "{n}"')).all()) for n in names)


def a_run_that_failed_for_ann(house: Sendonce, client: FlaskClient) -> int:
    run_id = materialised(house, client, recipients=[ANN, "bob@example.com"])
    put_as_failed(house, run_id, ANN)
    with house.database.write(durable=False) as tx:
        said = "UPDATE deliveries SET smtp_reply = '5.1.1 <ann.doe@example.com>: nobody' WHERE status = 'failed'"
        tx.execute(text(said))
    return run_id


def test_nothing_of_an_erased_person_stays_and_the_run_still_adds_up(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = a_run_that_failed_for_ann(house, client)
    an_audience(client, recipients=[{"email": ANN, "attributes": {"city": "Cork"}}], name="Two")
    client.post("/api/suppressions", json={"email": ANN})
    assert "ann.doe" in everything(house).lower()

    answer = client.delete(f"/api/recipients/{ANN}")

    assert answer.status_code == 204, answer.text
    assert "ann.doe" not in everything(house).lower()
    assert client.get(f"/api/recipients/{ANN}").status_code == 404
    assert [a["recipients"] for a in client.get("/api/audiences").json["items"]] == [1, 0]
    certificate = client.get(f"/api/runs/{run_id}/certificate").json
    assert certificate["holds"] is True
    assert (certificate["recipients"], certificate["outcomes"]["failed"]) == (2, 1)
    rows = client.get(f"/api/runs/{run_id}/deliveries").json["items"]
    assert rows[0]["email"].startswith("erased:")
    assert rows[0]["smtp_reply"] == "5.1.1 <[erased]>: nobody"
    assert client.delete(f"/api/recipients/{ANN}").status_code == 404


def test_what_an_import_noted_of_an_erased_person_goes_however_it_was_written(
    house: Sendonce, client: FlaskClient
) -> None:
    audience_id = an_audience(client, recipients=[{"email": ANN}])["id"]
    begun = (
        "INSERT INTO imports (audience_id, status, dry_run, progress, added, updated, rejected, pid, created_at)"
        " VALUES (:audience_id, 'completed', 0, 1, 0, 0, 2, 1, '2026-03-02 08:00:00')"
    )
    noted = (
        "INSERT INTO import_rejections (import_id, row, email, reason) VALUES"
        " (1, 2, ' Ann <ANN.Doe@example.com> ', 'twice'), (1, 3, 'bob@', 'no address')"
    )
    with house.database.write(durable=False) as tx:
        tx.execute(text(begun), {"audience_id": audience_id})
        tx.execute(text(noted))

    client.delete(f"/api/recipients/{ANN}")

    with house.database.read() as tx:
        assert tx.scalars(text("SELECT email FROM import_rejections")).all() == ["bob@"]


def test_an_erasure_is_noted_without_the_address(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": ANN}])

    client.delete(f"/api/recipients/{ANN}")

    with house.database.read() as tx:
        newest = audit.entries(tx, limit=1)[0].deed
    assert (newest.action, newest.after) == (
        "erase",
        {"keep_suppression": False, "audiences": 1, "deliveries": 0},
    )
    assert "ann.doe" not in str(newest).lower()


def test_the_suppression_of_an_erased_person_may_stay(client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": ANN}])
    client.post("/api/suppressions", json={"email": ANN, "reason": "unsubscribed"})

    assert client.delete(f"/api/recipients/{ANN}?keep_suppression=true").status_code == 204

    told = client.get(f"/api/recipients/{ANN}").json
    assert (told["audiences"], told["suppression"]["reason"]) == ([], "unsubscribed")
    assert client.delete(f"/api/recipients/{ANN}?keep_suppression=perhaps").status_code == 422


def test_who_was_erased_before_their_turn_is_not_sent_to(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = materialised(house, client, recipients=[ANN, "bob@example.com"])

    assert client.delete(f"/api/recipients/{ANN}").status_code == 204

    with house.database.read() as tx:
        there = "SELECT r.id FROM deliveries d LEFT JOIN recipients r ON r.id = d.recipient_id ORDER BY d.id"
        assert tx.scalars(text(there)).all() == [None, 2]
    assert client.get(f"/api/runs/{run_id}").json["counts"]["queued"] == 2


@pytest.mark.parametrize("status", ["leased", "sending", "in_doubt"])
def test_nobody_is_erased_of_whom_an_answer_may_still_come(
    house: Sendonce, client: FlaskClient, status: str
) -> None:
    run_id = materialised(house, client, recipients=[ANN, "bob@example.com"])
    with house.database.write(durable=False) as tx:
        tx.execute(text(f"UPDATE deliveries SET status = '{status}' WHERE id = 1"))

    refused = client.delete(f"/api/recipients/{ANN}")

    assert (refused.status_code, refused.json["run_id"]) == (409, run_id)
    assert "Nothing was erased" in refused.json["detail"]
    assert client.get("/api/audiences/1").json["recipients"] == 2


def test_only_an_admin_erases(house: Sendonce, client: FlaskClient, stranger: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": ANN}])
    editor = bearer(a_token(house, Role.EDITOR))

    assert stranger.delete(f"/api/recipients/{ANN}", headers=editor).status_code == 403
    signed_in(house)
    person = signed_in(house, role=Role.EDITOR)
    assert person.get(f"/recipients/erase?email={ANN}").status_code == 403
    typed = {"email": ANN, "confirmed": ANN}
    assert person.post_form("/recipients/erase", typed).status_code == 403
    assert "Erase…" not in person.get(f"/recipients/{ANN}").text
    assert client.get("/api/audiences/1").json["recipients"] == 1


def test_on_the_page_the_address_is_typed_before_anything_goes(
    house: Sendonce, client: FlaskClient
) -> None:
    a_run_that_failed_for_ann(house, client)
    anna = signed_in(house)
    assert "1 delivery in the ledger" in anna.get(f"/recipients/erase?email={ANN}").text

    wrong = anna.post_form("/recipients/erase", {"email": ANN, "confirmed": "ann@example.com"})
    right = anna.post_form("/recipients/erase", {"email": ANN, "confirmed": f" {ANN.lower()}"})

    assert wrong.status_code == 422
    assert f"Type {ANN} to erase it. Nothing was erased." in wrong.text
    assert (right.status_code, right.location) == (303, "/recipients")
    assert "Nothing is known of this address" in anna.get(f"/recipients/{ANN}").text


def test_a_doubt_is_decided_before_the_person_is_erased(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = materialised(house, client, recipients=[ANN])
    put_in_doubt(house, run_id, ANN)
    anna = signed_in(house)

    refused = anna.post_form("/recipients/erase", {"email": ANN, "confirmed": ANN})

    assert refused.status_code == 409
    assert "is in doubt. Nothing was erased" in refused.text


def test_a_person_s_data_comes_as_one_file(house: Sendonce, client: FlaskClient) -> None:
    run_id = a_run_that_failed_for_ann(house, client)
    anna = signed_in(house)

    answer = anna.get(f"/recipients/export?email={ANN}")

    assert answer.status_code == 200
    said = 'attachment; filename="ann.doe@example.com.json"'
    assert answer.headers["Content-Disposition"] == said
    told = json.loads(answer.text)
    assert told["audiences"][0]["recipient"]["email"] == ANN
    assert [d["run_id"] for d in told["deliveries"]] == [run_id]
    assert told["exported_at"] == "2026-03-02T08:00:00Z"
    assert "next_cursor" not in told
    assert anna.get("/recipients/export?email=nobody@example.com").status_code == 404
    assert anna.get("/recipients/export?email=nonsense").status_code == 422
