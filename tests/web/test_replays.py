import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask.testing import FlaskClient

from assembly import Sendonce
from foundation.clock import SystemClock
from storage import replays
from tests.house import a_house, app_of, bearer
from tests.web.given import a_campaign


def post(client: FlaskClient, body: dict[str, object], *, key: str, path: str = "/api/audiences"):
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def test_a_repeat_gets_the_first_answer_and_makes_nothing_twice(client: FlaskClient) -> None:
    first = post(client, {"name": "Readers"}, key="k-1")
    again = post(client, {"name": "Readers"}, key="k-1")

    assert first.status_code == again.status_code == 201
    assert first.json == again.json
    assert len(client.get("/api/audiences").json["items"]) == 1


def test_another_body_under_the_same_key_is_refused(client: FlaskClient) -> None:
    post(client, {"name": "Readers"}, key="k-1")

    other = post(client, {"name": "Writers"}, key="k-1")

    assert other.status_code == 422
    assert other.json["errors"][0]["field"] == "Idempotency-Key"


def test_a_key_is_one_callers_and_one_paths(client: FlaskClient) -> None:
    made = client.post("/api/tokens", json={"name": "other"}).json["token"]
    post(client, {"name": "Readers"}, key="k-1")

    other_path = post(client, {"email": "a@example.com"}, key="k-1", path="/api/suppressions")
    other_caller = client.post(
        "/api/audiences", json={"name": "R"}, headers=bearer(made) | {"Idempotency-Key": "k-1"}
    )

    assert other_path.status_code == 201
    assert other_caller.status_code == 201


def test_a_mistake_is_an_answer_too(client: FlaskClient) -> None:
    wrong = post(client, {"nome": "Readers"}, key="k-1")
    again = post(client, {"nome": "Readers"}, key="k-1")
    right = post(client, {"name": "Readers"}, key="k-1")

    assert (wrong.status_code, again.status_code, right.status_code) == (422, 422, 422)
    assert again.json == wrong.json
    assert again.mimetype == "application/problem+json"
    assert [e["field"] for e in right.json["errors"]] == ["Idempotency-Key"]


def test_a_fault_of_ours_frees_the_key(house: Sendonce, client: FlaskClient) -> None:
    body = {"campaign_id": a_campaign(client)["id"], "schedule_time": "2026-03-03T09:00"}
    in_the_way = house.settings.data_dir / "scheduled_campaigns.json"
    in_the_way.mkdir()
    first = post(client, body, key="k-1", path="/api/schedules")
    in_the_way.rmdir()

    again = post(client, body, key="k-1", path="/api/schedules")

    assert (first.status_code, again.status_code) == (503, 201)


def test_a_key_is_forgotten_after_a_day(house: Sendonce, client: FlaskClient) -> None:
    first = post(client, {"name": "Readers"}, key="k-1")

    house.clock.inner.advance(hours=25)

    assert post(client, {"name": "Readers"}, key="k-1").json["id"] != first.json["id"]


def test_a_repeat_waits_for_the_first_and_then_says_so(
    house: Sendonce, client: FlaskClient
) -> None:
    begun = []
    original = house.clock.inner.wait

    def wait(event: threading.Event, at_most: object) -> bool:
        begun.append(at_most)
        return original(event, at_most)

    house.clock.inner.wait = wait
    in_work(house, "/api/audiences", "k-1", client)

    late = post(client, {"name": "Readers"}, key="k-1")

    assert late.status_code == 409
    assert 90 <= len(begun) <= 110


def test_many_repeats_at_once_make_one_thing(tmp_path: Path) -> None:
    with a_house(tmp_path, clock=SystemClock()) as house:
        app = app_of(house)

        def send(_: int):
            headers = bearer() | {"Idempotency-Key": "k-1"}
            return app.test_client().post("/api/audiences", json={"name": "R"}, headers=headers)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(send, range(8)))
        made = app.test_client().get("/api/audiences", headers=bearer()).json["items"]

    assert [a.status_code for a in answers] == [201] * 8
    assert {a.text for a in answers} == {answers[0].text}
    assert len(made) == 1


def test_a_run_now_that_died_before_its_answer_is_answered_with_its_run(
    house: Sendonce, client: FlaskClient
) -> None:
    campaign_and_schedule(client)
    path = "/api/schedules/1/run-now"
    first = client.post(path, headers={"Idempotency-Key": "k-1"})
    with house.database.write(durable=False) as tx:
        unanswer(tx)

    again = client.post(path, headers={"Idempotency-Key": "k-1"})

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json["id"] == first.json["id"]


def test_a_secret_in_a_kept_answer_is_sealed(house: Sendonce, client: FlaskClient) -> None:
    made = post(client, {"name": "ci"}, key="k-1", path="/api/tokens")
    again = post(client, {"name": "ci"}, key="k-1", path="/api/tokens")

    assert again.json == made.json
    kept = b"".join(p.read_bytes() for p in house.settings.data_dir.glob("sendonce.db*"))
    assert made.json["token"].encode() not in kept


def test_a_form_is_the_same_whatever_its_boundary(client: FlaskClient) -> None:
    client.post("/api/audiences", json={"name": "Readers"})
    answers = [
        client.post(
            "/api/audiences/1/import",
            headers={
                "Idempotency-Key": "k-1",
                "Content-Type": f"multipart/form-data; boundary={boundary}",
            },
            data=(
                f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n'
                f"\r\nemail\na@example.com\n\r\n--{boundary}--\r\n"
            ).encode(),
        )
        for boundary in ("one", "two")
    ]

    assert [a.status_code for a in answers] == [202, 202]
    assert answers[0].json == answers[1].json


def in_work(house: Sendonce, path: str, key: str, client: FlaskClient) -> None:
    """Leave a key taken without an answer, as by a process that died."""
    post(client, {"name": "Readers"}, key=key)
    with house.database.write(durable=False) as tx:
        unanswer(tx)


def unanswer(tx) -> None:
    tx.execute(replays.replays.update().values(status=None, content_type=None, body=None))


def campaign_and_schedule(client: FlaskClient) -> None:
    client.post("/api/audiences", json={"name": "R", "recipients": [{"email": "a@example.com"}]})
    client.post(
        "/api/campaigns",
        json={
            "name": "C",
            "subject": "S",
            "html": "<p>x</p>",
            "audience_ids": [1],
            "account_ids": [1],
        },
    )
    made = client.post(
        "/api/schedules",
        json={"campaign_id": 1, "schedule_time": "2026-03-03T09:00", "schedule_type": "daily"},
    )
    assert made.status_code == 201, made.text
