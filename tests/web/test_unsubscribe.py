import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from audience.unsubscribe import make_token


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
    assert '<form method="post">' in seen.text
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


@pytest.mark.parametrize("token", ["x", "..", "a" * 5000, "%00", "%ff", "WzEsIngiXQ.bad"])
def test_a_link_that_is_not_ours_is_a_page_with_404(stranger: FlaskClient, token: str) -> None:
    for method in ("GET", "POST"):
        answer = stranger.open(f"/u/{token}", method=method, data={"List-Unsubscribe": "One-Click"})
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
