"""What a test begins with, made through the API."""

from collections.abc import Sequence
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import bindparam, text

from assembly import Sendonce
from delivery import ledger
from storage.metadata import Instant

Json = dict[str, Any]

_IN_DOUBT = text(
    "UPDATE deliveries SET status = 'in_doubt', reason = 'the server fell silent', account_id = 1, attempts = 1,"
    " message_id = '<' || id || '@example.com>', updated_at = :now WHERE run_id = :run AND email = :email"
).bindparams(bindparam("now", type_=Instant))
_COUNTED = text(
    "UPDATE runs SET queued = queued - :count, in_doubt = in_doubt + :count WHERE id = :run"
)
_FAILED = text(
    "UPDATE deliveries SET status = 'failed', smtp_code = 550, smtp_reply = '5.1.1 nobody here', attempts = 1"
    " WHERE run_id = :run AND email = :email"
)
_COUNTED_AS_FAILED = text(
    "UPDATE runs SET queued = queued - :count, failed = failed + :count WHERE id = :run"
)


def an_account(client: FlaskClient, **fields: Any) -> Json:
    """Make an SMTP account."""
    body = {
        "name": "Relay",
        "host": "mail.example.com",
        "port": 587,
        "from_email": "news@example.com",
    }
    return _made(client, "/api/accounts", body | fields)


def an_audience(client: FlaskClient, *, recipients: Sequence[Json] = (), name: str = "R") -> Json:
    """Make an audience."""
    return _made(client, "/api/audiences", {"name": name, "recipients": list(recipients)})


def a_campaign(
    client: FlaskClient,
    *,
    recipients: Sequence[str] = ("ann@example.com", "bob@example.com"),
    **fields: Any,
) -> Json:
    """Make a campaign through the Sandbox, with an audience of its own."""
    people = [{"email": email, "name": email[:3].title()} for email in recipients]
    audience = an_audience(client, recipients=people)
    body = {
        "name": "News",
        "subject": "Hello {{ name }}",
        "html": "<p>Hello</p>",
        "audience_ids": [audience["id"]],
        "account_ids": [1],
    }
    return _made(client, "/api/campaigns", body | fields)


def a_schedule(client: FlaskClient, **fields: Any) -> Json:
    """Make a daily schedule at 09:00 UTC, from 3 March 2026 on."""
    if "campaign_id" not in fields:
        fields["campaign_id"] = a_campaign(client)["id"]
    body = {"schedule_time": "2026-03-03T09:00:00", "schedule_type": "daily"}
    return _made(client, "/api/schedules", body | fields)


def materialised(
    house: Sendonce,
    client: FlaskClient,
    *,
    recipients: Sequence[str] = ("ann@example.com", "bob@example.com"),
) -> int:
    """Return a run whose deliveries are made and queued."""
    campaign = a_campaign(client, recipients=recipients)
    schedule = a_schedule(client, campaign_id=campaign["id"])
    run_id: int = client.post(f"/api/schedules/{schedule['id']}/run-now").json["id"]
    with house.database.write(durable=False) as tx:
        while not ledger.materialise(tx, run_id, rows=1000, now=house.clock.now()):
            pass
    return run_id


def _made(client: FlaskClient, path: str, body: Json) -> Json:
    answer = client.post(path, json=body)
    assert answer.status_code == 201, answer.text
    made: Json = answer.json
    return made


def put_in_doubt(house: Sendonce, run_id: int, *emails: str) -> None:
    """Let these deliveries of a run be in doubt since now, and the run be over where nothing else is left of it."""
    with house.database.write(durable=False) as tx:
        for email in emails:
            tx.execute(_IN_DOUBT, {"run": run_id, "email": email, "now": house.clock.now()})
        tx.execute(_COUNTED, {"run": run_id, "count": len(emails)})
        ledger.start(tx, run_id, house.clock.now())
        ledger.finish(tx, run_id, house.clock.now())


def put_as_failed(house: Sendonce, run_id: int, *emails: str) -> None:
    """Let these deliveries of a run have been refused, and the run be over where nothing else is left of it."""
    with house.database.write(durable=False) as tx:
        for email in emails:
            tx.execute(_FAILED, {"run": run_id, "email": email})
        tx.execute(_COUNTED_AS_FAILED, {"run": run_id, "count": len(emails)})
        ledger.start(tx, run_id, house.clock.now())
        ledger.finish(tx, run_id, house.clock.now())
