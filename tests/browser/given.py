"""What a story begins with, made through the API."""

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
