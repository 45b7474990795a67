"""Files that go along with a campaign: over the API, on its page, and out to whoever reads the mail."""

from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.datastructures import FileStorage
from werkzeug.test import TestResponse, encode_multipart

from assembly import Sendonce
from delivery import reads
from identity.model import Role
from tests.web.browser_client import BrowserClient, signed_in
from tests.web.given import a_campaign, a_schedule
from tests.web.pages.test_campaign_editor import written

PDF = b"%PDF-1.7 what is in it"


def multipart(**fields: Any) -> dict[str, Any]:
    """Return a form with files as a client sends it; the test client's own way leaves temporary files open."""
    boundary, body = encode_multipart(fields)
    return {"data": body, "content_type": f"multipart/form-data; boundary={boundary}"}


def a_file(name: str, content: bytes = PDF) -> FileStorage:
    return FileStorage(BytesIO(content), name)


def put(
    client: FlaskClient, name: str = "Übersicht.pdf", content: bytes = PDF, **changes: Any
) -> TestResponse:
    given = multipart(file=a_file(name, content))
    return client.post("/api/campaigns/1/attachments", **given, **changes)


def press(
    browser: BrowserClient, path: str, *, script: bool = False, **fields: Any
) -> TestResponse:
    data = written() | {"csrf_token": browser.token(), "campaign_id": "1"} | fields
    headers = {"Accept": "text/html"} | ({"X-Fragment": "1"} if script else {})
    return browser.client.post(path, **multipart(**data), headers=headers)


def told(answer: TestResponse) -> Any:
    return answer.json


def version_in(answer: TestResponse) -> str:
    return answer.text.partition('name="version" value="')[2].partition('"')[0]


def test_an_attached_file_is_told_given_out_and_taken_off(client: FlaskClient) -> None:
    a_campaign(client)

    made = put(client)

    assert made.status_code == 201
    one = told(made)
    assert (one["name"], one["content_type"], one["size"]) == (
        "Übersicht.pdf",
        "application/pdf",
        len(PDF),
    )
    campaign = told(client.get("/api/campaigns/1"))
    assert (campaign["attachments"], campaign["version"]) == ([one], 2)
    given = client.get(f"/api/campaigns/1/attachments/{one['id']}")
    assert given.data == PDF
    assert given.mimetype == "application/octet-stream"
    assert given.headers["Content-Disposition"].startswith("attachment;")
    assert given.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in given.headers["Content-Security-Policy"]
    gone = client.delete(f"/api/campaigns/1/attachments/{one['id']}", headers={"If-Match": '"2"'})
    assert gone.status_code == 204
    assert told(client.get("/api/campaigns/1"))["attachments"] == []


@pytest.mark.parametrize(
    ("name", "content", "status", "sentence"),
    [
        ("a.exe", b"x", 422, "mail servers refuse"),
        ("a.pdf", b"<html>", 422, "does not begin as"),
        ("a.pdf", b"", 422, "is empty"),
        ("a.bin", b"x" * (10 * 1024 * 1024 + 1), 413, "10 MB together"),
    ],
)
def test_a_file_that_can_t_go_along_is_refused_in_a_sentence(
    client: FlaskClient, name: str, content: bytes, status: int, sentence: str
) -> None:
    a_campaign(client)

    answer = put(client, name, content)

    assert answer.status_code == status
    assert sentence in told(answer)["detail"]
    assert told(client.get("/api/campaigns/1"))["attachments"] == []


def test_the_same_upload_sent_again_attaches_nothing_twice(client: FlaskClient) -> None:
    a_campaign(client)

    first, again = (put(client, headers={"Idempotency-Key": "once"}) for _ in range(2))

    assert told(first) == told(again)
    assert len(told(client.get("/api/campaigns/1"))["attachments"]) == 1


@pytest.mark.parametrize("path", ["2/attachments/1", "1/attachments/2", "9/attachments/1"])
def test_an_attachment_belongs_to_one_campaign_alone(client: FlaskClient, path: str) -> None:
    a_campaign(client)
    a_campaign(client)
    put(client)

    assert client.get(f"/api/campaigns/{path}").status_code == 404
    assert client.delete(f"/api/campaigns/{path}").status_code == 404


def test_taking_off_an_older_version_s_file_is_refused(client: FlaskClient) -> None:
    a_campaign(client)
    put(client)

    answer = client.delete("/api/campaigns/1/attachments/1", headers={"If-Match": '"1"'})

    assert answer.status_code == 412


def test_who_attached_what_stands_in_the_audit_log(client: FlaskClient) -> None:
    a_campaign(client)

    put(client)

    entry = told(client.get("/api/audit?object=campaign:1"))["items"][0]
    assert entry["action"] == "change"
    assert [one["name"] for one in entry["after"]["attachments"]] == ["Übersicht.pdf"]
    assert entry["before"] == {"attachments": []}


