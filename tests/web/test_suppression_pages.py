"""/suppressions: who gets nothing, from where, and how it ends."""

import io
from typing import Any

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity import audit
from identity.model import Role
from tests.web.browser_client import BrowserClient, signed_in


@pytest.fixture
def anna(house: Sendonce) -> BrowserClient:
    return signed_in(house)


def suppressed(client: FlaskClient) -> list[tuple[str, str, str]]:
    found = client.get("/api/suppressions").json["items"]
    return sorted((s["email"], s["reason"], s["source"]) for s in found)


def a_file(text: str) -> dict[str, Any]:
    return {"file": (io.BytesIO(text.encode()), "list.csv"), "reason": "manual"}


def test_a_file_suppresses_whom_it_names_and_says_what_was_not_taken(
    client: FlaskClient, anna: BrowserClient
) -> None:
    client.post("/api/suppressions", json={"email": "there@example.com"})
    rows = (
        "E-Mail;Reason\nann@example.com;bounced\nTHERE@example.com;\nnobody;\nbob@example.com;x\n"
    )

    answer = anna.post_form("/suppressions/import", a_file(rows))

    assert answer.status_code == 200, answer.text
    assert "2 addresses are suppressed now, 1 was already" in answer.text
    assert "1 row was not taken" in answer.text
    assert suppressed(client) == [
        ("ann@example.com", "bounced", "file"),
        ("bob@example.com", "manual", "file"),
        ("there@example.com", "manual", "api"),
    ]


def test_a_plain_list_without_a_heading_is_read_too(
    client: FlaskClient, anna: BrowserClient
) -> None:
    answer = anna.post_form("/suppressions/import", a_file("a@example.com\nb@example.com\n"))

    assert (answer.status_code, answer.location) == (303, "/suppressions")
    assert len(suppressed(client)) == 2


def test_what_was_exported_can_be_brought_back(client: FlaskClient, anna: BrowserClient) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": "complained"})
    exported = anna.get("/suppressions.csv").text
    client.delete("/api/suppressions/ann@example.com")

    anna.post_form("/suppressions/import", a_file(exported))

    assert suppressed(client) == [("ann@example.com", "complained", "file")]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reason": "manual"}, "Choose a file."),
        (a_file("name;city\nAnn;Cork\n"), "holds e-mail addresses"),
        (a_file("a@example.com") | {"reason": "whim"}, "Choose one of the reasons."),
    ],
)
def test_a_file_that_makes_no_sense_suppresses_nobody(
    client: FlaskClient, anna: BrowserClient, fields: dict[str, Any], says: str
) -> None:
    answer = anna.post_form("/suppressions/import", fields)

    assert answer.status_code == 422
    assert says in answer.text
    assert suppressed(client) == []


def test_ending_a_suppression_asks_why_and_keeps_it_in_the_audit_log(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": "unsubscribed"})

    without = anna.post_form("/suppressions/remove", {"email": "ann@example.com", "why": " "})
    said = {"email": "ann@example.com", "why": "asked for it\nagain"}
    done = anna.post_form("/suppressions/remove", said)

    assert without.status_code == 422
    assert "Say why" in without.text
    assert done.status_code == 303
    assert suppressed(client) == []
    with house.database.read() as tx:
        newest = audit.entries(tx, limit=1)[0].deed
    assert (newest.before, newest.after) == (
        {"reason": "unsubscribed"},
        {"why": "asked for it again"},
    )


def test_only_an_admin_ends_a_suppression(
    house: Sendonce, client: FlaskClient, anna: BrowserClient
) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com"})
    editor = signed_in(house, role=Role.EDITOR)

    refused = editor.post_form("/suppressions/remove", {"email": "ann@example.com", "why": "so"})

    assert refused.status_code == 403
    assert "Remove…" not in editor.get("/suppressions").text
    assert "Remove…" in anna.get("/suppressions").text
    assert len(suppressed(client)) == 1
