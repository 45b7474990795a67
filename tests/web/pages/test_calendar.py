"""The calendar in the browser, over HTTP alone, and the file that other calendars read."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.house import tick_of
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, an_account
from web.ics import Event, calendar_file


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def told(page: str) -> str:
    """Return the text of a page's list as a person reads it."""
    text = re.sub(r"<form.*?</form>|<[^>]+>", " ", page[page.index('id="agenda"') :])
    return " ".join(text.split())


def test_with_nothing_planned_it_says_so(anna: BrowserClient) -> None:
    assert "Nothing in the next 14 days." in anna.get("/calendar").text


def test_it_says_when_what_goes_to_how_many_people_by_the_schedules_own_clock(
    client: FlaskClient, anna: BrowserClient
) -> None:
    a_schedule(client, timezone="America/New_York")

    page = told(anna.get("/calendar").text)

    assert "Tue 3 Mar 2026 09:00 America/New_York News to 2 people" in page
    assert page.count("America/New_York") == 13  # the fourteenth day's is the one of today, over


def test_times_are_told_in_utc_or_by_the_viewers_clock_where_that_is_wanted(
    client: FlaskClient, anna: BrowserClient
) -> None:
    a_schedule(client, timezone="America/New_York", schedule_type="once")
    anna.client.set_cookie("zone", "Asia/Tokyo")

    utc, mine = (told(anna.get(f"/calendar?zone={zone}").text) for zone in ("utc", "mine"))

    assert "Tue 3 Mar 2026 14:00 UTC News" in utc
    assert "Tue 3 Mar 2026 23:00 Asia/Tokyo News" in mine


def test_what_moves_with_the_clocks_is_noted(client: FlaskClient, anna: BrowserClient) -> None:
    fields = {"schedule_type": "once", "timezone": "Europe/Berlin"}
    a_schedule(client, schedule_time="2026-03-29T02:30:00", **fields)

    page = told(anna.get("/calendar?from=2026-03-28").text)

    assert "Sun 29 Mar 2026 03:30 Europe/Berlin" in page
    assert "02:30 does not exist" in page


def test_what_shares_an_account_is_said_at_both_and_drawn(
    client: FlaskClient, anna: BrowserClient
) -> None:
    relay = an_account(client, rate_per_second=0.01)["id"]
    for name, time in (("Digest", "09:00"), ("News", "09:03"), ("Later", "11:00")):
        campaign = a_campaign(client, name=name, account_ids=[relay])
        a_schedule(
            client,
            campaign_id=campaign["id"],
            schedule_type="once",
            schedule_time=f"2026-03-03T{time}:00",
        )
    a_schedule(client, schedule_type="once", schedule_time="2026-03-03T09:01:00")

    page = anna.get("/calendar").text

    assert "about 3 min 20 s" in told(page)
    assert re.findall(r"overlaps (\w+) on (\w+)", told(page)) == [
        ("News", "Relay"),
        ("Digest", "Relay"),
    ]
    assert "4 slots</strong> to come, 2 of them while the same account sends" in page
    assert page.count('class="lane-clash"') == 1


