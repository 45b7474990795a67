"""/suppressions: who gets nothing, in the browser."""

import pytest
from flask.testing import FlaskClient

from assembly import Sendonce
from identity.model import Role
from tests.web.browser_client import signed_in


def suppressed(client: FlaskClient) -> dict[str, str]:
    found = client.get("/api/suppressions?limit=500").json["items"]
    return {one["email"]: one["reason"] for one in found}


def test_who_is_suppressed_is_listed_with_the_reason(house: Sendonce, client: FlaskClient) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": "bounced"})
    client.post("/api/suppressions", json={"email": "bob@example.com", "reason": "unsubscribed"})
    browser = signed_in(house)

    every = browser.get("/suppressions").text

    assert "Bounced" in every
    assert every.index("bob@example.com") < every.index("ann@example.com")
    assert "bob@" not in browser.get("/suppressions?q=ANN").text
    assert "Show all of them" in browser.get("/suppressions?q=%25").text


def test_a_long_list_comes_in_pages(house: Sendonce, client: FlaskClient) -> None:
    browser = signed_in(house)
    lines = "\n".join(f"p{n:02}@example.com" for n in range(51))
    browser.post_form("/suppressions/new", {"people": lines, "reason": "manual"})

    first = browser.get("/suppressions").text
    second = first.rpartition('href="/suppressions?cursor=')[2].partition('"')[0]

    assert "p00@" not in first
    assert "p00@" in browser.get(f"/suppressions?cursor={second}").text


def test_nobody_suppressed_is_said(house: Sendonce) -> None:
    assert "Nobody is suppressed." in signed_in(house).get("/suppressions").text


def test_several_addresses_are_suppressed_at_once(house: Sendonce, client: FlaskClient) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": "bounced"})
    browser = signed_in(house)

    done = browser.post_form(
        "/suppressions/new",
        {"people": "Ann <ANN@example.com>, bob@example.com", "reason": "complained"},
    )

    assert done.status_code == 303
    assert suppressed(client) == {"ann@example.com": "bounced", "bob@example.com": "complained"}
    assert "1 address is suppressed now. 1 was already." in browser.get("/suppressions").text


def test_what_can_t_be_read_stays_in_the_box(house: Sendonce, client: FlaskClient) -> None:
    browser = signed_in(house)

    partly = browser.post_form(
        "/suppressions/new", {"people": "ann@example.com\nnobody\n<b", "reason": "bounced"}
    )
    none = browser.post_form("/suppressions/new", {"people": "nobody", "reason": "manual"})
    empty = browser.post_form("/suppressions/new", {"people": "", "reason": "nonsense"})

    assert (partly.status_code, none.status_code, empty.status_code) == (200, 422, 422)
    assert ">\nnobody\n&lt;b</textarea>" in partly.text
    assert '<option value="bounced" selected' in partly.text
    assert suppressed(client) == {"ann@example.com": "bounced"}


def test_somebody_is_let_get_mail_again(house: Sendonce, client: FlaskClient) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com", "reason": "unsubscribed"})
    browser = signed_in(house)
    fields = {"email": "Ann@example.com", "back": "/recipients/ann@example.com", "why": "asked"}

    asked = browser.get("/suppressions/remove?email=ann@example.com").text
    done = browser.post_form("/suppressions/remove", fields)
    again = browser.post_form("/suppressions/remove", fields)

    assert "They asked for no more e-mails" in asked
    assert done.headers["Location"] == "/recipients/ann@example.com"
    assert again.status_code == 404
    assert suppressed(client) == {}
    assert browser.get("/suppressions/remove?email=ann@example.com").status_code == 404


@pytest.mark.parametrize("back", ["//evil.example/recipients/", "https://evil.example", "/x"])
def test_the_way_back_leads_nowhere_else(house: Sendonce, client: FlaskClient, back: str) -> None:
    done = signed_in(house).post_form(
        "/suppressions/new", {"people": "ann@example.com", "reason": "manual", "back": back}
    )

    assert done.headers["Location"] == "/suppressions"


def test_a_viewer_reads_and_exports_and_changes_nothing(
    house: Sendonce, client: FlaskClient
) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com"})
    viewer = signed_in(house, role=Role.VIEWER)

    page = viewer.get("/suppressions").text

    assert "ann@example.com" in page
    assert "Remove…" not in page
    assert "Suppress addresses" not in page
    assert viewer.get("/suppressions/new").status_code == 403
    refused = viewer.post_form("/suppressions/remove", {"email": "ann@example.com"})
    assert refused.status_code == 403
    assert viewer.get("/suppressions.csv").text.splitlines() == [
        "email,reason,since,source,run_id",
        "ann@example.com,manual,2026-03-02T08:00:00Z,api,",
    ]