def test_the_preview_says_how_large_the_mail_is_and_when_that_is_much(client: FlaskClient) -> None:
    a_campaign(client)
    before = told(client.post("/api/campaigns/1/preview", json={}))

    put(client, "a.bin", b"x" * 9_000_000)

    after = told(client.post("/api/campaigns/1/preview", json={}))
    assert after["size"] - before["size"] > 12_000_000
    assert "heavy" not in {one["kind"] for one in before["warnings"]}
    assert "heavy" in {one["kind"] for one in after["warnings"]}


def test_a_file_is_attached_from_the_form_and_nothing_typed_is_lost(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    browser = signed_in(house)

    answer = press(
        browser,
        "/campaigns/1/attachments",
        subject="Typed and not saved",
        version="1",
        file=a_file("Offer.pdf"),
    )

    assert answer.status_code == 200
    assert "Offer.pdf" in answer.text
    assert 'value="Typed and not saved"' in answer.text
    assert version_in(answer) == "2"
    assert "with 1 attached file" in answer.text
    assert told(client.get("/api/campaigns/1"))["subject"] != "Typed and not saved"
    assert browser.get("/campaigns/1/attachments/1").data == PDF


def test_what_somebody_else_saved_in_between_stays_a_conflict(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    browser = signed_in(house)
    client.patch("/api/campaigns/1", json={"subject": "Theirs"})

    answer = press(browser, "/campaigns/1/attachments", version="1", file=a_file("O.pdf"))

    assert version_in(answer) == "1"
    saved = press(browser, "/campaigns/1", version="1", subject="Mine")
    assert saved.status_code == 412
    assert "Subject, as it is saved" in saved.text
    assert "Theirs" in saved.text


def test_a_script_gets_the_list_of_files_alone(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    browser = signed_in(house)

    answer = press(browser, "/campaigns/1/attachments", script=True, file=a_file("Offer.pdf"))
    gone = press(browser, "/campaigns/1/attachments/1/remove", script=True)
    again = press(browser, "/campaigns/1/attachments/1/remove", script=True)

    assert answer.text.lstrip().startswith("<fieldset")
    assert 'data-version="2"' in answer.text
    assert "Offer.pdf" not in gone.text
    assert (again.status_code, again.text) == (200, gone.text)


@pytest.mark.parametrize(
    ("file", "status", "sentence"),
    [
        (a_file("", b""), 422, "Choose a file first."),
        (a_file("run", b"#!/bin/sh"), 422, "run is a program or a script"),
        (a_file("large.bin", b"x" * 10_500_000), 413, "they may have 10 MB together"),
    ],
)
def test_what_is_wrong_with_a_file_stands_at_its_field(
    house: Sendonce, client: FlaskClient, file: Any, status: int, sentence: str
) -> None:
    a_campaign(client)

    answer = press(signed_in(house), "/campaigns/1/attachments", file=file)

    assert answer.status_code == status
    assert sentence in answer.text
    assert 'aria-describedby="file-hint file-error"' in answer.text


def test_a_viewer_keeps_a_copy_and_changes_nothing(house: Sendonce, client: FlaskClient) -> None:
    a_campaign(client)
    put(client)
    browser = signed_in(house, role=Role.VIEWER)

    page = browser.get("/campaigns/1").text

    assert "/campaigns/1/attachments/1" in page
    assert "Remove" not in page
    assert browser.get("/campaigns/1/attachments/1").data == PDF
    assert press(browser, "/campaigns/1/attachments/1/remove").status_code == 403
    assert press(browser, "/campaigns/1/attachments", file=a_file("a.pdf")).status_code == 403


def test_a_copy_has_the_same_files_and_a_run_the_ones_of_its_claim(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)
    put(client)
    schedule = a_schedule(client, campaign_id=1)

    copy = told(client.post("/api/campaigns/1/duplicate"))
    run = told(client.post(f"/api/schedules/{schedule['id']}/run-now"))
    client.delete("/api/campaigns/1/attachments/1")

    assert [one["name"] for one in copy["attachments"]] == ["Übersicht.pdf"]
    with house.database.read() as tx:
        frozen = reads.run(tx, run["id"]).content.attachments
    assert [one.name for one in frozen] == ["Übersicht.pdf"]


def test_an_absurd_campaign_in_the_preview_s_form_is_none(
    house: Sendonce, client: FlaskClient
) -> None:
    a_campaign(client)

    answer = press(signed_in(house), "/campaigns/preview", campaign_id="9" * 19)

    assert answer.status_code == 200
