"""The calls' happy paths, and the unhappy ones that need more than a wrong body."""

import io
import json
import os
import threading
from datetime import UTC, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import update

from accounts import store as account_store
from accounts import usage
from assembly import Sendonce
from audience import csv_import
from audience import store as audience_store
from audience.model import Import
from audience.tables import imports
from campaigns import store as campaign_store
from delivery import ledger
from delivery.model import RunStatus
from storage import aliveness, installation
from tests.house import tick_of
from tests.web.browser_client import signed_in
from tests.web.given import a_campaign, a_schedule, an_account, an_audience, materialised
from web.live import Publisher


def test_an_account_is_made_changed_and_deleted_and_never_tells_its_password(
    client: FlaskClient,
) -> None:
    made = an_account(client, username="me", password="hunter22")
    assert made["state"] == "ok"
    assert made["kind"] == "smtp"
    assert "password" not in made

    path = f"/api/accounts/{made['id']}"
    changed = client.patch(path, json={"rate_per_second": 5.5, "from_name": None})
    assert changed.json["rate_per_second"] == 5.5
    assert changed.json["version"] == 2
    assert changed.headers["ETag"] == '"2"'
    assert "hunter22" not in changed.text

    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == 404


def test_pipelining_is_switched_off_for_an_account(client: FlaskClient) -> None:
    made = an_account(client)
    path = f"/api/accounts/{made['id']}"

    refused = client.patch(path, json={"pipelining": "no"})
    changed = client.patch(path, json={"pipelining": False}).json

    assert made["pipelining"] is True
    assert (refused.status_code, [e["field"] for e in refused.json["errors"]]) == (
        422,
        ["pipelining"],
    )
    assert (changed["pipelining"], changed["version"]) == (False, 2)
    assert client.get(path).json["pipelining"] is False
    assert an_account(client, name="Old", pipelining=False)["pipelining"] is False


def test_a_change_made_on_an_old_version_is_a_412(client: FlaskClient) -> None:
    an_audience(client)
    client.patch("/api/audiences/1", json={"name": "First"}, headers={"If-Match": '"1"'})

    stale = client.patch("/api/audiences/1", json={"name": "Second"}, headers={"If-Match": '"1"'})
    deleted = client.delete("/api/audiences/1", headers={"If-Match": '"1"'})

    assert (stale.status_code, deleted.status_code) == (412, 412)
    assert client.get("/api/audiences/1").json["name"] == "First"


def test_only_the_fields_that_are_given_change(client: FlaskClient) -> None:
    campaign = a_campaign(client, text="Own text", from_name="Ann")

    renamed = client.patch(f"/api/campaigns/{campaign['id']}", json={"name": "New"}).json
    emptied = client.patch(f"/api/campaigns/{campaign['id']}", json={"text": None}).json

    assert (renamed["name"], renamed["text"], renamed["from_name"]) == ("New", "Own text", "Ann")
    assert (emptied["name"], emptied["text"]) == ("New", None)


def test_what_is_in_use_is_not_deleted(client: FlaskClient) -> None:
    campaign = a_campaign(client)
    a_schedule(client, campaign_id=campaign["id"])

    answers = [
        client.delete("/api/accounts/1"),
        client.delete(f"/api/audiences/{campaign['audience_ids'][0]}"),
        client.delete(f"/api/campaigns/{campaign['id']}"),
    ]

    assert [a.status_code for a in answers] == [409, 409, 409]
    assert "chedule 1" in answers[2].json["detail"]


def test_the_sandbox_is_tested_down_to_a_mail(house: Sendonce, client: FlaskClient) -> None:
    house.sandbox.start()

    tested = client.post("/api/accounts/1/test", json={"to": "ann@example.com"})

    assert tested.json["ok"] is True
    assert "content" in [step["step"] for step in tested.json["steps"]]
    (received,) = client.get("/api/outbox").json["items"]
    assert received["rcpt_to"] == ["ann@example.com"]
    whole = client.get(f"/api/outbox/{received['id']}").json
    assert ["Subject", "Test from Sendonce"] in whole["headers"]


