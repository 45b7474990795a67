import pytest

from assembly import Sendonce
from identity.model import Role
from mail.sandbox import Maildir
from tests.house import app_of, bearer
from tests.web.browser_client import BrowserClient, signed_in
from web.pages import outbox

PATHS = ("/outbox", "/outbox/{id}", "/outbox/{id}/html", "/outbox/{id}.eml")


@pytest.fixture
def viewer(house: Sendonce) -> BrowserClient:
    return signed_in(house, role=Role.VIEWER)


def keep(
    house: Sendonce,
    *,
    to: str = "ann@example.com",
    subject: str = "News",
    html: str = "<p>Hello</p>",
    run: int | None = None,
    more: str = "",
) -> int:
    head = f"From: Shop <news@example.com>\r\nTo: {to}\r\nSubject: {subject}\r\n{more}"
    head += f"X-Sendonce-Run: {run}\r\n" if run is not None else ""
    content = f"{head}Content-Type: text/html; charset=utf-8\r\n\r\n{html}".encode()
    return Maildir(house.outbox, house.clock).deliver("news@example.com", [to], content)


def test_an_empty_outbox_says_so(viewer: BrowserClient) -> None:
    page = viewer.get("/outbox")

    assert "Nothing here left this machine." in page.text
    assert "Nothing has been sent to the sandbox yet." in page.text
    assert "Duplicates" not in page.text


def test_the_list_counts_who_got_how_much(house: Sendonce, viewer: BrowserClient) -> None:
    keep(house, to="ann@example.com", run=1)
    keep(house, to="bob@example.com", run=1)
    once = viewer.get("/outbox?run_id=1").text
    keep(house, to="bob@example.com", run=1)
    twice = viewer.get("/outbox?run_id=1").text

    assert "<strong>2 messages</strong> to 2 people in this run" in once
    assert "Duplicates: 0" in once
    assert "<strong>3 messages</strong> to 2 people in this run" in twice
    assert "Duplicates: 1" in twice
    assert "More than one mail of the same run: bob@example.com" in twice


