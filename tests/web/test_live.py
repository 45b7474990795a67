import json
from datetime import timedelta

import pytest

from assembly import Sendonce
from foundation.errors import Unavailable
from tests.web.given import a_campaign, a_schedule, materialised
from web.live import MOST_READERS, Publisher

NO_TIME = timedelta(0)


def kinds(events) -> list[str]:
    return [event.kind for event in events]


def test_whoever_begins_to_read_hears_of_runs_on_their_way_and_of_the_scheduler(
    house: Sendonce, client
) -> None:
    materialised(house, client)

    _, events = Publisher(house).current()

    assert sorted(kinds(events)) == ["run", "scheduler"]
    run = json.loads(next(e.data for e in events if e.kind == "run"))
    assert run["counts"]["queued"] == 2


def test_a_change_of_a_schedule_is_told_once(house: Sendonce, client) -> None:
    schedule = a_schedule(client)
    publisher = Publisher(house)
    sequence, _ = publisher.current()

    client.post(f"/api/schedules/{schedule['id']}/pause", json={})
    publisher.look()
    told = [e for e in publisher.since(sequence, NO_TIME) if e.kind == "schedule"]
    publisher.look()

    assert [json.loads(e.data)["status"] for e in told] == ["paused"]
    assert [e for e in publisher.since(told[-1].sequence, NO_TIME) if e.kind == "schedule"] == []


def test_a_slot_that_becomes_due_is_told(house: Sendonce, client) -> None:
    a_schedule(client, schedule_time="2026-03-02T08:00:10", schedule_type="once")
    publisher = Publisher(house)
    sequence, _ = publisher.current()

    house.clock.inner.advance(seconds=11)
    publisher.look()

    told = [e for e in publisher.since(sequence, NO_TIME) if e.kind == "schedule"]
    assert [json.loads(e.data)["due"] for e in told] == [True]


def test_a_deleted_schedule_is_told(house: Sendonce, client) -> None:
    schedule = a_schedule(client)
    publisher = Publisher(house)
    sequence, _ = publisher.current()

    client.delete(f"/api/schedules/{schedule['id']}")
    publisher.look()

    told = [e for e in publisher.since(sequence, NO_TIME) if e.kind == "schedule"]
    assert [json.loads(e.data) for e in told] == [{"id": schedule["id"], "deleted": True}]


def test_there_is_an_end_to_the_streams_that_may_be_open(house: Sendonce) -> None:
    publisher = Publisher(house)
    publisher._is_running = True  # no thread: the test looks itself
    open_streams = [publisher.reading() for _ in range(MOST_READERS)]
    for stream in open_streams:
        stream.__enter__()

    with pytest.raises(Unavailable, match="Poll"), publisher.reading():
        pass

    open_streams[0].__exit__(None, None, None)
    with publisher.reading():
        pass


def test_a_server_that_answers_one_at_a_time_streams_nothing(client) -> None:
    answer = client.get("/api/events", environ_overrides={"wsgi.multithread": False})

    assert answer.status_code == 503
    assert answer.headers["Retry-After"]


def test_a_stream_begins_with_how_things_stand_and_gives_its_place_back(
    house: Sendonce, client
) -> None:
    a_campaign(client)
    for _ in range(MOST_READERS + 1):
        answer = client.get("/api/events", environ_overrides={"wsgi.multithread": True})
        pieces = iter(answer.response)
        assert next(pieces) == b"retry: 2000\n\n"
        assert b"event: scheduler" in next(pieces)
        answer.close()

    assert answer.mimetype == "text/event-stream"
    assert answer.headers["X-Accel-Buffering"] == "no"
