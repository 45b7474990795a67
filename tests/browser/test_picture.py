"""The picture in the README: one look at what the product does, made from a real installation."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.given import a_campaign, a_schedule
from tests.browser.person import Person
from tests.processes.servers import APP, due_in, finished_run, running, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def test_one_page_shows_what_waits_what_is_sent_and_what_went(
    tmp_path: Path, new_person: Callable[..., Person]
) -> None:
    with running([APP], tmp_path, execution_buffer="45") as [server]:
        past = a_schedule(
            server,
            a_campaign(server, name="Weekly digest", recipients=120),
            schedule_type="weekly",
            timezone="Europe/Berlin",
        )
        server.post("/api/suppressions", {"email": "person7@example.com"})
        server.post(f"/api/schedules/{past}/run-now", {})
        wait_until(lambda: finished_run(server, past), "the digest has gone")
        paused = a_schedule(
            server, a_campaign(server, name="Product news", recipients=980, audience="Customers")
        )
        server.post(f"/api/schedules/{paused}/pause", {"note": "waits for the new prices"})
        server.request("PATCH", "/api/accounts/1", {"rate_per_second": 25})
        sending = a_schedule(
            server, a_campaign(server, name="Spring sale", recipients=1240, audience="Everybody")
        )
        server.post(f"/api/schedules/{sending}/run-now", {})
        server.post(
            "/api/schedules",
            {
                "campaign_id": a_campaign(
                    server, name="Board report", recipients=12, audience="Board"
                ),
                "schedule_time": due_in(1),
                "schedule_type": "once",
            },
        )
        server.post(
            "/api/users",
            {"email": "anna@example.com", "password": "a long password", "role": "admin"},
        )
        anna = new_person(server, signed_in=False, zone="Europe/Berlin")
        anna.opens("/login")
        anna.page.get_by_label("E-mail").fill("anna@example.com")
        anna.page.get_by_label("Password", exact=True).fill("a long password")
        anna.button("Sign in").click()
        page = anna.page

        expect(page.get_by_role("heading", name="Holding")).to_be_visible()
        expect(page.get_by_role("row").filter(has_text="Spring sale")).to_contain_text("per second")
        expect(page.get_by_role("row").filter(has_text="Weekly digest")).to_contain_text("119 sent")
        expect(page.get_by_role("row").filter(has_text="Product news")).to_contain_text("Paused")
        if pictures := os.environ.get("SCREENSHOTS"):
            page.set_viewport_size({"width": 1280, "height": 760})
            page.screenshot(path=Path(pictures) / "automation.png")
