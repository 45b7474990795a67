"""The campaign editor in a real browser: the preview follows what is typed, and nothing typed is lost."""

from collections.abc import Callable

import pytest
from playwright.sync_api import FrameLocator, Page, expect

from tests.browser.given import a_campaign
from tests.browser.person import Person
from tests.processes.servers import Server

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def preview_in(page: Page) -> FrameLocator:
    """Return the mail that is seen; the next one may be on its way beside it."""
    return page.frame_locator("iframe:not([data-coming])")


def test_the_preview_follows_what_is_typed_and_leaves_no_history(
    server: Server, new_person: Callable[..., Person]
) -> None:
    a_campaign(server)
    person = new_person(server)
    person.opens("/campaigns/new")
    page = person.page
    expect(preview_in(page).get_by_text("write here what you have to say")).to_be_visible()
    before = page.evaluate("history.length")

    page.get_by_label("HTML", exact=True).fill("<h1>{{ email }}</h1>")
    expect(preview_in(page).get_by_text("person0@example.com")).to_be_visible()
    person.button("The next recipient").click()
    expect(preview_in(page).get_by_text("person1@example.com")).to_be_visible()
    page.get_by_label("HTML", exact=True).fill("<h1>{{ emial }}</h1>")

    expect(page.locator("#html-error")).to_contain_text("Did you mean email?")
    expect(preview_in(page).get_by_text("person1@example.com")).to_be_visible()
    expect(page.get_by_text("Not as it stands")).to_be_visible()
    assert person.axe() == []
    assert page.evaluate("history.length") == before


def test_a_campaign_is_written_saved_and_tested_with_the_keyboard_alone(
    server: Server, new_person: Callable[..., Person]
) -> None:
    a_campaign(server)
    person = new_person(server)
    person.opens("/campaigns/new")
    page = person.page

    page.get_by_label("Name", exact=True).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("Spring")
    page.keyboard.press("Control+s")
    expect(page).to_have_url(server.url + "/campaigns/2")
    page.get_by_label("Subject", exact=True).focus()
    page.keyboard.type("Now: ")
    expect(page.get_by_text("Not saved yet")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.get_by_text("Not saved yet")).to_be_hidden()
    assert "Now: " in server.get("/api/campaigns/2")["subject"]

    page.get_by_role("link", name="Send test…").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Addresses").focus()
    page.keyboard.type("me@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_text("250 2.0.0")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Send test…")).to_be_focused()


def test_two_who_write_at_once_both_keep_what_they_typed(
    server: Server, new_person: Callable[..., Person]
) -> None:
    a_campaign(server)
    person = new_person(server)
    person.opens("/campaigns/1")
    page = person.page
    other = person.another_tab("/campaigns/1")
    other.get_by_label("Subject", exact=True).fill("Theirs")
    other.get_by_role("button", name="Save campaign").click()
    expect(other.locator("[name=version]")).to_have_value("2")

    page.get_by_label("Subject", exact=True).fill("Mine")
    person.button("Save campaign").click()
    expect(page.get_by_role("alert").first).to_contain_text("It is different in: Subject.")
    person.expects_complaint("412")
    expect(page.get_by_label("Subject", exact=True)).to_have_value("Mine")
    assert server.get("/api/campaigns/1")["subject"] == "Theirs"

    person.button("Save mine over it").click()
    expect(page.locator("[name=version]")).to_have_value("3")
    assert server.get("/api/campaigns/1")["subject"] == "Mine"


def test_what_is_typed_is_saved_by_itself_and_a_break_loses_nothing(
    server: Server, new_person: Callable[..., Person]
) -> None:
    a_campaign(server)
    person = new_person(server)
    person.opens("/campaigns/1")
    page = person.page
    subject, html = page.get_by_label("Subject", exact=True), page.locator("#html")

    page.get_by_label("A file to attach").set_input_files(
        {"name": "Offer.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1.7"}
    )
    expect(page.get_by_role("link", name="Offer.pdf")).to_be_visible()
    html.press("Control+End")
    page.keyboard.press("Tab")
    page.keyboard.type("<b>Bye</b>")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    expect(html).not_to_be_focused()
    expect(page.locator("[name=version]")).to_have_value("3")
    assert server.get("/api/campaigns/1")["html"].endswith("  <b>Bye</b>")

    page.context.set_offline(True)
    subject.press("Control+a")
    page.keyboard.type("Written offline")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Not saved: offline, kept in this browser")).to_be_visible()
    page.context.set_offline(False)
    page.on("dialog", lambda dialog: dialog.accept())
    person.opens("/campaigns/1")
    person.button("Put it back").click()

    expect(subject).to_have_value("Written offline")
    person.complaints.clear()  # of the lost connection
    assert person.axe() == []


def test_without_a_script_the_mail_is_shown_by_a_button(
    server: Server, new_person: Callable[..., Person]
) -> None:
    a_campaign(server)
    first = new_person(server)
    storage = first.page.context.storage_state()
    person = new_person(server, storage=storage, script=False)
    person.opens("/campaigns/1")

    person.button("Show preview").click()

    expect(preview_in(person.page).get_by_text("Hello Person 0")).to_be_visible()