def test_a_test_that_can_not_connect_says_at_which_step(client: FlaskClient) -> None:
    account = an_account(client, host="127.0.0.1", port=1)

    tested = client.post(f"/api/accounts/{account['id']}/test").json

    assert tested["ok"] is False
    assert [step["ok"] for step in tested["steps"]] == [False]


def test_recipients_are_added_brought_up_to_date_and_rejected_by_row(client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": "ann@example.com"}])

    added = client.post(
        "/api/audiences/1/recipients",
        json={
            "recipients": [
                {"email": "Ann@example.com", "name": "Ann", "attributes": {"city": "Rome"}},
                {"email": "not an address"},
                {"email": "bob@example.com"},
            ]
        },
    ).json

    assert (added["added"], added["updated"]) == (1, 1)
    assert [(r["row"], r["email"]) for r in added["rejected"]] == [(2, "not an address")]
    listed = client.get("/api/audiences/1/recipients?q=ann").json["items"]
    assert [(r["name"], r["attributes"]) for r in listed] == [("Ann", {"city": "Rome"})]


def test_an_audience_with_a_wrong_recipient_is_not_made(client: FlaskClient) -> None:
    refused = client.post(
        "/api/audiences",
        json={"name": "R", "recipients": [{"email": "a@example.com"}, {"email": "b@"}]},
    )

    assert refused.status_code == 422
    assert [e["field"] for e in refused.json["errors"]] == ["recipients[1].email"]
    assert client.get("/api/audiences").json["items"] == []


def test_lists_go_on_where_the_page_before_ended(client: FlaskClient) -> None:
    for name in "abcde":
        client.post("/api/audiences", json={"name": name})

    pages, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/api/audiences?limit=2{cursor and '&cursor=' + cursor}").json
        pages.append([audience["name"] for audience in page["items"]])
        cursor = page["next_cursor"]

    assert pages == [["a", "b"], ["c", "d"], ["e"]]


def test_a_cursor_is_one_list_s(client: FlaskClient) -> None:
    for _ in range(2):
        an_audience(client, recipients=[{"email": f"{n}@example.com"} for n in "ab"])
    cursor = client.get("/api/audiences/1/recipients?limit=1").json["next_cursor"]

    same = client.get(f"/api/audiences/1/recipients?cursor={cursor}")
    others = [
        client.get(f"/api/{path}?cursor={cursor}") for path in ("audiences/2/recipients", "runs")
    ]

    assert [r["email"] for r in same.json["items"]] == ["b@example.com"]
    assert [answer.status_code for answer in others] == [422, 422]
    assert others[0].json["errors"][0]["field"] == "cursor"


def test_ten_thousand_recipients_come_in_one_body_and_no_more(client: FlaskClient) -> None:
    many = [{"email": f"p{i}@example.com"} for i in range(10_001)]
    an_audience(client)

    too_many = client.post("/api/audiences/1/recipients", json={"recipients": many})
    enough = client.post("/api/audiences/1/recipients", json={"recipients": many[1:]})

    assert too_many.status_code == 413
    assert enough.json["added"] == 10_000


def test_a_csv_file_is_imported_in_the_background(client: FlaskClient) -> None:
    an_audience(client)
    file = (io.BytesIO(b"E-Mail;Vorname\nann@example.com;Ann\nnope;Bob\n"), "list.csv")

    begun = client.post(
        "/api/audiences/1/import", data={"file": file, "mapping": '{"Vorname": "first"}'}
    )
    assert begun.status_code == 202, begun.text
    done = finished(client, begun.json["id"])

    assert (done["status"], done["added"], done["rejected"]) == ("completed", 1, 1)
    (ann,) = client.get("/api/audiences/1/recipients").json["items"]
    assert ann["attributes"] == {"first": "Ann"}
    rejected = client.get(f"/api/imports/{done['id']}/rejected.csv").text
    assert "nope" in rejected


def test_a_dry_run_of_an_import_changes_nothing(client: FlaskClient) -> None:
    an_audience(client)
    file = (io.BytesIO(b"email\nann@example.com\n"), "list.csv")

    begun = client.post("/api/audiences/1/import", data={"file": file, "dry_run": "true"})
    done = finished(client, begun.json["id"])

    assert (done["added"], done["dry_run"]) == (1, True)
    assert client.get("/api/audiences/1").json["recipients"] == 0


@pytest.mark.parametrize("boot_id", ["another boot", None])
def test_an_import_whose_process_died_has_failed(
    house: Sendonce, client: FlaskClient, boot_id: str | None
) -> None:
    an_audience(client)
    begun = an_import(house, pid=os.getpid(), boot_id=boot_id)

    found = client.get(f"/api/imports/{begun.id}").json

    assert found["status"] == "failed"
    assert "import the file again" in found["detail"]


def test_an_import_takes_one_file(client: FlaskClient) -> None:
    an_audience(client)
    files = [(io.BytesIO(b"email\nann@example.com\n"), name) for name in ("a.csv", "b.csv")]

    refused = client.post("/api/audiences/1/import?when=now", data={"file": files})

    assert refused.status_code == 422
    assert [(e["field"], e["message"]) for e in refused.json["errors"]] == [
        ("when", "is not a field of this call"),
        ("file", "is given more than once"),
    ]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"mapping": "x" * 600_000}, "larger than 500,000 bytes"),
        ({f"f{i}": "x" for i in range(1_001)}, "more than 1,000 parts"),
        ({"mapping": "x" * 17 * 1024 * 1024}, "larger than 16 MiB"),
    ],
    ids=["field", "parts", "body"],
)
def test_a_form_that_is_too_large_says_in_what(
    client: FlaskClient, form: dict[str, str], words: str
) -> None:
    an_audience(client)
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'
        for name, text in form.items()
    ]

    refused = client.post(
        "/api/audiences/1/import",
        data=("".join(parts) + "--b--\r\n").encode(),
        content_type="multipart/form-data; boundary=b",
    )

    assert refused.status_code == 413
    assert words in refused.json["detail"]