def test_an_outbox_too_large_to_be_counted_aside_is_counted_when_asked_for(
    house: Sendonce, viewer: BrowserClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_READ_BESIDE", 1)
    monkeypatch.setattr(outbox, "SCAN_LIMIT", 2)
    for number in range(3):
        keep(house, to=f"p{number}@example.com")

    plain, counted = viewer.get("/outbox").text, viewer.get("/outbox?count=all").text
    rest = viewer.get("/outbox").text

    assert 'href="/outbox?count=all">Count people and duplicates</a>' in plain
    assert "Duplicates" not in plain
    assert "Counted: 2 of 3 messages, the newest first." in counted
    assert "<strong>3 messages</strong> to 3 people" in rest


def test_a_search_finds_and_says_when_it_does_not(house: Sendonce, viewer: BrowserClient) -> None:
    keep(house, to="ann@example.com")
    keep(house, to="bob@example.com")

    found, nothing = viewer.get("/outbox?q=BOB").text, viewer.get("/outbox?q=<b>").text

    assert "bob@example.com" in found
    assert "ann@example.com" not in found
    assert "No message has “&lt;b&gt;” in its addresses or subject." in nothing


def test_the_list_pages_by_key(house: Sendonce, viewer: BrowserClient) -> None:
    for number in range(51):
        keep(house, to=f"p{number}@example.com")
    first = viewer.get("/outbox").text

    second = viewer.get(first.split('class="button" href="')[-1].split('"')[0]).text

    assert first.count("data-row") == 50
    assert "p0@example.com" not in first
    assert second.count("data-row") == 1
    assert "p0@example.com" in second


def test_a_message_is_shown_in_a_frame_that_can_do_nothing(
    house: Sendonce, viewer: BrowserClient
) -> None:
    kept = keep(house, subject="<i>Hi</i>", html="<script>alert(1)</script><p>Hello</p>")

    page = viewer.get(f"/outbox/{kept}").text
    frame = viewer.get(f"/outbox/{kept}/html")

    assert "<h1>&lt;i&gt;Hi&lt;/i&gt;</h1>" in page
    assert "alert(1)" not in page
    assert (
        '<iframe class="mail-frame" sandbox="allow-popups allow-popups-to-escape-sandbox" title='
        in page
    )
    assert "alert(1)" in frame.text
    policy = frame.headers["Content-Security-Policy"]
    assert policy.endswith("sandbox")
    assert "script-src" not in policy
    assert "https:" not in policy


def test_remote_images_are_fetched_only_when_asked_for(
    house: Sendonce, viewer: BrowserClient
) -> None:
    with_image = keep(house, html='<img src="https://example.com/a.png" alt="">')
    without = keep(house, html='<a href="https://example.com/">x</a>')

    asked = viewer.get(f"/outbox/{with_image}?images=1").text

    assert "Show remote images" in viewer.get(f"/outbox/{with_image}").text
    assert "remote images" not in viewer.get(f"/outbox/{without}").text
    assert f'src="/outbox/{with_image}/html?images=1"' in asked
    policy = viewer.get(f"/outbox/{with_image}/html?images=1").headers["Content-Security-Policy"]
    assert "img-src data: https:" in policy


def test_headers_and_source_are_shown_as_they_are(house: Sendonce, viewer: BrowserClient) -> None:
    link = "List-Unsubscribe: <https://example.com/u/abc>\r\n"
    kept = keep(house, more=link + "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")

    headers = viewer.get(f"/outbox/{kept}?view=headers").text
    source = viewer.get(f"/outbox/{kept}?view=source").text

    assert "List-Unsubscribe-Post" in headers
    assert 'href="https://example.com/u/abc"' in headers
    assert "Mail programs offer it as one click (RFC 8058)." in headers
    assert "&lt;p&gt;Hello&lt;/p&gt;" in source


def test_an_unsubscribe_header_is_no_way_to_a_script(
    house: Sendonce, viewer: BrowserClient
) -> None:
    kept = keep(house, more="List-Unsubscribe: <javascript:alert(1)>\r\n")

    assert "no such header" in viewer.get(f"/outbox/{kept}").text


def test_a_message_without_html_is_shown_as_text(house: Sendonce, viewer: BrowserClient) -> None:
    content = b"Subject: x\r\nContent-Type: text/plain\r\n\r\n<b>Hello"
    kept = Maildir(house.outbox, house.clock).deliver("a@b.de", ["c@d.de"], content)

    page = viewer.get(f"/outbox/{kept}?view=rendered").text

    assert "<pre>&lt;b&gt;Hello</pre>" in page
    assert "<iframe" not in page
    assert viewer.get(f"/outbox/{kept}/html").status_code == 404


def test_the_download_is_the_message_to_the_last_byte(
    house: Sendonce, viewer: BrowserClient
) -> None:
    kept = keep(house)

    answer = viewer.get(f"/outbox/{kept}.eml")

    assert answer.mimetype == "message/rfc822"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="message-{kept}.eml"'
    assert answer.data == (house.outbox / "new" / str(kept)).read_bytes()


def test_newer_and_older_keep_to_the_run(house: Sendonce, viewer: BrowserClient) -> None:
    oldest, _, newest = (keep(house, run=run) for run in (1, 2, 1))
    viewer.get("/outbox?run_id=1")

    page = viewer.get(f"/outbox/{newest}?run_id=1").text

    assert f'href="/outbox/{oldest}?run_id=1" rel="next"' in page
    assert 'rel="prev"' not in page


def test_an_admin_clears_what_he_saw_and_nothing_newer(house: Sendonce) -> None:
    admin = signed_in(house)
    keep(house)
    keep(house)
    asked = admin.get("/outbox/clear").text
    through = asked.split('name="through" value="')[1].split('"')[0]
    newer = keep(house, to="late@example.com")

    answer = admin.post_form("/outbox/clear", {"through": through})

    assert "Delete 2 messages from the sandbox?" in asked
    assert answer.headers["Location"] == "/outbox"
    left = admin.get("/outbox").text
    assert "Deleted 2 messages from the outbox." in left
    assert [p.name for p in (house.outbox / "new").iterdir()] == [str(newer)]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_clearing_is_an_admin_s(house: Sendonce, role: Role) -> None:
    client = signed_in(house, role=role)
    keep(house)

    assert "/outbox/clear" not in client.get("/outbox").text
    assert client.get("/outbox/clear").status_code == 403
    assert client.post_form("/outbox/clear", {"through": 10**15}).status_code == 403


def test_nobody_sees_it_without_signing_in(house: Sendonce) -> None:
    kept = keep(house)
    stranger = app_of(house).test_client()

    answers = [stranger.get(path.format(id=kept)) for path in PATHS]

    assert [a.status_code for a in answers] == [401] * len(PATHS)


def test_the_api_lists_those_of_a_run(house: Sendonce) -> None:
    wanted = keep(house, run=7)
    keep(house, run=8)
    client = app_of(house).test_client()

    found = client.get("/api/outbox?run_id=7", headers=bearer()).json["items"]

    assert [item["id"] for item in found] == [wanted]
