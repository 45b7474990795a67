"""What a story begins with, made through the API."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.processes.servers import Server

HTML = (
    "<h1>Hello {{ name }}</h1><p>News from {{ recipient.attributes.city }}.</p>"
    '<p><a href="{{ unsubscribe_url }}">No more of these</a></p>'
)


def a_campaign(
    server: Server, *, name: str = "Weekly digest", recipients: int = 20, audience: str = "News"
) -> int:
    """Make a campaign through the Sandbox to an audience of its own; return its id."""
    people = [
        {"email": f"person{n}@example.com", "name": f"Person {n}", "attributes": {"city": "Cork"}}
        for n in range(recipients)
    ]
    made = server.post("/api/audiences", {"name": audience, "recipients": people})
    campaign = server.post(
        "/api/campaigns",
        {
            "name": name,
            "subject": "Hello {{ name }}",
            "html": HTML,
            "audience_ids": [made["id"]],
            "account_ids": [1],
        },
    )
    campaign_id: int = campaign["id"]
    return campaign_id


def a_schedule(server: Server, campaign_id: int, **fields: object) -> int:
    """Make a daily schedule whose next slot is in some hours; return its id."""
    body = {
        "campaign_id": campaign_id,
        "schedule_type": "daily",
        "schedule_time": (datetime.now(UTC) + timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:00"),
    }
    made = server.post("/api/schedules", body | fields)
    schedule_id: int = made["id"]
    return schedule_id


def received(server: Server) -> list[str]:
    """Return whom the sandbox mail server has a message for, once for each message."""
    found: list[str] = []
    cursor = ""
    while True:
        page = server.get(f"/api/outbox?limit=500{cursor}")
        found += [address for item in page["items"] for address in item["rcpt_to"]]
        if page["next_cursor"] is None:
            return sorted(found)
        cursor = f"&cursor={page['next_cursor']}"


def next_minute(zone: str) -> datetime:
    """Return the next full minute, at least a few seconds ahead, as wall-clock time in the zone."""
    soon = datetime.now(ZoneInfo(zone)) + timedelta(seconds=8)
    return (soon + timedelta(minutes=1)).replace(second=0, microsecond=0)


def put_in_doubt(server: Server, run_id: int, *emails: str) -> None:
    """Let these deliveries of a run, which were sent, be in doubt."""
    ledger = sqlite3.connect(server.log.parent / "data" / "sendonce.db", timeout=10)
    with closing(ledger), ledger:
        for email in emails:
            done = ledger.execute(
                "UPDATE deliveries SET status = 'in_doubt', smtp_code = NULL, smtp_reply = NULL,"
                " reason = 'the connection was lost after the end of the content'"
                " WHERE run_id = ? AND email = ? AND status = 'sent'",
                (run_id, email),
            )
            assert done.rowcount == 1
        ledger.execute(
            "UPDATE runs SET sent = sent - ?, in_doubt = in_doubt + ? WHERE id = ?",
            (len(emails), len(emails), run_id),
        )
