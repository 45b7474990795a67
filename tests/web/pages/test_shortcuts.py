import re
from pathlib import Path

from assembly import Sendonce
from identity.model import Role
from tests.house import app_of
from tests.web.browser_client import signed_in
from web.pages.shortcuts import PLACES

ROOT = Path(__file__).parent.parent.parent.parent
_KEY = re.compile(r"data[-_](?:row[-_])?key=\"([^\"${]+)\"")
_IN_SCRIPTS = {"j", "k", "Enter", "Esc", "Tab", "Ctrl+S", "Ctrl+Enter", "Alt+P"}
_OF_THIS_LIST = {"?"}


def test_the_list_has_the_keys_that_pages_have_and_no_other() -> None:
    templates = [path.read_text() for path in (ROOT / "templates").rglob("*.html")]
    on_pages = {key for text in templates for key in _KEY.findall(text)}

    listed = {key for place in PLACES for shortcut in place.shortcuts for key in shortcut.keys}

    assert listed == on_pages | _IN_SCRIPTS | _OF_THIS_LIST


def test_everybody_who_may_come_in_sees_it_as_a_page_and_as_a_dialog(house: Sendonce) -> None:
    page = signed_in(house, role=Role.VIEWER).get("/shortcuts").text

    assert "<h1>Keyboard shortcuts</h1>" in page
    assert 'data-dialog-content data-title="Keyboard shortcuts"' in page
    assert "<kbd>j</kbd> <kbd>k</kbd>" in page
    assert app_of(house).test_client().get("/shortcuts").status_code == 401
