"""People come into an audience: pasted in a dialog, and out of a CSV file, with a script and without, by keyboard."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.person import Person, person_at
from tests.processes.servers import Server

pytestmark = [pytest.mark.browser, pytest.mark.processes]

PEOPLE = "E-Mail;Name;Stadt\nann@example.com;Ann;Köln\nnobody;;\nANN@example.com;;Bonn\n"


def a_file(folder: Path) -> Path:
    path = folder / "people.csv"
    path.write_bytes(PEOPLE.encode("cp1252"))
    return path


def press(person: Person, name: str | re.Pattern[str]) -> None:
    """Press a button as the keyboard does."""
    person.button(name).focus()
    person.page.keyboard.press("Enter")


@pytest.mark.parametrize("script", [True, False])
def test_a_csv_file_is_imported_by_keyboard(
    browser: Browser, server: Server, tmp_path: Path, script: bool
) -> None:
    with person_at(browser, server, script=script) as person:
        page = person.page
        person.opens("/audiences/new")
        page.get_by_label("Name").fill("News")
        press(person, "Make audience")
        expect(page.get_by_role("heading", name="News")).to_be_visible()

        person.opens("/audiences/1/import")
        page.get_by_label("CSV file").set_input_files(a_file(tmp_path))
        press(person, "Upload the file")
        expect(person.button("Check 3 rows")).to_be_visible()
        if script:
            assert person.axe() == []
        page.get_by_label("Name of the attribute from Stadt").fill("city")
        press(person, "Check 3 rows")
        expect(person.button("Import 1 person")).to_be_visible()
        expect(page.get_by_text("An email address must have an @-sign")).to_be_visible()
        if script:
            assert person.axe() == []
        press(person, "Import 1 person")

        expect(page.get_by_role("heading", name="Done: 1 person from 3 rows")).to_be_visible()
        page.get_by_role("link", name="Show News").click()
        expect(page.get_by_role("rowheader", name="ANN@example.com")).to_be_visible()
        expect(page.get_by_role("cell", name="Bonn")).to_be_visible()


def test_what_a_paste_leaves_can_be_mended_in_the_dialog(browser: Browser, server: Server) -> None:
    with person_at(browser, server, width=360) as person:
        page = person.page
        person.opens("/audiences")
        page.get_by_role("link", name="Add people").click()
        page.get_by_label("Name").fill("News")
        person.button("Make audience").click()
        page.get_by_role("link", name="Add people").first.click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("People").fill('"Doe, Ann" <ann@example.com>\nbob.example.com')
        dialog.get_by_role("button", name="Add people").click()

        expect(dialog.get_by_text("1 person added. 1 line was not taken")).to_be_visible()
        expect(dialog.get_by_label("People")).to_have_value("bob.example.com")
        assert person.axe() == []
        dialog.get_by_label("People").fill("bob@example.com")
        dialog.get_by_role("button", name="Add people").click()

        expect(dialog).to_have_count(0)
        expect(page.get_by_role("rowheader", name="bob@example.com")).to_be_visible()
        expect(page.get_by_role("cell", name="Doe, Ann")).to_be_visible()
