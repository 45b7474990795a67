"""The story that Sendonce is for: schedule a campaign in the browser, and watch it go out once."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.given import a_campaign, a_schedule, next_minute, received
from tests.browser.person import Person
from tests.processes.servers import APP, Server, due_in, running, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ZONE = "Europe/Berlin"
A_MINUTE_AND_MORE = 100_000
NewPerson = Callable[..., Person]


def row(page: Page, text: str) -> object:
    return page.get_by_role("row").filter(has_text=text)


@pytest.mark.timeout(240)
def test_four_servers_send_what_was_scheduled_by_clicks_once_to_each_recipient(
    tmp_path: Path, new_person: NewPerson
) -> None:
    with running([APP] * 4, tmp_path, execution_buffer="3") as servers:
        a_campaign(servers[0], recipients=40)
        anna = new_person(servers[0], zone=ZONE)
        page = anna.page
        page.reload(wait_until="domcontentloaded")

        anna.button("Schedule Campaign").click()
        dialog = page.get_by_role("dialog", name="New schedule")
        when = next_minute(ZONE)
        dialog.get_by_label("Date", exact=True).fill(f"{when:%Y-%m-%d}")
        dialog.get_by_label("Time", exact=True).fill(f"{when:%H:%M}")
        expect(dialog.get_by_text("40 people", exact=True)).to_be_visible()
        assert page.get_by_role("button", name="Schedule Campaign").count() == 1
        dialog.get_by_role("button", name="Schedule Campaign").click()

        expect(page.get_by_role("status").get_by_text("Scheduled: Weekly digest")).to_be_visible()
        expect(page.locator("#s1")).to_be_focused()
        expect(page.get_by_text(re.compile(r"^in \d+ s$")).first).to_be_visible()
        expect(page.get_by_role("heading", name="Holding")).to_be_visible(timeout=A_MINUTE_AND_MORE)
        expect(page.get_by_text("40 sent")).to_be_visible(timeout=30_000)

        page.get_by_role("link", name="40 sent").click()
        expect(page.get_by_text("40 recipients = 40 sent + 0 failed + 0 skipped")).to_be_visible()
        expect(page.get_by_text("adds up", exact=True)).to_be_visible()
        page.get_by_role("navigation", name="Main").get_by_role("link", name="Outbox").click()
        expect(page.get_by_text("person7@example.com")).to_be_visible()

        assert received(servers[3]) == sorted(f"person{n}@example.com" for n in range(40))
        assert len(servers[2].get("/api/runs")["items"]) == 1


def test_the_same_by_keyboard_alone(server: Server, new_person: NewPerson) -> None:
    a_campaign(server, recipients=5)
    ben = new_person(server, zone=ZONE)
    page, keyboard = ben.page, ben.page.keyboard
    page.reload(wait_until="domcontentloaded")

    keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    keyboard.press("n")
    expect(page.get_by_label("Campaign", exact=True)).to_be_focused()
    keyboard.press("Tab")
    expect(page.get_by_label("Once")).to_be_focused()
    keyboard.press("Tab")
    expect(page.get_by_label("Date", exact=True)).to_be_focused()
    # A native field takes the browser's own order: month, day, year.
    keyboard.type("03042031")
    for _ in range(4):  # past the parts of the date and its button, to the time
        if not page.get_by_label("Time", exact=True).evaluate("e => e.matches(':focus')"):
            keyboard.press("Tab")
    keyboard.type("0900AM")
    keyboard.press("Enter")
    expect(page.locator("#s1")).to_be_focused()
    expect(page.locator("#s1")).to_contain_text("Tue 4 Mar 2031 09:00 Europe/Berlin")

    keyboard.press(".")
    keyboard.press("Tab")
    expect(page.get_by_role("link", name="Run now…")).to_be_focused()
    keyboard.press("Enter")
    expect(page.get_by_role("link", name="Don’t send")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Enter")

    expect(page).to_have_url(server.url + "/runs/1")
    expect(page.locator("#run-state")).to_contain_text("Nobody was sent it twice.")
    assert received(server) == [f"person{n}@example.com" for n in range(5)]


def test_what_is_due_can_be_taken_back_until_it_is_claimed(
    tmp_path: Path, new_person: NewPerson
) -> None:
    with running([APP], tmp_path, execution_buffer="60") as [server]:
        campaign = a_campaign(server)
        server.post(
            "/api/schedules",
            {"campaign_id": campaign, "schedule_type": "once", "schedule_time": due_in(1)},
        )
        anna = new_person(server)
        page = anna.page

        undo = anna.button("Undo, don’t send")
        expect(undo).to_be_visible()
        undo.click()

        expect(page.get_by_role("heading", name="Holding")).to_have_count(0)
        expect(page.get_by_role("row").filter(has_text="Cancelled")).to_be_visible()
        assert server.get("/api/schedules/1")["status"] == "cancelled"
        assert server.get("/api/runs")["items"] == []
        assert received(server) == []


def test_the_form_says_what_is_wrong_and_keeps_what_was_typed(
    server: Server, new_person: NewPerson
) -> None:
    a_campaign(server)
    anna = new_person(server, zone=ZONE)
    page = anna.page
    page.reload(wait_until="domcontentloaded")
    anna.button("Schedule Campaign").click()
    dialog = page.get_by_role("dialog", name="New schedule")
    dialog.get_by_label("Date", exact=True).fill("2026-01-02")
    dialog.get_by_label("Time", exact=True).fill("09:00")

    dialog.get_by_role("button", name="Schedule Campaign").click()

    expect(dialog.get_by_role("alert")).to_be_focused()
    expect(dialog.get_by_role("alert")).to_contain_text("09:00 on 2 Jan 2026 is")
    expect(dialog.get_by_role("alert")).to_contain_text("ago in Europe/Berlin")
    expect(dialog.get_by_label("Time", exact=True)).to_have_value("09:00")
    assert anna.axe() == []
    anna.expects_complaint("422")

    dialog.get_by_label("Date", exact=True).fill("2027-03-28")
    dialog.get_by_label("Time", exact=True).fill("02:30")
    expect(dialog.locator("[data-check-result]")).to_contain_text("03:30")
    dialog.get_by_role("button", name="Schedule Campaign").click()
    expect(page.get_by_role("status").get_by_text("Sun 28 Mar 2027 03:30")).to_be_visible()


def test_a_campaign_to_nobody_says_so_before_it_is_scheduled(
    server: Server, new_person: NewPerson
) -> None:
    a_campaign(server, recipients=0)
    anna = new_person(server)
    anna.page.reload(wait_until="domcontentloaded")

    anna.button("Schedule Campaign").click()

    check = anna.page.locator("[data-check-result]")
    expect(check).to_contain_text("Nobody would get it: the audience is empty")


def test_a_double_click_schedules_once(server: Server, new_person: NewPerson) -> None:
    a_campaign(server)
    anna = new_person(server)
    anna.page.reload(wait_until="domcontentloaded")
    anna.button("Schedule Campaign").click()
    dialog = anna.page.get_by_role("dialog", name="New schedule")

    dialog.get_by_role("button", name="Schedule Campaign").dblclick()

    expect(anna.page.locator("#s1")).to_be_visible()
    assert len(server.get("/api/schedules")["items"]) == 1


def test_what_happens_in_one_tab_shows_in_the_other(server: Server, new_person: NewPerson) -> None:
    schedule = a_schedule(server, a_campaign(server))
    anna = new_person(server)
    anna.opens("/automation")
    other = anna.another_tab("/automation")
    expect(anna.page.get_by_role("row").filter(has_text="Pending")).to_be_visible()

    server.post(f"/api/schedules/{schedule}/pause", {})

    for page in (anna.page, other):
        page.bring_to_front()
        expect(page.get_by_role("row").filter(has_text="Paused")).to_be_visible()


def test_a_campaign_runs_now_for_whoever_confirms_the_number(
    server: Server, new_person: NewPerson
) -> None:
    a_schedule(server, a_campaign(server, recipients=7))
    anna = new_person(server)
    anna.page.reload(wait_until="domcontentloaded")

    anna.button("More for Weekly digest").click()
    anna.page.get_by_role("link", name="Run now…").click()
    anna.button("Send now to 7 people").click()

    expect(anna.page).to_have_url(server.url + "/runs/1")
    expect(anna.page.locator("#run-state")).to_contain_text("Nobody was sent it twice.")
    assert len(received(server)) == 7


def test_a_run_is_paused_goes_on_and_is_cancelled(server: Server, new_person: NewPerson) -> None:
    campaign = a_campaign(server, recipients=400)
    server.request("PATCH", "/api/accounts/1", {"rate_per_second": 20})
    schedule = a_schedule(server, campaign)
    server.post(f"/api/schedules/{schedule}/run-now", {})
    anna = new_person(server)
    anna.opens("/runs/1")

    anna.button("Pause").click()
    expect(anna.page.locator("#run-state")).to_contain_text("nothing is sent until you go on")
    anna.button(re.compile("Go on with .* people")).click()
    expect(anna.page.locator("#run-state")).to_contain_text("Sending:")
    anna.page.get_by_role("link", name="Cancel…").click()
    anna.button("Cancel the run").click()

    expect(anna.page.locator("#run-state")).to_contain_text("Cancelled by")
    # What a sender had taken up it gives back first.
    wait_until(lambda: server.get("/api/runs/1")["finished_at"], "the run is over")
    counts = server.get("/api/runs/1")["counts"]
    assert counts["sent"] + counts["skipped"] + counts["in_doubt"] == 400
    assert counts["skipped"] > 0


def test_without_a_script_it_works_as_plain_pages(server: Server, new_person: NewPerson) -> None:
    a_campaign(server)
    anna = new_person(server, script=False)
    page = anna.page
    page.reload(wait_until="domcontentloaded")

    anna.button("Schedule Campaign").click()
    expect(page.get_by_role("heading", name="New schedule")).to_be_visible()
    page.get_by_label("Date", exact=True).fill("2027-05-04")
    page.get_by_label("Time", exact=True).fill("09:00")
    anna.button("Schedule Campaign").click()

    expect(page).to_have_url(server.url + "/automation#s1")
    expect(page.get_by_role("row").filter(has_text="Weekly digest")).to_contain_text("4 May 2027")
    page.get_by_role("row").get_by_role("link", name="Weekly digest").click()
    anna.button("Pause").click()
    expect(page.get_by_text("nothing is sent until it is resumed")).to_be_visible()


def test_who_is_cut_off_is_told_and_loses_nothing_that_was_typed(
    server: Server, new_person: NewPerson
) -> None:
    a_campaign(server)
    anna = new_person(server)
    anna.page.reload(wait_until="domcontentloaded")
    anna.button("Schedule Campaign").click()
    dialog = anna.page.get_by_role("dialog", name="New schedule")
    dialog.get_by_label("Time", exact=True).fill("09:17")
    wait_until(lambda: anna.page.locator("[data-check-answer]").count(), "the check is there")
    anna.page.context.set_offline(True)

    dialog.get_by_role("button", name="Schedule Campaign").click()

    expect(anna.page.get_by_role("alert").last).to_contain_text(
        "There is no connection to Sendonce"
    )
    expect(dialog.get_by_label("Time", exact=True)).to_have_value("09:17")
    anna.complaints.clear()  # of the lost connection
    assert server.get("/api/schedules")["items"] == []
