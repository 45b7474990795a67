"""How each call of the API looks on the command line: an example that works once its ids are those of the reader."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

_PEOPLE = [{"email": "ann@example.com", "name": "Ann", "attributes": {"city": "Cork"}}]

BODIES: Mapping[str, dict[str, Any]] = {
    "AccountChanges": {"max_connections": 8},
    "AccountTest": {"to": "you@example.com"},
    "AudienceChanges": {"name": "Customers"},
    "CampaignChanges": {"subject": "The week in short"},
    "Missed": {"action": "send"},
    "MoreRecipients": {"recipients": _PEOPLE},
    "NewAccount": {
        "name": "Main SMTP",
        "host": "mail.example.com",
        "port": 587,
        "security": "starttls",
        "username": "news",
        "password": "secret",
        "from_email": "news@example.com",
    },
    "NewAudience": {"name": "News", "recipients": _PEOPLE},
    "NewCampaign": {
        "name": "Weekly digest",
        "subject": "Hello {{ name or 'there' }}",
        "html": "<p>News from {{ recipient.attributes.city }}</p>",
        "audience_ids": [1],
        "account_ids": [1],
    },
    "NewSchedule": {
        "campaign_id": 1,
        "schedule_time": "2026-11-24T09:00:00",
        "schedule_type": "weekly",
        "timezone": "Europe/Berlin",
    },
    "NewSuppression": {"email": "ann@example.com", "reason": "manual"},
    "NewToken": {"name": "shop", "role": "editor"},
    "NewUser": {
        "email": "ben@example.com",
        "password": "a long enough password",
        "role": "viewer",
    },
    "NoteIn": {"note": "waits for the new prices"},
    "Preview": {"recipient": "ann@example.com"},
    "Resume": {"retry_refused": True},
    "ScheduleChanges": {"schedule_time": "2026-11-24T10:00:00"},
    "SkipNext": {"slot": "2026-11-24T08:00:00Z"},
    "TestSend": {"to": ["you@example.com"]},
    "UserChanges": {"role": "editor"},
}
"""By the name of the body's schema. One that has none here gets an example of its required fields."""

_PATH = {"{id}": "1", "{email}": "ann@example.com"}
_STAND_INS = {"string": "…", "integer": 1, "number": 1, "boolean": True, "array": [], "object": {}}


def curl(
    method: str,
    address: str,
    *,
    body: str | None = None,
    schema: Mapping[str, Any] | None = None,
    as_form: bool = False,
) -> str:
    """Return the command line of one call. body is the name of the schema of what is sent, as_form: as multipart."""
    for name, value in _PATH.items():
        address = address.replace(name, value)
    lines = [f"curl {shlex.quote(address)}", '-H "Authorization: Bearer $TOKEN"']
    if method != "GET" and body is None:
        lines[0] = f"curl -X {method} {shlex.quote(address)}"
    elif body is not None and as_form:
        lines.append("-F file=@people.csv")
    elif body is not None:
        if method != "POST":
            lines[0] = f"curl -X {method} {shlex.quote(address)}"
        sent = BODIES.get(body) or _required(schema or {})
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(sent, ensure_ascii=False))}")
    return " \\\n  ".join(lines)


def _required(schema: Mapping[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {})
    return {
        name: _STAND_INS.get(str(fields.get(name, {}).get("type")), "…")
        for name in schema.get("required", [])
    }
