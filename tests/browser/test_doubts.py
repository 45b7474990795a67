"""What is in doubt is decided in the browser: by the keyboard alone, and without a script."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.given import a_campaign, a_schedule, put_in_doubt, received
from tests.browser.person import Person
from tests.processes.servers import Server, finished_run, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_doubts_are_decided_by_keyboard_alone_and_without_a_script(
    server: Server, new_person: Callable[..., Person]
) -> None:
    schedule = a_schedule(server, a_campaign(server, recipients=3))
    server.post(f"/api/schedules/{schedule}/run-now", {})
    wait_until(lambda: finished_run(server, schedule), "the run has ended")
    put_in_doubt(server, 1, "person0@example.com", "person1@example.com")
    anna = new_person(server)
    storage = anna.page.context.storage_state()
    page, keyboard = anna.page, anna.page.keyboard

    anna.opens("/runs/1")
    page.get_by_role("link", name="Review").focus()
    keyboard.press("Enter")
    expect(page).to_have_url(server.url + "/runs/1/in-doubt")
    ticked = page.get_by_label("person0@example.com")
    ticked.focus()
    keyboard.press("Space")
    expect(ticked).to_be_checked()
    for _ in range(4):  # past what is there to copy, and the other box
        keyboard.press("Tab")
    expect(page.get_by_label("It arrived: mark as sent")).to_be_focused()
    keyboard.press("ArrowDown")
    expect(page.get_by_label("It did not: send again")).to_be_checked()
    keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Send again to 1 person?")).to_be_visible()
    expect(page.get_by_role("link", name="Decide later")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Enter")
    expect(page.get_by_role("status").get_by_text("It is sent again to 1 person.")).to_be_visible()
    expect(page.get_by_text("1 delivery is in doubt:").last).to_be_visible()
    expect(page.locator("#doubts")).to_be_focused()

    ben = new_person(server, storage=storage, script=False)
    ben.opens("/runs/1/in-doubt")
    ben.page.get_by_label("It arrived: mark as sent").check()
    ben.button("Decide about it…").click()
    ben.button("Mark 1 person as sent").click()
    expect(ben.page.get_by_text("Nothing is in doubt.")).to_be_visible()

    wait_until(lambda: finished_run(server, schedule), "the run has ended again")
    assert received(server) == [
        "person0@example.com",
        "person0@example.com",
        "person1@example.com",
        "person2@example.com",
    ]
