import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from audience.unsubscribe import make_token

SHEETS = ("public.css", "tokens.css")


@pytest.fixture
def link(house: Sendonce) -> str:
    return f"/u/{make_token(house.key, delivery_id=7, email='ann@example.com')}"


def suppressed(client: FlaskClient) -> list[tuple[str, str]]:
    found = client.get("/api/suppressions").json["items"]
    return [(s["email"], s["reason"]) for s in found]


def test_looking_at_the_page_changes_nothing(
    client: FlaskClient, stranger: FlaskClient, link: str
) -> None:
    seen = stranger.get(link)
    stranger.head(link)

    assert seen.status_code == 200
    assert "ann@example.com" in seen.text
    assert f'<form method="post" action="{link}">' in seen.text
    assert suppressed(client) == []


def test_one_click_unsubscribes_without_cookie_or_redirect(
    client: FlaskClient, stranger: FlaskClient, link: str
) -> None:
    answer = stranger.post(link, data={"List-Unsubscribe": "One-Click"})

    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    assert suppressed(client) == [("ann@example.com", "unsubscribed")]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "text/plain"])
def test_one_click_works_however_the_mail_program_sends_it(
    client: FlaskClient, stranger: FlaskClient, link: str, content_type: str
) -> None:
    data = {"List-Unsubscribe": "One-Click"}
    sent = data if content_type.startswith("multipart") else "List-Unsubscribe=One-Click"

    answer = stranger.post(link, data=sent, content_type=content_type)

    assert answer.status_code == 200
    assert len(suppressed(client)) == 1


def test_unsubscribing_twice_is_fine(client: FlaskClient, stranger: FlaskClient, link: str) -> None:
    answers = [stranger.post(link, data={"List-Unsubscribe": "One-Click"}) for _ in range(2)]

    assert [a.status_code for a in answers] == [200, 200]
    assert len(suppressed(client)) == 1


def test_a_post_that_does_not_ask_for_it_changes_nothing(
    client: FlaskClient, stranger: FlaskClient, link: str
) -> None:
    answer = stranger.post(link, data={"other": "form"})

    assert answer.status_code == 400
    assert suppressed(client) == []


def test_unsubscribing_can_be_undone_from_the_same_link(
    client: FlaskClient, stranger: FlaskClient, link: str
) -> None:
    done = stranger.post(link, data={"List-Unsubscribe": "One-Click"})
    again = stranger.get(link)

    back = stranger.post(f"{link}/undo", data={"undo": "yes"})

    assert "Done. <strong>ann@example.com</strong> gets no more e-mails from here." in done.text
    assert f'action="{link}/undo"' in done.text
    assert f'action="{link}/undo"' in again.text
    assert "gets e-mails from here as before" in back.text
    assert "Set-Cookie" not in back.headers
    assert suppressed(client) == []


@pytest.mark.parametrize("reason", ["bounced", "complained", "manual"])
def test_what_the_recipient_did_not_do_he_can_not_undo(
    client: FlaskClient, stranger: FlaskClient, link: str, reason: str
) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": reason})

    pages = [
        stranger.get(link),
        stranger.post(link, data={"List-Unsubscribe": "One-Click"}),
        stranger.post(f"{link}/undo", data={"undo": "yes"}),
    ]

    assert [page.status_code for page in pages] == [200, 200, 200]
    assert not any("Undo" in page.text for page in pages)
    assert suppressed(client) == [("ann@example.com", reason)]


def test_undoing_lets_nobody_else_in(client: FlaskClient, stranger: FlaskClient, link: str) -> None:
    client.post("/api/suppressions", json={"email": "bob@example.com", "reason": "unsubscribed"})

    stranger.post(f"{link}/undo", data={"undo": "yes"})

    assert suppressed(client) == [("bob@example.com", "unsubscribed")]


@pytest.mark.parametrize(
    "fields",
    [{"List-Unsubscribe": "One-Click"}, {"List-Unsubscribe": "One-Click", "undo": "yes"}, {}],
)
def test_a_one_click_request_never_undoes(
    client: FlaskClient, stranger: FlaskClient, link: str, fields: dict[str, str]
) -> None:
    stranger.post(link, data={"List-Unsubscribe": "One-Click"})

    answer = stranger.post(f"{link}/undo", data=fields)
    stranger.get(f"{link}/undo")
    stranger.post(link, data={"List-Unsubscribe": "One-Click", "undo": "yes"})

    assert answer.status_code == 400
    assert suppressed(client) == [("ann@example.com", "unsubscribed")]


def test_the_page_and_all_it_needs_is_small(stranger: FlaskClient, link: str) -> None:
    page = stranger.get(link)
    needed = [a.split('"')[0] for a in page.text.split('href="')[1:]]
    sheet = stranger.get(next(a for a in needed if a.endswith(".css")))

    assert needed == ["data:,", next(a for a in needed if a.endswith("/css/public.css"))]
    assert sheet.status_code == 200
    assert len(page.data) + len(sheet.data) < 8 * 1024
    assert "<script" not in page.text
    assert "/automation" not in page.text


@pytest.mark.parametrize("token", ["x", "..", "a" * 5000, "%00", "%ff", "WzEsIngiXQ.bad"])
def test_a_link_that_is_not_ours_is_a_page_with_404(stranger: FlaskClient, token: str) -> None:
    answers = [
        stranger.get(f"/u/{token}"),
        stranger.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"}),
        stranger.post(f"/u/{token}/undo", data={"undo": "yes"}),
    ]

    for answer in answers:
        assert answer.status_code == 404
        assert answer.mimetype in ("text/html", "application/problem+json")


def test_a_tampered_link_is_not_ours(client: FlaskClient, stranger: FlaskClient, link: str) -> None:
    changed = link[:-1] + ("A" if link[-1] != "A" else "B")

    assert stranger.post(changed, data={"List-Unsubscribe": "One-Click"}).status_code == 404
    assert suppressed(client) == []


def test_the_page_is_safe_to_show(stranger: FlaskClient, house: Sendonce) -> None:
    evil = make_token(house.key, delivery_id=1, email='"<script>"@example.com')

    page = stranger.get(f"/u/{evil}")

    assert "<script>" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_the_page_has_the_colours_of_the_dashboard_whose_contrasts_are_tested() -> None:
    styles = Path(__file__).parent.parent.parent / "static" / "css"
    colours = [set(re.findall(r"#[0-9a-f]{6}", (styles / name).read_text())) for name in SHEETS]

    assert colours[0] <= colours[1]