def test_what_was_decided_is_shown_with_its_run(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    a_schedule(client, schedule_time="2026-03-02T08:00:10", schedule_type="once")
    later = a_schedule(client)
    client.post(f"/api/schedules/{later['id']}/skip-next", json={"slot": later["next_run"]})
    tick_of(house)
    house.clock.inner.advance(minutes=2)
    tick_of(house)

    page = anna.get("/calendar").text

    assert "Claimed Run 1" in told(page)
    assert "skipped by a person Skipped" in told(page)
    assert 'href="/runs/1"' in page


def test_only_the_next_slot_of_a_schedule_can_be_skipped_and_that_leads_back(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    page = anna.get("/calendar").text
    [slot] = re.findall(r'name="slot" value="([^"]+)"', page)
    [back] = re.findall(r'name="back" value="([^"]+)"', page)
    back = back.replace("&amp;", "&")

    answer = anna.post_form("/automation/1/skip-next", {"slot": slot, "back": back})

    assert slot == "2026-03-03T09:00:00+00:00"
    assert (answer.status_code, answer.headers["Location"]) == (303, back)
    after = client.get(f"/api/schedules/{schedule['id']}").get_json()
    assert after["next_run"] == "2026-03-04T09:00:00Z"


@pytest.mark.parametrize("back", ["//evil.example/calendar?", "https://evil.example", "/calendar"])
def test_skipping_leads_nowhere_else(client: FlaskClient, anna: BrowserClient, back: str) -> None:
    schedule = a_schedule(client)

    answer = anna.post_form("/automation/1/skip-next", {"slot": schedule["next_run"], "back": back})

    assert answer.headers["Location"] == "/automation#s1"


def test_many_slots_of_a_day_are_one_entry(client: FlaskClient, anna: BrowserClient) -> None:
    a_schedule(client, schedule_type="hourly", schedule_time="2026-03-03T00:15:00")

    page = told(anna.get("/calendar?from=2026-03-04").text)

    assert page.count("24 times") == 14
    assert "00:15 to 23:15 UTC News 24 times to 2 people" in page


def test_what_does_not_fit_on_a_page_is_on_the_next(
    client: FlaskClient, anna: BrowserClient
) -> None:
    campaign = a_campaign(client)["id"]
    for _ in range(40):
        a_schedule(client, campaign_id=campaign)

    page = anna.get("/calendar?from=2026-03-03").text

    assert "Tue 3 Mar 2026 to Thu 5 Mar 2026" in page
    assert page.count('class="slot"') == 120
    assert "from=2026-03-06" in page


def test_a_day_that_alone_is_too_much_says_so(client: FlaskClient, anna: BrowserClient) -> None:
    a_schedule(
        client,
        schedule_type="custom",
        repeat_interval=1,
        schedule_time="2026-03-03T00:00:00",
    )

    page = anna.get("/calendar?from=2026-03-04").text

    assert "1,440 times" in page
    assert "Wed 4 Mar 2026 to Thu 5 Mar 2026" in page  # no more than 5,000 slots are looked at


def test_slots_far_ahead_are_found_without_going_through_all_before_them(
    client: FlaskClient, anna: BrowserClient
) -> None:
    a_schedule(client, schedule_type="custom", repeat_interval=1)
    a_schedule(client, max_runs=3)

    page = told(anna.get("/calendar?from=2040-01-01&zone=utc").text)

    assert "1,440 times" in page
    assert "09:00" not in page


@pytest.mark.parametrize(
    "query", ["from=nonsense", "from=9999-12-31", "from=0001-01-01", "from=-1", "zone=Mars"]
)
def test_what_there_is_not_is_not_found(anna: BrowserClient, query: str) -> None:
    assert anna.get(f"/calendar?{query}").status_code == 404
    assert anna.get(f"/calendar.ics?{query}").status_code == 404


@pytest.mark.parametrize("query", ["from=2000-01-01", "from=2399-01-01"])
def test_both_ends_of_time_are_shown(client: FlaskClient, anna: BrowserClient, query: str) -> None:
    a_schedule(client, timezone="Pacific/Kiritimati")

    assert anna.get(f"/calendar?{query}").status_code == 200


def test_a_viewer_looks_and_skips_nothing(house: Sendonce, client: FlaskClient) -> None:
    a_schedule(client)

    page = signed_in(house, role=Role.VIEWER).get("/calendar").text

    assert "News" in told(page)
    assert "Skip this" not in page


def read(file: bytes) -> list[dict[str, str]]:
    """Return the events of a calendar file as RFC 5545 says that it is read."""
    assert all(len(line) <= 75 for line in file.split(b"\r\n"))
    assert b"\n" not in file.replace(b"\r\n", b"")
    unfolded = file.replace(b"\r\n ", b"").decode()
    events = re.findall(r"BEGIN:VEVENT\r\n(.*?)\r\nEND:VEVENT", unfolded, re.DOTALL)
    lines = [[line.split(":", 1) for line in event.split("\r\n")] for event in events]
    return [{name: unescaped(value) for name, value in event} for event in lines]


def unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] in "nN" else m[1], value)


def test_the_file_tells_every_slot_to_come_at_its_instant(
    client: FlaskClient, anna: BrowserClient
) -> None:
    name = "Spring; sale, \\ 50 % — größer " + "ü" * 80
    schedule = a_schedule(
        client, campaign_id=a_campaign(client, name=name)["id"], timezone="Europe/Berlin"
    )
    client.post(f"/api/schedules/{schedule['id']}/skip-next", json={"slot": schedule["next_run"]})

    answer = anna.get("/calendar.ics?from=2026-03-03")

    events = read(answer.data)
    assert answer.mimetype == "text/calendar"
    assert len(events) == 13  # the first was skipped
    assert events[0]["SUMMARY"] == name
    assert events[0]["DTSTART"] == "20260304T080000Z"
    assert events[0]["URL"].endswith("/automation/1")
    assert "To 2 people, Wed 4 Mar 09:00 Europe/Berlin." in events[0]["DESCRIPTION"]
    assert len({event["UID"] for event in events}) == 13


def test_no_text_can_add_a_line_to_the_file() -> None:
    hostile = "a\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\nSUMMARY:b\x00\x1b"
    event = Event(
        uid="1@sendonce",
        starts_at=datetime(2026, 3, 3, 9, tzinfo=UTC),
        seconds=timedelta(minutes=3).total_seconds(),
        summary=hostile,
        description="",
        url="http://127.0.0.1/automation/1",
    )

    [found] = read(calendar_file([event], made_at=event.starts_at))

    assert found["SUMMARY"] == "a\nEND:VEVENT\nBEGIN:VEVENT\nSUMMARY:b"
    assert found["DURATION"] == "PT180S"
