"""Schedules in the browser, over HTTP alone: what the pages say, and what their forms do."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from assembly import Sendonce
from identity.model import Role
from scheduler.thread import step
from tests.house import tick_of
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, materialised


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    """Somebody who may do everything."""
    return signed_in(house)


def a_form(campaign_id: int, **fields: object) -> dict[str, object]:
    return {
        "campaign_id": campaign_id,
        "schedule_type": "once",
        "date": "2026-03-03",
        "time": "09:00",
        "timezone": "Europe/Berlin",
        "ends": "never",
        "catch_up": "hold",
        "overlap": "wait",
    } | fields


def test_with_nothing_there_it_says_what_comes_first(anna: BrowserClient) -> None:
    page = anna.get("/automation").text

    assert "Write your first campaign" in page
    assert "Schedule Campaign" not in page


def test_the_form_makes_a_schedule_and_leads_to_its_row(
    client: FlaskClient, anna: BrowserClient
) -> None:
    campaign = a_campaign(client)["id"]

    answer = anna.post_form("/automation/new", a_form(campaign))

    assert (answer.status_code, answer.headers["Location"]) == (303, "/automation#s1")
    [made] = client.get("/api/schedules").json["items"]
    assert (made["schedule_time"], made["timezone"]) == ("2026-03-03T09:00:00", "Europe/Berlin")
    assert made["next_run"] == "2026-03-03T08:00:00Z"
    page = anna.get("/automation").text
    assert "Scheduled: News, Tue 3 Mar 09:00 Europe/Berlin." in page
    assert 'id="s1"' in page


def test_a_form_that_is_sent_twice_makes_one_schedule(
    client: FlaskClient, anna: BrowserClient
) -> None:
    form = a_form(a_campaign(client)["id"]) | {
        "idempotency_key": anna.key_in("/automation/new"),
        "csrf_token": anna.token(),
    }

    answers = [anna.post_raw("/automation/new", form) for _ in range(2)]

    assert [a.headers["Location"] for a in answers] == ["/automation#s1"] * 2
    assert len(client.get("/api/schedules").json["items"]) == 1


def test_our_script_is_told_where_a_form_leads_also_when_it_is_sent_twice(
    client: FlaskClient, anna: BrowserClient
) -> None:
    form = a_form(a_campaign(client)["id"]) | {
        "idempotency_key": anna.key_in("/automation/new"),
        "csrf_token": anna.token(),
    }

    answers = [anna.post_raw("/automation/new", form, **{"X-Fragment": "1"}) for _ in range(2)]

    assert [(a.status_code, a.headers["X-Leads-To"]) for a in answers] == [
        (200, "/automation#s1")
    ] * 2


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"date": "2026-03-01"}, "09:00 on 1 Mar 2026 is 1 day ago in Europe/Berlin"),
        ({"date": ""}, "Choose a date and a time."),
        ({"time": "25:99"}, "no time that exists"),
        ({"timezone": "Mars/Olympus"}, "is not an IANA time zone"),
        ({"timezone": ""}, "The time zone is empty"),
        ({"schedule_type": "custom"}, "Say how many minutes lie between two runs."),
        ({"schedule_type": "rrule"}, "Write a rule"),
        ({"schedule_type": "custom", "repeat_interval": "ten"}, "must be a whole number"),
        ({"schedule_type": "rrule", "rrule": "FREQ=SOMETIMES"}, "FREQ"),
        ({"schedule_type": "daily", "ends": "on", "ends_on": "2026-01-01"}, "There is no slot"),
        ({"schedule_type": "daily", "ends": "on", "ends_on": ""}, "Choose the last day."),
        ({"schedule_type": "daily", "ends": "after"}, "Say after how many runs it ends."),
        ({"schedule_type": "daily", "ends": "after", "max_runs": "0"}, "must be at least 1"),
        ({"schedule_type": "nonsense"}, "must be one of"),
        ({"campaign_id": "999"}, "there is no campaign 999"),
        ({"campaign_id": ""}, "must be a whole number"),
    ],
)
def test_a_mistake_is_told_and_what_was_typed_stays(
    client: FlaskClient, anna: BrowserClient, fields: dict[str, object], says: str
) -> None:
    form = a_form(a_campaign(client)["id"], repeat_interval="", rrule="", max_runs="") | fields

    answer = anna.post_form("/automation/new", form)

    assert answer.status_code == 422
    assert says in answer.text
    assert 'role="alert"' in answer.text
    assert f'value="{form["time"]}"' in answer.text
    assert client.get("/api/schedules").json["items"] == []


def test_the_check_says_what_the_form_means_and_saves_nothing(
    client: FlaskClient, anna: BrowserClient
) -> None:
    form = a_form(a_campaign(client)["id"], schedule_type="daily", date="2027-03-27", time="02:30")

    answer = anna.post_form("/automation/check", form)

    assert answer.status_code == 200
    assert "2 people" in answer.text
    assert "through Sandbox" in answer.text
    assert "03:30" in answer.text  # on the 28th, when there is no 02:30 in Berlin
    assert client.get("/api/schedules").json["items"] == []


def test_a_quick_pick_fills_in_the_next_full_minute_of_the_zone_that_was_typed(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    form = a_form(a_campaign(client)["id"])
    house.clock.inner.advance(seconds=5)

    minute = anna.post_form("/automation/check?pick=minute", form).text
    tomorrow = anna.post_form("/automation/check?pick=tomorrow", form).text

    assert 'data-fill-date="2026-03-02" data-fill-time="09:02"' in minute
    assert 'data-fill-date="2026-03-03" data-fill-time="09:00"' in tomorrow


def test_an_edit_of_what_somebody_else_changed_is_refused(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    client.patch(f"/api/schedules/{schedule['id']}", json={"note": "changed"})
    form = a_form(schedule["campaign_id"], schedule_type="daily", version=schedule["version"])

    answer = anna.post_form(f"/automation/{schedule['id']}/edit", form)

    assert answer.status_code == 409
    assert "somebody changed it" in answer.text


def test_an_edit_changes_the_later_slots(client: FlaskClient, anna: BrowserClient) -> None:
    schedule = a_schedule(client)
    form = a_form(
        schedule["campaign_id"],
        schedule_type="weekly",
        time="10:15",
        timezone="UTC",
        version=schedule["version"],
        ends="after",
        max_runs="3",
    )

    answer = anna.post_form(f"/automation/{schedule['id']}/edit", form)

    assert answer.status_code == 303
    changed = client.get(f"/api/schedules/{schedule['id']}").json
    assert (changed["schedule_type"], changed["max_runs"]) == ("weekly", 3)
    assert changed["next_run"] == "2026-03-03T10:15:00Z"


def test_what_is_due_and_not_claimed_is_shown_on_top_and_can_be_taken_back_once(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client, schedule_time="2026-03-02T08:05:00", schedule_type="hourly")
    house.clock.inner.advance(minutes=5, seconds=1)
    slot = {"slot": schedule["next_run"]}
    page = anna.get("/automation").text
    assert "Holding · can be undone" in page

    first = anna.post_form(f"/automation/{schedule['id']}/skip-next", slot)
    second = anna.post_form(f"/automation/{schedule['id']}/skip-next", slot)

    assert (first.status_code, second.status_code) == (303, 409)
    assert client.get(f"/api/schedules/{schedule['id']}").json["next_run"] == "2026-03-02T09:05:00Z"
    assert "Holding" not in anna.get("/automation").text


def test_a_slot_that_was_missed_is_a_question_with_two_answers(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    house.clock.inner.advance(days=3)
    step(house.scheduler, house.leader)
    page = anna.get("/automation").text
    assert "Send one mail now to 2 people" in page

    answer = anna.post_form(f"/automation/{schedule['id']}/missed", {"action": "skip"})

    assert answer.status_code == 303
    assert "Nothing was sent." in anna.get("/automation").text
    assert client.get("/api/runs").json["items"] == []
    assert "Skipped" in anna.get(f"/automation/{schedule['id']}").text


def test_a_run_is_made_now_once_however_often_the_button_is_pressed(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    path = f"/automation/{schedule['id']}/run-now"
    assert "Send now to 2 people" in anna.get(path).text
    form = {"csrf_token": anna.token(), "idempotency_key": anna.key_in(path)}

    answers = [anna.post_raw(path, form) for _ in range(2)]

    assert [a.headers["Location"] for a in answers] == ["/runs/1"] * 2
    assert len(client.get("/api/runs").json["items"]) == 1


def test_what_is_deleted_while_it_sends_is_refused_with_the_run(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    client.post(f"/api/schedules/{schedule['id']}/run-now")

    answer = anna.post_form(f"/automation/{schedule['id']}/delete")

    assert answer.status_code == 409
    assert "Open run 1" in answer.text


def test_names_and_notes_are_text_not_html(client: FlaskClient, anna: BrowserClient) -> None:
    campaign = a_campaign(client, name="<script>alert(1)</script>")
    schedule = a_schedule(client, campaign_id=campaign["id"])
    client.post(f"/api/schedules/{schedule['id']}/pause", json={"note": "<b>wait</b>"})

    for path in ("/automation", f"/automation/{schedule['id']}", "/automation/new"):
        page = anna.get(path).text
        assert "<script>alert" not in page
        assert "<b>wait" not in page


def test_a_viewer_sees_everything_and_no_button(house: Sendonce, client: FlaskClient) -> None:
    schedule = a_schedule(client)
    viewer = signed_in(house, role=Role.VIEWER)

    pages = [viewer.get(path).text for path in ("/automation", f"/automation/{schedule['id']}")]

    for page in pages:
        assert "You can look, not change (role: viewer)" in page
        assert "Pause" not in page.replace("Paused", "")
        assert "Schedule Campaign" not in page
        assert "Delete" not in page


def test_the_list_goes_on_after_fifty(client: FlaskClient, anna: BrowserClient) -> None:
    campaign = a_campaign(client)["id"]
    for _ in range(52):
        a_schedule(client, campaign_id=campaign)

    first = anna.get("/automation").text
    rest = anna.get("/automation?from=50").text

    assert first.count(' data-row role="row"') == 50
    assert "from=50" in first
    assert rest.count(' data-row role="row"') == 2


def test_tabs_and_filter_show_a_part_and_say_where_there_is_none(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    client.post(f"/api/schedules/{schedule['id']}/pause", json={})

    assert anna.get("/automation?show=paused").text.count(' data-row role="row"') == 1
    assert "No schedule is in this part." in anna.get("/automation?show=held").text
    assert "No schedule is called “zzz”." in anna.get("/automation?q=zzz").text


def test_a_past_slot_says_what_was_decided_and_why(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    client.post(f"/api/schedules/{schedule['id']}/skip-next", json={"slot": schedule["next_run"]})

    page = anna.get(f"/automation/{schedule['id']}").text

    assert "Tue 3 Mar 09:00 UTC" in page
    assert "by a person" in page
    assert anna.get(f"/automation/{schedule['id']}?before=nonsense").status_code == 404
    assert anna.get("/automation/999").status_code == 404


def test_the_scheduler_that_does_not_tick_is_told_on_every_page(
    house: Sendonce, anna: BrowserClient
) -> None:
    assert "The scheduler does not tick" in anna.get("/runs").text

    step(house.scheduler, house.leader)
    house.leader.step_down()

    assert "The scheduler does not tick" not in anna.get("/runs").text
    house.clock.inner.advance(seconds=timedelta(minutes=1).total_seconds())
    assert "The scheduler does not tick" in anna.get("/runs").text


def test_an_entry_that_was_taken_out_of_the_file_is_brought_back_by_a_button(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    (house.settings.data_dir / "scheduled_campaigns.json").write_text("[]")
    page = anna.get("/automation").text
    assert "Its entry was taken out of the schedule file." in page

    answer = anna.post_form(f"/automation/{schedule['id']}/bring-back")

    assert answer.status_code == 303
    assert client.get(f"/api/schedules/{schedule['id']}").json["status"] == "pending"


def test_a_one_time_slot_that_was_skipped_is_over_and_offers_nothing_to_bring_back(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client, schedule_type="once")
    client.post(f"/api/schedules/{schedule['id']}/skip-next", json={"slot": schedule["next_run"]})

    page = anna.get("/automation").text

    assert "Cancelled" in page
    assert "Bring back" not in page


@pytest.mark.parametrize(
    "ends",
    [
        {"ends_at": "2026-03-25T10:30:00Z", "max_runs": 2},
        {"ends_at": "2026-03-25T10:30:00Z"},
        {"max_runs": 2},
        {},
    ],
)
def test_an_edit_that_touches_nothing_changes_nothing(
    client: FlaskClient, anna: BrowserClient, ends: dict[str, object]
) -> None:
    schedule = a_schedule(
        client,
        schedule_time="2026-03-03T09:00:30",
        timezone="Europe/Berlin",
        catch_up="skip",
        **ends,
    )
    path = f"/automation/{schedule['id']}/edit"

    answer = anna.post_form(path, fields_on(anna.get(path).text))

    assert answer.status_code == 303
    assert client.get(f"/api/schedules/{schedule['id']}").json == schedule


def test_a_version_beyond_all_numbers_is_a_conflict_not_a_fault(
    client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    form = a_form(schedule["campaign_id"], schedule_type="daily", version="9" * 19)

    assert anna.post_form(f"/automation/{schedule['id']}/edit", form).status_code == 409


def test_what_stood_in_a_buttons_way_may_go_and_the_button_be_pressed_again(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    run = materialised(house, client)
    path = "/automation/1/run-now"
    button = {"csrf_token": anna.token(), "idempotency_key": anna.key_in(path)}
    refused = anna.post_raw(path, button)

    client.post(f"/api/runs/{run}/cancel")
    again = anna.post_raw(path, button)

    assert (refused.status_code, again.status_code) == (409, 303)
    assert again.headers["Location"] == "/runs/2"


def test_a_retry_from_a_page_that_was_opened_again_is_the_same_request(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    schedule = a_schedule(client)
    path = f"/automation/{schedule['id']}/run-now"
    key = anna.key_in(path)
    first = anna.post_raw(path, {"csrf_token": anna.token(), "idempotency_key": key})

    house.clock.inner.advance(seconds=5)  # the token of a page is of its second
    again = anna.post_raw(path, {"csrf_token": anna.token(), "idempotency_key": key})

    assert first.headers["Location"] == again.headers["Location"] == "/runs/1"


def fields_on(page: str) -> dict[str, str]:
    """Return what the schedule form on a page would send."""
    form = page[page.index('id="schedule-form"') :]
    fields: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name, value = (re.search(rf' {a}="([^"]*)"', tag) for a in ("name", "value"))
        is_sent = not re.search(r'type="(radio|checkbox)"', tag) or " checked" in tag
        if name and is_sent:
            fields[name[1]] = value[1] if value else ""
    chosen = re.search(r'<option value="(\d+)" selected', form)
    assert chosen is not None
    return fields | {"campaign_id": chosen[1]}


def test_running_now_what_has_gone_out_says_that_it_would_be_one_more_mail(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    materialised(house, client)
    assert "one more mail" not in anna.get("/automation/1/run-now").text

    with house.database.write(durable=False) as tx:
        tx.execute(text("UPDATE deliveries SET status = 'sent'"))
        tx.execute(text("UPDATE runs SET queued = 0, sent = 2"))

    page = anna.get("/automation/1/run-now").text
    assert "Run 1</a> of it went to 2 people" in page
    assert "one more mail" in page


def test_a_duplicate_begins_as_the_other_is_and_is_saved_as_a_new_one(
    client: FlaskClient, anna: BrowserClient
) -> None:
    a_schedule(client, schedule_type="weekly", timezone="Europe/Berlin", max_runs=3)
    assert 'href="/automation/new?like=1"' in anna.get("/automation").text

    form = fields_on(anna.get("/automation/new?like=1").text)
    answer = anna.post_form("/automation/new", form)

    assert answer.status_code == 303
    first, second = client.get("/api/schedules").json["items"]
    same = ("campaign_id", "schedule_time", "schedule_type", "timezone", "max_runs")
    assert [second[name] for name in same] == [first[name] for name in same]
    assert anna.get("/automation/new?like=99").status_code == 404


def test_an_audience_that_has_grown_many_times_is_pointed_out_before_it_is_sent(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    materialised(house, client)
    client.post("/api/runs/1/cancel")
    many = [{"email": f"p{n}@example.com"} for n in range(18)]
    client.post("/api/audiences/1/recipients", json={"recipients": many})
    tick_of(house)
    house.clock.inner.advance(days=1, hours=1, seconds=1)

    page = anna.get("/automation").text

    assert re.search("20 people, 10 . last time", page)
