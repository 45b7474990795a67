"""/recipients/{email}: what somebody got, and why not this one."""

import html
import re

from flask.testing import FlaskClient

from assembly import Sendonce
from audience.unsubscribe import make_token
from delivery import ledger
from identity.model import Role
from tests.web.browser_client import signed_in
from tests.web.given import a_campaign, a_schedule, materialised, put_in_doubt


def words_of(page: str) -> str:
    """Return a page's main part as a reader sees it."""
    main = page[page.index("<main") : page.index("</main>")]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", main)).split())


def run_again(house: Sendonce, client: FlaskClient, schedule_id: int) -> int:
    run_id: int = client.post(f"/api/schedules/{schedule_id}/run-now").json["id"]
    with house.database.write(durable=False) as tx:
        while not ledger.materialise(tx, run_id, rows=1000, now=house.clock.now()):
            pass
    return run_id


def test_who_unsubscribed_sees_when_and_how_and_from_which_run(
    house: Sendonce, client: FlaskClient, stranger: FlaskClient
) -> None:
    first = materialised(house, client, recipients=["ann@example.com"])
    put_in_doubt(house, first, "ann@example.com")
    token = make_token(house.key, delivery_id=1, email="ann@example.com")
    stranger.post(f"/u/{token}", data={"List-Unsubscribe": "One-Click"})
    house.clock.inner.advance(hours=2)
    run_again(house, client, 1)

    words = words_of(signed_in(house).get("/recipients/ann@example.com").text)

    assert "Not written to: unsubscribed Mon 2 Mar 08:00 UTC (one-click)" in words
    assert "from an e-mail of run 1" in words
    assert "In doubt Resolve" in words
    (kept,) = client.get("/api/suppressions").json["items"]
    assert (kept["source"], kept["run_id"]) == ("one-click", first)


def test_the_page_behind_the_link_is_told_from_one_click(
    house: Sendonce, client: FlaskClient, stranger: FlaskClient
) -> None:
    token = make_token(house.key, delivery_id=7, email="ann@example.com")
    page = stranger.get(f"/u/{token}").text
    form = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]+)">', page))

    stranger.post(f"/u/{token}", data=form)

    (kept,) = client.get("/api/suppressions").json["items"]
    assert (kept["source"], kept["run_id"]) == ("page", None)


def test_who_joined_after_a_run_sees_why_it_is_not_theirs(
    house: Sendonce, client: FlaskClient
) -> None:
    materialised(house, client, recipients=["bob@example.com"])
    house.clock.inner.advance(hours=2)
    late = {"recipients": [{"email": "late@example.com"}]}
    client.post("/api/audiences/1/recipients", json=late)
    other = a_campaign(client, recipients=["carol@example.com"])
    run_again(house, client, a_schedule(client, campaign_id=other["id"])["id"])
    anna = signed_in(house)

    words = words_of(anna.get("/recipients/late@example.com").text)

    assert "Run 1 Not in it Joined R on Mon 2 Mar 10:00 UTC, after this run" in words
    assert "Run 2" not in words
    assert "Not in it" not in words_of(anna.get("/recipients/bob@example.com").text)


def test_runs_with_and_without_the_person_come_in_one_order(
    house: Sendonce, client: FlaskClient
) -> None:
    campaign = a_campaign(client, recipients=["bob@example.com"])
    schedule = a_schedule(client, campaign_id=campaign["id"])
    run_again(house, client, schedule["id"])
    client.post("/api/audiences/1/recipients", json={"recipients": [{"email": "late@example.com"}]})
    with house.database.write(durable=False) as tx:
        ledger.start(tx, 1, house.clock.now())
    client.post("/api/runs/1/cancel")
    with house.database.write(durable=False) as tx:
        ledger.skip_unsent(tx, 1, reason="cancelled", now=house.clock.now())
        ledger.finish(tx, 1, house.clock.now())
    run_again(house, client, schedule["id"])

    page = signed_in(house).get("/recipients/late@example.com").text

    assert re.findall(r'<tr id="r(\d+)"', page) == ["2", "1"]


def test_only_an_admin_is_offered_to_end_a_suppression(
    house: Sendonce, client: FlaskClient
) -> None:
    client.post("/api/suppressions", json={"email": "ann@example.com"})
    offered = "Let them get mail again"

    assert offered in signed_in(house).get("/recipients/ann@example.com").text
    assert offered not in signed_in(house, role=Role.EDITOR).get("/recipients/ann@example.com").text
