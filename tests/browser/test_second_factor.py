"""Signing in with a second factor by keyboard alone, from switching it on to the code that lets one in."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import pyotp
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.person import Person
from tests.processes.servers import Server

pytestmark = [pytest.mark.browser, pytest.mark.processes]

ANN = "ann@example.com"
PASSWORD = "a quite long password"


def test_the_whole_way_with_a_second_factor_by_keyboard(
    server: Server, new_person: Callable[..., Person]
) -> None:
    ann = new_person(server)
    page, keyboard = ann.page, ann.page.keyboard
    ann.opens("/settings/profile")
    enter(page, "E-mail", ANN)
    enter(page, "Password", PASSWORD)
    keyboard.press("Enter")
    expect(page.get_by_text(f"as {ANN}")).to_be_visible()

    ann.opens("/settings/security")
    press(page, "link", "Switch it on…")
    expect(page.get_by_role("img", name=re.compile("^QR code"))).to_be_visible()
    app = pyotp.TOTP(str(page.locator("#secret").text_content()).replace(" ", ""))
    enter(page, "Current password", PASSWORD)
    enter(page, "Code", app.now())
    keyboard.press("Enter")
    expect(page.get_by_role("heading", name=re.compile("^Keep these now"))).to_be_focused()
    press(page, "link", "I have kept them")
    press(page, "button", "Sign out here")
    expect(page.get_by_label("E-mail")).to_be_focused()

    keyboard.type(ANN)
    keyboard.press("Tab")
    keyboard.type(PASSWORD)
    keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_focused()
    # The next one: a code is taken once, and the one of now may be the one from above.
    keyboard.type(app.at(datetime.now(UTC), counter_offset=1))
    keyboard.press("Enter")

    expect(page).to_have_url(server.url + "/automation")
    expect(page.get_by_text(ANN)).to_be_visible()


def enter(page: Page, label: str, text: str) -> None:
    """Tab to a field, as nobody who has a mouse does, and type."""
    tab_to(page, page.get_by_label(label, exact=True))
    page.keyboard.type(text)


def press(page: Page, role: Literal["link", "button"], name: str) -> None:
    """Tab to something that can be pressed, and press it."""
    tab_to(page, page.get_by_role(role, name=name))
    page.keyboard.press("Enter")


def tab_to(page: Page, wanted: Locator) -> None:
    expect(wanted).to_be_visible()
    for _ in range(60):
        if wanted.evaluate("e => e === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{wanted} is not reached by Tab")
