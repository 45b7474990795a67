"""People click twice, lose the connection and leave tabs open: nothing is sent or skipped by accident."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect

from tests.browser.given import a_campaign, a_schedule, received
from tests.browser.person import Person
from tests.processes.servers import Server, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

NewPerson = Callable[..., Person]


@pytest.mark.parametrize("milliseconds_between", [0, 150, 400])
def test_a_double_click_on_pause_pauses(
    server: Server, new_person: NewPerson, milliseconds_between: int
) -> None:
    server.request("PATCH", "/api/accounts/1", {"rate_per_second": 20})
    schedule = a_schedule(server, a_campaign(server, recipients=400))
    server.post(f"/api/schedules/{schedule}/run-now", {})
    anna = new_person(server)
    anna.opens("/runs/1")
    expect(anna.page.locator("#run-state")).to_contain_text("Sending:")

    place = anna.button("Pause").bounding_box()
    assert place is not None
    at = (place["x"] + 10, place["y"] + 10)
    anna.page.mouse.click(*at)
    anna.page.wait_for_timeout(milliseconds_between)
    # As a browser counts it: the second half of a double click.
    anna.page.mouse.down(click_count=2)
    anna.page.mouse.up(click_count=2)

    expect(anna.button(re.compile("Go on with"))).to_be_visible()
    assert server.get("/api/runs/1")["status"] == "paused"


@pytest.mark.parametrize("milliseconds_between", [0, 150, 400])
def test_a_double_click_on_skip_skips_one_slot(
    server: Server, new_person: NewPerson, milliseconds_between: int
) -> None:
    schedule = a_schedule(server, a_campaign(server))
    anna = new_person(server)
    anna.page.reload(wait_until="domcontentloaded")
    anna.button("More for Weekly digest").click()

    place = anna.button("Skip the next slot").bounding_box()
    assert place is not None
    at = (place["x"] + 10, place["y"] + 10)
    anna.page.mouse.click(*at)
    anna.page.wait_for_timeout(milliseconds_between)
    # As a browser counts it: the second half of a double click.
    anna.page.mouse.down(click_count=2)
    anna.page.mouse.up(click_count=2)

    expect(anna.page.get_by_role("status").get_by_text("Not sent:")).to_be_visible()
    slots = server.get(f"/api/schedules/{schedule}/slots")["items"]
    assert [slot["decision"] for slot in slots] == ["skipped"]


def test_what_was_done_while_its_answer_was_lost_is_not_done_again(
    server: Server, new_person: NewPerson
) -> None:
    a_schedule(server, a_campaign(server, recipients=3))
    anna = new_person(server)
    page = anna.page
    lost: list[bool] = []

    def lose_the_first_answer(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(True)
        route.fetch()
        route.abort()

    page.route(
        "**/automation/1/run-now",
        lambda route: (
            lose_the_first_answer(route) if route.request.method == "POST" else route.continue_()
        ),
    )
    anna.opens("/automation/1")
    page.get_by_role("link", name="Run now…").click()
    anna.button("Send now to 3 people").click()
    expect(page.get_by_role("alert")).to_contain_text("it is not known whether this was done")
    expect(page.get_by_role("alert").get_by_role("button", name="Close")).to_be_in_viewport()
    page.keyboard.press("Escape")
    wait_until(lambda: server.get("/api/runs/1")["finished_at"], "the run has ended")

    page.get_by_role("link", name="Run now…").click()
    anna.button("Send now to 3 people").click()

    expect(page).to_have_url(server.url + "/runs/1")
    assert len(received(server)) == 3
    assert len(server.get("/api/runs")["items"]) == 1
    anna.complaints.clear()  # of the answer that was lost


def test_the_buttons_of_a_schedule_follow_what_they_did(
    server: Server, new_person: NewPerson
) -> None:
    schedule = a_schedule(server, a_campaign(server))
    anna = new_person(server)
    anna.opens(f"/automation/{schedule}")

    for _ in range(2):
        anna.button("Pause").click()
        expect(anna.button("Resume")).to_be_visible()
        assert server.get(f"/api/schedules/{schedule}")["status"] == "paused"
        anna.button("Resume").click()
        expect(anna.button("Pause")).to_be_visible()
        assert server.get(f"/api/schedules/{schedule}")["status"] == "pending"


def test_a_session_that_ends_takes_nothing_along_that_was_typed(
    server: Server, new_person: NewPerson
) -> None:
    schedule = a_schedule(server, a_campaign(server))
    anna = new_person(server)
    anna.page.reload(wait_until="domcontentloaded")
    anna.button("Schedule Campaign").click()
    time = anna.page.get_by_role("dialog").get_by_label("Time", exact=True)
    time.fill("09:17")
    user = {"email": "ben@example.com", "password": "a long password", "role": "admin"}
    server.post("/api/users", user)  # ends the session that the link began

    server.post(f"/api/schedules/{schedule}/pause", {})

    expect(anna.page.get_by_text("Your session has ended.")).to_be_attached()
    expect(time).to_have_value("09:17")
    anna.complaints.clear()  # of calls that were refused


def test_the_menu_of_a_phone_lies_within_its_screen(server: Server, new_person: NewPerson) -> None:
    anna = new_person(server, width=360)

    anna.page.get_by_text("Menu", exact=True).click()

    link = anna.page.get_by_role("link", name="Campaigns")
    expect(link).to_be_in_viewport(ratio=1)
    link.click()
    expect(anna.page).to_have_url(server.url + "/campaigns")
