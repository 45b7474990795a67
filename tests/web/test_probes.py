from flask.testing import FlaskClient

from assembly import Sendonce
from scheduler.thread import step
from storage import aliveness
from tests.web.given import materialised


def tick(house: Sendonce) -> None:
    """Let some process lead and tick, now."""
    now = house.clock.now()
    with house.database.write(durable=False) as tx:
        epoch = aliveness.raise_epoch(tx, boot_id=None, machine_id=None, pid=1, now=now)
        aliveness.note_tick(tx, epoch, now)


def test_alive_is_whoever_answers(stranger: FlaskClient) -> None:
    assert stranger.get("/healthz").status_code == 200


def test_a_stand_by_is_ready_while_its_leaders_tick_is_fresh(
    house: Sendonce, stranger: FlaskClient
) -> None:
    before = stranger.get("/readyz")
    tick(house)
    fresh = stranger.get("/readyz")
    house.clock.inner.advance(seconds=11)
    old = stranger.get("/readyz")

    assert (before.status_code, before.json["reasons"]) == (
        503,
        ["The scheduler has not ticked yet."],
    )
    assert (fresh.status_code, fresh.json) == (200, {"ready": True, "reasons": [], "warnings": []})
    assert (old.status_code, old.json["ready"]) == (503, False)
    assert "11 seconds ago" in old.json["reasons"][0]


def test_a_data_directory_that_can_not_be_written_is_not_ready(
    house: Sendonce, stranger: FlaskClient
) -> None:
    tick(house)
    (house.settings.data_dir / "sendonce.db").rename(house.settings.data_dir / "moved.db")
    house.database.close()
    (house.settings.data_dir / "sendonce.db").mkdir()

    answer = stranger.get("/readyz")

    assert answer.status_code == 503
    assert "can't be written" in answer.json["reasons"][0]
    assert stranger.get("/healthz").status_code == 200


def test_a_look_at_readiness_leaves_nothing_behind(house: Sendonce, stranger: FlaskClient) -> None:
    stranger.get("/readyz")

    assert [p.name for p in house.settings.data_dir.iterdir() if "readiness" in p.name] == []


def test_metrics_come_from_the_ledger_and_name_nobody(
    house: Sendonce, client: FlaskClient, stranger: FlaskClient
) -> None:
    materialised(house, client)
    tick(house)
    house.clock.inner.advance(seconds=3)

    text = stranger.get("/metrics").text

    assert 'sendonce_runs{status="claimed"} 1.0' in text
    assert 'sendonce_deliveries{status="queued"} 2.0' in text
    assert "sendonce_last_tick_age_seconds 3.0" in text
    assert "@" not in text


def test_damage_that_was_mended_is_a_warning_and_a_notice(
    house: Sendonce, client: FlaskClient
) -> None:
    step(house.scheduler, house.leader)
    (house.settings.data_dir / "scheduled_campaigns.json").write_bytes(b"[{")

    for _ in range(3):
        step(house.scheduler, house.leader)
        house.clock.inner.advance(seconds=3)
    ready = client.get("/readyz")
    status = client.get("/api/status")

    assert ready.status_code == 200
    assert "was damaged" in ready.json["warnings"][0]
    assert [n["kind"] for n in status.json["notices"]] == ["damage"]
