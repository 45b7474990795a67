"""GET /api/recipients/{email}: what one person got, and why not."""

from flask.testing import FlaskClient

from assembly import Sendonce
from tests.web.given import an_audience, materialised


def test_a_person_is_told_with_audiences_suppression_and_deliveries(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = materialised(house, client, recipients=["Ann@example.com", "bob@example.com"])
    extra = {"email": "ann@example.com", "name": "Ann Doe", "attributes": {"city": "Köln"}}
    other = an_audience(client, recipients=[extra], name="Others")
    client.post("/api/suppressions", json={"email": "ANN@example.com", "reason": "bounced"})

    told = client.get("/api/recipients/ann@example.com")

    assert told.status_code == 200, told.text
    assert told.json["email"] == "Ann@example.com"
    assert [(a["name"], a["recipient"]["name"]) for a in told.json["audiences"]] == [
        ("R", "Ann"),
        ("Others", "Ann Doe"),
    ]
    assert told.json["audiences"][1]["id"] == other["id"]
    assert told.json["suppression"]["reason"] == "bounced"
    (delivery,) = told.json["deliveries"]
    assert (delivery["run_id"], delivery["status"], delivery["email"]) == (
        run_id,
        "queued",
        "Ann@example.com",
    )
    assert delivery["slot"] == "2026-03-02T08:00:00Z"
    assert delivery.keys() >= {"account_id", "smtp_code", "smtp_reply", "reason", "campaign_id"}
    assert told.json["next_cursor"] is None


def test_a_person_s_deliveries_come_in_pages(house: Sendonce, client: FlaskClient) -> None:
    runs = [materialised(house, client) for _ in range(3)]

    first = client.get("/api/recipients/ann@example.com?limit=2").json
    cursor = first["next_cursor"]
    rest = client.get(f"/api/recipients/ann@example.com?cursor={cursor}").json

    assert [d["run_id"] for d in first["deliveries"]] == [runs[2], runs[1]]
    assert [d["run_id"] for d in rest["deliveries"]] == [runs[0]]


def test_whoever_left_every_audience_is_still_told(house: Sendonce, client: FlaskClient) -> None:
    materialised(house, client)
    client.delete("/api/audiences/1/recipients/ann@example.com")

    told = client.get("/api/recipients/ann@example.com").json

    assert told["audiences"] == []
    assert len(told["deliveries"]) == 1


def test_an_address_that_nothing_is_known_of_is_a_404(client: FlaskClient) -> None:
    unknown = client.get("/api/recipients/nobody@example.com")
    none = client.get("/api/recipients/nobody")

    assert unknown.status_code == 404
    assert "nobody@example.com" in unknown.json["detail"]
    assert none.status_code == 422
    assert none.json["errors"][0]["field"] == "email"