def test_an_audience_is_not_deleted_under_an_import(house: Sendonce, client: FlaskClient) -> None:
    an_audience(client)
    begun = an_import(house, pid=os.getppid())

    refused = client.delete("/api/audiences/1")
    with house.database.write(durable=False) as tx:
        tx.execute(update(imports).values(boot_id="another boot"))
    deleted = client.delete("/api/audiences/1")

    assert refused.status_code == 409
    assert refused.json["detail"].startswith(f"Import {begun.id} still brings people")
    assert deleted.status_code == 204


def test_an_import_whose_audience_is_gone_all_the_same_ends_quietly(
    house: Sendonce,
    client: FlaskClient,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    an_audience(client)
    file = (io.BytesIO(b"email\nann@example.com\n"), "list.csv")

    with house.background._turn:
        client.post("/api/audiences/1/import", data={"file": file})
        with house.database.write(durable=False) as tx:
            audience_store.delete_audience(tx, 1, expected_version=None)
        (importing,) = [t for t in threading.enumerate() if t.name == "import 1"]
    importing.join(10)

    assert not importing.is_alive()
    assert "background work failed" not in caplog.text + capsys.readouterr().out


def test_recipients_come_out_as_csv_without_formulas(client: FlaskClient) -> None:
    an_audience(client, recipients=[{"email": "ann@example.com", "name": "=cmd()"}])

    table = client.get("/api/audiences/1/recipients.csv")

    assert table.mimetype == "text/csv"
    assert "ann@example.com,'=cmd(),{}" in table.text


def test_a_preview_is_what_one_recipient_reads(client: FlaskClient) -> None:
    campaign = a_campaign(client, html="<p>Dear {{ name }} of {{ recipient.attributes.city }}</p>")
    path = f"/api/campaigns/{campaign['id']}/preview"

    first = client.post(path).json
    nobody = client.post(path, json={"recipient": "nobody@example.com"})

    assert "Dear Ann of" in first["html"]
    assert "city" in next(w for w in first["warnings"] if w["kind"] == "lacking")["message"]
    assert [e["field"] for e in nobody.json["errors"]] == ["recipient"]


def test_a_test_send_reaches_its_addresses_and_leaves_the_ledger_alone(
    house: Sendonce, client: FlaskClient
) -> None:
    house.sandbox.start()
    campaign = a_campaign(client)

    sent = client.post(
        f"/api/campaigns/{campaign['id']}/test-send",
        json={"to": ["ann@example.com", "me@example.com"]},
    ).json

    assert [(r["email"], r["ok"], r["smtp_code"]) for r in sent["results"]] == [
        ("ann@example.com", True, 250),
        ("me@example.com", True, 250),
    ]
    subjects = {item["subject"] for item in client.get("/api/outbox").json["items"]}
    assert subjects == {"[Test] Hello Ann", "[Test] Hello"}
    assert client.get("/api/runs").json["items"] == []


def test_a_campaign_names_each_audience_and_account_that_does_not_exist(
    client: FlaskClient,
) -> None:
    an_audience(client)
    refused = client.post(
        "/api/campaigns",
        json={"name": "C", "subject": "S", "html": "x", "audience_ids": [1, 8], "account_ids": [9]},
    )

    assert {e["field"]: e["message"] for e in refused.json["errors"]} == {
        "audience_ids": "there is no audience 8",
        "account_ids": "there is no account 9",
    }


def test_the_sandbox_is_not_mixed_with_smtp_accounts(client: FlaskClient) -> None:
    an_audience(client)
    account = an_account(client)

    refused = client.post(
        "/api/campaigns",
        json={
            "name": "C",
            "subject": "S",
            "html": "x",
            "audience_ids": [1],
            "account_ids": [1, account["id"]],
        },
    )

    assert [e["field"] for e in refused.json["errors"]] == ["account_ids"]


def test_a_campaign_is_duplicated(client: FlaskClient) -> None:
    campaign = a_campaign(client)

    copy = client.post(f"/api/campaigns/{campaign['id']}/duplicate")

    assert copy.status_code == 201
    assert copy.json["subject"] == campaign["subject"]
    assert copy.json["id"] != campaign["id"]


def test_a_template_mistake_is_named_with_its_line(client: FlaskClient) -> None:
    an_audience(client)
    refused = client.post(
        "/api/campaigns",
        json={
            "name": "C",
            "subject": "S",
            "html": "<p>\n{% if %}</p>",
            "audience_ids": [1],
            "account_ids": [1],
        },
    )

    (error,) = refused.json["errors"]
    assert error["field"] == "html"
    assert "2" in error["message"]


@pytest.mark.parametrize(
    ("given", "zone", "wall"),
    [
        ("2026-03-05T09:00:00", "Europe/Berlin", "2026-03-05T09:00:00"),
        ("2026-03-05T09:00:00Z", "Europe/Berlin", "2026-03-05T10:00:00"),
        ("2026-03-05T09:00:00-05:00", "Europe/Berlin", "2026-03-05T15:00:00"),
        ("2026-10-25T00:30:00Z", "Europe/Berlin", "2026-10-25T02:30:00"),
    ],
)
def test_a_time_with_an_offset_becomes_wall_clock_time(
    client: FlaskClient, given: str, zone: str, wall: str
) -> None:
    made = a_schedule(client, schedule_time=given, timezone=zone, schedule_type="once")

    assert made["schedule_time"] == wall


def test_an_instant_in_a_doubled_hour_that_wall_clock_time_can_not_name_is_refused(
    client: FlaskClient,
) -> None:
    campaign = a_campaign(client)
    refused = client.post(
        "/api/schedules",
        json={
            "campaign_id": campaign["id"],
            "schedule_time": "2026-10-25T02:30:00+01:00",
            "timezone": "Europe/Berlin",
        },
    )

    (error,) = refused.json["errors"]
    assert error["field"] == "schedule_time"
    assert error["message"].endswith("say 2026-10-25T01:30:00 with timezone UTC")


def test_an_offset_in_a_patch_is_read_in_the_schedules_zone(client: FlaskClient) -> None:
    made = a_schedule(client, timezone="Europe/Berlin")

    changed = client.patch(
        f"/api/schedules/{made['id']}", json={"schedule_time": "2026-03-05T09:00:00Z"}
    )

    assert changed.json["schedule_time"] == "2026-03-05T10:00:00"
    assert changed.json["version"] == 2


def test_a_schedule_is_paused_and_resumed(client: FlaskClient) -> None:
    made = a_schedule(client)
    path = f"/api/schedules/{made['id']}"

    paused = client.post(f"{path}/pause", json={"note": "holidays"}).json
    resumed = client.post(f"{path}/resume").json

    assert (paused["enabled"], paused["status"], paused["note"]) == (False, "paused", "holidays")
    assert (resumed["enabled"], resumed["status"]) == (True, "pending")


def test_skip_next_wants_the_next_slot_and_writes_it_down(client: FlaskClient) -> None:
    made = a_schedule(client)
    path = f"/api/schedules/{made['id']}"

    other = client.post(f"{path}/skip-next", json={"slot": "2026-03-09T09:00:00Z"})
    skipped = client.post(f"{path}/skip-next", json={"slot": made["next_run"]})

    assert other.status_code == 409
    assert skipped.json["next_run"] == "2026-03-04T09:00:00Z"
    (row,) = client.get(f"{path}/slots").json["items"]
    assert (row["slot"], row["decision"]) == (made["next_run"], "skipped")
    upcoming = client.get(f"{path}/upcoming?count=2").json["items"]
    assert [slot["slot"] for slot in upcoming] == ["2026-03-04T09:00:00Z", "2026-03-05T09:00:00Z"]


def test_nothing_held_is_a_409(client: FlaskClient) -> None:
    made = a_schedule(client)

    answer = client.post(f"/api/schedules/{made['id']}/missed", json={"action": "send"})

    assert answer.status_code == 409


def test_run_now_makes_one_run_at_a_time(client: FlaskClient) -> None:
    made = a_schedule(client)
    path = f"/api/schedules/{made['id']}/run-now"

    first = client.post(path)
    second = client.post(path)

    assert first.status_code == 202
    assert (second.status_code, second.json["run_id"]) == (409, first.json["id"])


def test_a_run_is_paused_resumed_and_cancelled(house: Sendonce, client: FlaskClient) -> None:
    run_id = materialised(house, client)
    path = f"/api/runs/{run_id}"

    assert client.post(f"{path}/pause").json["status"] == "paused"
    assert client.post(f"{path}/resume").json["status"] in ("claimed", "running")
    cancelled = client.post(f"{path}/cancel").json

    assert cancelled["status"] == RunStatus.CANCELLED
    assert cancelled["counts"]["skipped"] == cancelled["counts"]["recipients"] == 2
    assert client.post(f"{path}/resume").status_code == 409


def test_deliveries_are_listed_filtered_and_given_as_csv(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = materialised(house, client, recipients=["-1@example.com", "bob@example.com"])
    path = f"/api/runs/{run_id}/deliveries"

    assert len(client.get(path).json["items"]) == 2
    assert client.get(f"{path}?status=sent").json["items"] == []
    (bob,) = client.get(f"{path}?status=queued&q=BOB").json["items"]
    assert bob["email"] == "bob@example.com"
    lines = client.get(f"{path}.csv").text.splitlines()
    assert lines[0].startswith("email,status,reason,attempts")
    assert lines[1].startswith("'-1@example.com,queued")


def test_suppressions_are_listed_made_and_lifted(client: FlaskClient) -> None:
    made = client.post("/api/suppressions", json={"email": "Ann@Example.com", "reason": "bounced"})
    assert made.status_code == 201
    assert made.json["reason"] == "bounced"

    assert len(client.get("/api/suppressions?q=ann").json["items"]) == 1
    assert client.delete("/api/suppressions/ann@example.com").status_code == 204
    assert client.get("/api/suppressions").json["items"] == []


def test_an_address_that_is_suppressed_already_keeps_its_reason(client: FlaskClient) -> None:
    body = {"email": "ann@example.com", "reason": "bounced"}
    first = client.post("/api/suppressions", json=body)

    again = client.post("/api/suppressions", json={"email": "ANN@example.com", "reason": "manual"})

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json == first.json


def test_the_calendar_shows_slots_to_come(client: FlaskClient) -> None:
    made = a_schedule(client)

    found = client.get("/api/calendar?from=2026-03-02T00:00:00Z&to=2026-03-05T00:00:00Z").json

    assert [(i["schedule_id"], i["slot"]) for i in found["items"]] == [
        (made["id"], "2026-03-03T09:00:00Z"),
        (made["id"], "2026-03-04T09:00:00Z"),
    ]


def test_the_calendar_shows_a_month_both_ways_unless_said(
    house: Sendonce, client: FlaskClient
) -> None:
    made = a_schedule(client, schedule_time="2026-03-03T09:00:00")
    client.post(f"/api/schedules/{made['id']}/skip-next", json={"slot": made["next_run"]})
    house.clock.inner.advance(hours=24 * 20)

    found = [item["slot"] for item in client.get("/api/calendar").json["items"]]
    later = client.get("/api/calendar?from=2027-01-01T00:00:00Z").json["items"]

    assert found[0] == "2026-03-03T09:00:00Z"
    assert found[-1] > "2026-04-15"
    assert [item["slot"][:10] for item in later[:1] + later[-1:]] == ["2027-01-01", "2027-01-31"]


def test_a_preview_of_a_schedule_says_what_it_would_mean(client: FlaskClient) -> None:
    campaign = a_campaign(client, html="<p>{{ recipient.attributes.city }}</p>")
    body = {
        "campaign_id": campaign["id"],
        "schedule_time": "2026-03-03T09:00",
        "schedule_type": "daily",
    }
    client.post("/api/schedules", json=body)

    seen = client.post("/api/schedules/preview", json=body).json

    assert len(seen["items"]) == 10
    assert seen["recipients"] == 2
    assert seen["lacking"] == [{"attribute": "city", "recipients": 2}]
    assert [c["schedule_id"] for c in seen["collisions"]] == [1]
    assert len(client.get("/api/schedules").json["items"]) == 1


def test_a_preview_counts_a_person_on_two_lists_once_and_tells_the_suppressed(
    client: FlaskClient,
) -> None:
    more = an_audience(client, recipients=[{"email": f"{n}@example.com"} for n in ("ANN", "cy")])
    campaign = a_campaign(client, html="<p>{{ recipient.attributes.city }}</p>")
    ids = [*campaign["audience_ids"], more["id"]]
    client.patch(f"/api/campaigns/{campaign['id']}", json={"audience_ids": ids})
    client.post("/api/suppressions", json={"email": "cy@example.com"})

    body = {"campaign_id": campaign["id"], "schedule_time": "2026-03-03T09:00"}
    seen = client.post("/api/schedules/preview", json=body).json

    assert (seen["recipients"], seen["suppressed"]) == (2, 1)
    assert seen["recipients_looked_at"] == 2
    assert seen["lacking"] == [{"attribute": "city", "recipients": 2}]


def test_status_names_the_oldest_slot_that_is_due(house: Sendonce, client: FlaskClient) -> None:
    made = a_schedule(client)
    assert client.get("/api/status").json["scheduler"]["oldest_due"] is None

    due = datetime(2026, 3, 3, 9, 0, 5, tzinfo=UTC)
    house.clock.inner.advance(seconds=(due - house.clock.now()).total_seconds())

    scheduler = client.get("/api/status").json["scheduler"]
    assert scheduler["oldest_due"] == made["next_run"]
    assert (scheduler["interval"], scheduler["buffer"]) == (1.0, 30.0)
    assert scheduler["leader"] is False


def test_a_schedule_of_a_campaign_that_is_gone_can_not_be_previewed(
    house: Sendonce, client: FlaskClient
) -> None:
    campaign = a_campaign(client)
    with house.database.write(durable=False) as tx:
        campaign_store.delete(tx, campaign["id"], expected_version=None)

    refused = client.post(
        "/api/schedules/preview",
        json={"campaign_id": campaign["id"], "schedule_time": "2026-03-03T09:00"},
    )

    assert [e["field"] for e in refused.json["errors"]] == ["campaign_id"]


def test_users_are_made_and_listed_without_their_passwords(client: FlaskClient) -> None:
    made = client.post(
        "/api/users",
        json={"email": "ann@example.com", "password": "long enough now", "role": "admin"},
    )

    assert made.status_code == 201
    assert made.json["role"] == "admin"
    assert "long enough now" not in client.get("/api/users").text


@pytest.mark.parametrize("role", [{}, {"role": "viewer"}, {"role": "editor"}])
def test_the_first_user_is_an_admin_or_nobody(client: FlaskClient, role: dict[str, str]) -> None:
    refused = client.post(
        "/api/users", json={"email": "a@x.io", "password": "long enough now"} | role
    )

    assert refused.status_code == 422
    assert [e["field"] for e in refused.json["errors"]] == ["role"]
    assert client.get("/api/users").json["items"] == []


def an_import(house: Sendonce, *, pid: int, boot_id: str | None = None) -> Import:
    """Note an import of audience 1 that a process works on."""
    with house.database.write(durable=False) as tx:
        return csv_import.start_import(
            tx,
            1,
            dry_run=False,
            boot_id=boot_id or aliveness.boot_id(),
            pid=pid,
            now=house.clock.now(),
        )


def test_a_user_is_given_another_role_disabled_and_a_new_password(client: FlaskClient) -> None:
    new = {"email": "ann@example.com", "password": "long enough now", "role": "admin"}
    ann = client.post("/api/users", json=new).json
    client.post("/api/users", json=new | {"email": "bob@example.com"})
    path = f"/api/users/{ann['id']}"

    changed = client.patch(
        path, json={"role": "viewer", "disabled": True, "password": "battery staple"}
    )
    stale = client.patch(path, json={"role": "admin"}, headers={"If-Match": '"1"'})
    short = client.patch(path, json={"password": "short"})

    assert (changed.status_code, changed.json["role"]) == (200, "viewer")
    assert changed.json["disabled"] is True
    assert stale.status_code == 412
    assert [e["field"] for e in short.json["errors"]] == ["password"]
    assert client.patch("/api/users/99", json={}).status_code == 404


@pytest.mark.parametrize("change", [{"role": "editor"}, {"disabled": True}])
def test_the_last_admin_who_can_sign_in_stays_one(
    client: FlaskClient, change: dict[str, object]
) -> None:
    new = {"email": "ann@example.com", "password": "long enough now", "role": "admin"}
    ann = client.post("/api/users", json=new).json
    bob = client.post("/api/users", json=new | {"email": "bob@example.com"}).json
    client.patch(f"/api/users/{bob['id']}", json={"disabled": True})

    refused = client.patch(f"/api/users/{ann['id']}", json=change)
    allowed = client.patch(f"/api/users/{bob['id']}", json=change)

    assert refused.status_code == 409
    assert "ann@example.com is the last admin" in refused.json["detail"]
    assert allowed.status_code == 200


@pytest.mark.parametrize("kind", ["accounts", "audiences", "campaigns", "schedules", "users"])
def test_a_patch_that_changes_nothing_makes_no_new_version(client: FlaskClient, kind: str) -> None:
    an_account(client)
    a_schedule(client)
    client.post(
        "/api/users",
        json={"email": "ann@example.com", "password": "long enough now", "role": "admin"},
    )
    path = f"/api/{kind}/2" if kind == "accounts" else f"/api/{kind}/1"
    before = client.patch(path, json={}).json
    same = {name: before[name] for name in ("name", "timezone", "role") if name in before}

    after = client.patch(path, json=same).json

    assert before["version"] == 1
    assert after == before


def finished(client: FlaskClient, import_id: int) -> dict[str, object]:
    for _ in range(10_000):
        found = client.get(f"/api/imports/{import_id}").json
        if found["status"] != "running":
            return found
    raise AssertionError("the import does not end")


def test_a_run_whose_account_is_paused_says_so(house: Sendonce, client: FlaskClient) -> None:
    run_id = materialised(house, client)
    with house.database.write(durable=True) as tx:
        ledger.start(tx, run_id, house.clock.now())
        account_store.pause(tx, 1, "auth: 535 5.7.8 no")

    answer = client.get(f"/api/runs/{run_id}")

    assert answer.json["reason"] == "waits for its account: Sandbox is paused (auth: 535 5.7.8 no)"


def test_a_run_whose_limit_is_used_up_says_so_everywhere(
    house: Sendonce, client: FlaskClient
) -> None:
    run_id = materialised(house, client)
    client.patch("/api/accounts/1", json={"limit_per_hour": 3, "rate_per_second": 5})
    with house.database.write(durable=True) as tx:
        ledger.start(tx, run_id, house.clock.now())
        usage.count(tx, 1, 3, house.clock.now())

    told = client.get(f"/api/runs/{run_id}").json
    listed = client.get("/api/runs").json["items"][0]
    browser = signed_in(house)
    pages = [browser.get(path).text for path in (f"/runs/{run_id}", "/runs")]
    publisher = Publisher(house)
    event = next(e for e in publisher.current()[1] if e.kind == "run")

    says = "the hour limit of account Sandbox is used up until 09:01 UTC"
    assert (told["reason"], listed["reason"]) == (says, says)
    assert told["eta_seconds"] == pytest.approx(61 * 60, abs=1)
    assert all(says in page for page in pages)
    assert "about 1 h 1 min left" in pages[0]
    assert json.loads(event.data)["reason"] == says
    paused = client.post(f"/api/runs/{run_id}/pause").json
    assert (paused["eta_seconds"], paused["reason"]) == (None, "paused by a person")


def test_a_preview_says_how_long_it_takes_at_the_account_s_limits(client: FlaskClient) -> None:
    campaign = a_campaign(client, recipients=[f"p{n}@example.com" for n in range(20)])
    body = {"campaign_id": campaign["id"], "schedule_time": "2026-03-03T09:00"}

    seen = [client.post("/api/schedules/preview", json=body).json["expected_seconds"]]
    for limits in ({"rate_per_second": 0.5}, {"limit_per_hour": 15}):
        client.patch("/api/accounts/1", json=limits)
        seen.append(client.post("/api/schedules/preview", json=body).json["expected_seconds"])

    assert seen == [None, 40.0, pytest.approx(61 * 60 + 10, abs=1)]


def test_a_directory_in_doubt_is_told_and_accepted_once(
    house: Sendonce, client: FlaskClient
) -> None:
    with house.database.write(durable=True) as tx:
        installation.mark_backup(tx, house.clock.now())
    tick_of(house)
    ready = client.get("/readyz")
    assert (ready.status_code, len(ready.json["warnings"])) == (200, 1)
    assert "from a backup" in client.get("/api/status").json["doubted"]

    first = client.post("/api/doubt", json={"action": "accept"})
    second = client.post("/api/doubt", json={"action": "accept"})

    assert (first.status_code, first.json["doubted"]) == (200, None)
    assert second.status_code == 409


def test_a_clock_that_jumped_is_told_and_accepted_once(
    house: Sendonce, client: FlaskClient
) -> None:
    tick_of(house)
    before = house.clock.now()
    house.clock.inner.set_wall_clock(before + timedelta(days=1))
    tick_of(house)
    clock = client.get("/api/status").json["clock"]
    assert (clock["blocked"], round(clock["step_seconds"])) == (True, 86400)
    assert datetime.fromisoformat(clock["now"]) - before < timedelta(minutes=1)
    assert client.get("/readyz").status_code == 200

    first = client.post("/api/clock", json={"action": "accept"})
    tick_of(house)
    second = client.post("/api/clock", json={"action": "accept"})

    assert (first.status_code, second.status_code) == (200, 409)
    clock = client.get("/api/status").json["clock"]
    assert (clock["blocked"], clock["step_seconds"]) == (False, 0.0)
    assert datetime.fromisoformat(clock["now"]) - before >= timedelta(days=1)


@pytest.mark.parametrize("call", ["/api/clock", "/api/doubt"])
def test_what_is_accepted_has_to_be_said(client: FlaskClient, call: str) -> None:
    answer = client.post(call, json={"action": "deny"})

    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "action"
