"""Builders for campaigns; every argument is optional."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert

from accounts.tables import accounts
from audience import store as audience_store
from campaigns.model import Content, InDoubtRule, Snapshot
from campaigns.render import RecipientView, compile_content
from campaigns.store import CampaignFields
from storage.database import Tx
from tests.builders import NOON

SLOT = datetime(2026, 3, 29, 9, 0, tzinfo=ZoneInfo("Europe/Berlin"))
LINK = "https://mail.example.com/u/token"


def a_snapshot(**changes: Any) -> Snapshot:
    """Return the frozen content of a campaign with a subject, an HTML and a text part."""
    fields: dict[str, Any] = {
        "campaign_id": 1,
        "name": "Spring",
        "subject": "Hello",
        "html": "<p>Hello</p>",
        "text": "Hello",
        "audience_ids": (1,),
        "account_ids": (1,),
        "from_name": None,
        "reply_to": None,
        "in_doubt": InDoubtRule.HOLD,
    }
    return Snapshot(**(fields | changes))


def a_reader(**changes: Any) -> RecipientView:
    """Return Ada, who has no attributes."""
    fields: dict[str, Any] = {"email": "ada@example.com", "name": "Ada", "attributes": {}}
    return RecipientView(**(fields | changes))


def rendered(reader: RecipientView | None = None, **changes: Any) -> Content:
    """Render a campaign for one recipient."""
    return compile_content(a_snapshot(**changes)).render(reader or a_reader(), SLOT, LINK)


def html_of(source: str, **attributes: Any) -> str:
    """Render one HTML template for Ada with these attributes."""
    html = rendered(a_reader(attributes=attributes), html=source).html
    assert html is not None
    return html


def text_of(source: str, **attributes: Any) -> str:
    """Render one text template for Ada with these attributes."""
    return rendered(a_reader(attributes=attributes), text=source).text


def campaign_fields(**changes: Any) -> CampaignFields:
    """Return what a person gives for a campaign over audience 1 and account 1."""
    fields: dict[str, Any] = {
        "name": "Spring",
        "subject": "Hello {{ name }}",
        "html": "<p>Hello</p>",
        "text": None,
        "audience_ids": (1,),
        "account_ids": (1,),
        "from_name": None,
        "reply_to": None,
        "in_doubt": InDoubtRule.HOLD,
    }
    return CampaignFields(**(fields | changes))


def put_what_campaigns_need(
    tx: Tx, *, audiences: int = 2, account_ids: tuple[int, ...] = (1, 2)
) -> None:
    """Make audiences 1, 2, … and sandbox accounts."""
    for number in range(1, audiences + 1):
        audience_store.create_audience(tx, f"Audience {number}", NOON)
    for account_id in account_ids:
        tx.execute(
            insert(accounts).values(
                id=account_id,
                version=1,
                name="Sandbox",
                kind="sandbox",
                host="127.0.0.1",
                port=1025,
                security="none",
                from_email="a@example.com",
                max_connections=4,
                state="ok",
                created_at=datetime(2026, 1, 1, tzinfo=UTC),
            )
        )
