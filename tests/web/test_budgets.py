"""What a page may cost: bytes, and statements of the database, however much is in it."""

import gzip
import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from sqlalchemy.engine import Engine

from assembly import Sendonce
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule, materialised

STATIC = Path(__file__).parents[2] / "static"
PAGES = (
    "/automation",
    "/automation/1",
    "/automation/new",
    "/calendar",
    "/runs",
    "/runs/1",
    "/runs/1/in-doubt",
    "/runs/1/certificate",
    "/campaigns",
    "/campaigns/1",
    "/audiences",
    "/audiences/1",
    "/suppressions",
    "/accounts",
    "/outbox",
    "/status",
)
MOST_PAGE_BYTES = 14 * 1024
MOST_CSS_BYTES = 12 * 1024
MOST_SCRIPT_BYTES = 15 * 1024


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


@pytest.mark.parametrize("path", PAGES)
def test_a_full_page_fits_its_budget(
    house: Sendonce, client: FlaskClient, anna: BrowserClient, path: str
) -> None:
    _fill(house, client, schedules=60, recipients=60)

    answer = anna.get(path)

    assert answer.status_code == 200
    assert len(gzip.compress(answer.data)) <= MOST_PAGE_BYTES


def test_styles_and_scripts_fit_their_budgets(anna: BrowserClient) -> None:
    page = anna.get("/automation").text
    [css] = re.findall(r'href="(/static/[^"]+\.css)"', page)

    assert len(gzip.compress(anna.get(css).data)) <= MOST_CSS_BYTES
    everywhere = [STATIC / "js" / name for name in ("app.js", "live.js", "forms.js")]
    shared = sum(len(gzip.compress(path.read_bytes())) for path in everywhere)
    own = [
        len(gzip.compress(path.read_bytes()))
        for path in (STATIC / "js").glob("*.js")
        if path not in everywhere
    ]
    assert shared + max(own) <= MOST_SCRIPT_BYTES


@pytest.mark.parametrize("path", PAGES)
def test_a_page_asks_the_database_as_often_for_many_as_for_few(
    house: Sendonce, client: FlaskClient, anna: BrowserClient, path: str
) -> None:
    _fill(house, client, schedules=2, recipients=3)
    few = _statements(anna, path)

    for _ in range(5):
        _fill(house, client, schedules=1, recipients=10)
    many = _statements(anna, path)

    assert many <= few


def _fill(house: Sendonce, client: FlaskClient, *, schedules: int, recipients: int) -> None:
    materialised(house, client, recipients=[f"p{n}@example.com" for n in range(recipients)])
    for _ in range(schedules):
        a_schedule(client, campaign_id=a_campaign(client, recipients=("ann@example.com",))["id"])


def _statements(anna: BrowserClient, path: str) -> int:
    """Return how many statements making the page takes."""
    asked: list[str] = []

    def note(*given: object) -> None:
        asked.append(str(given[2]))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        assert anna.get(path).status_code == 200
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return len(asked)
