"""Every screen, empty and filled, light and dark, wide and narrow: nothing that axe-core finds, nothing sideways.

With SCREENSHOTS=folder in the environment a picture of each is left there, to be looked at.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.given import a_campaign, a_schedule, put_in_doubt
from tests.browser.person import Person
from tests.processes.servers import APP, Server, finished_run, running, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.processes]

PICTURES = os.environ.get("SCREENSHOTS")
LOOKS: list[tuple[Literal["light", "dark"], int]] = [
    ("light", 1280),
    ("dark", 1280),
    ("light", 360),
    ("dark", 360),
]

EMPTY = [
    "/automation",
    "/calendar",
    "/automation/new",
    "/runs",
    "/campaigns",
    "/campaigns/new",
    "/audiences",
    "/audiences/new",
    "/suppressions",
    "/recipients",
    "/accounts",
    "/accounts/new",
    "/outbox",
    "/audit?until=2000-01-01",
    "/status",
    "/settings/profile",
    "/settings/security",
    "/settings/tokens",
    "/settings/users",
    "/settings/general",
    "/search",
    "/first-steps/demo",
    "/shortcuts",
    "/api/docs",
    "/api/docs?q=run",
    "/nothing-here",
]
FILLED = [
    "/automation",
    "/calendar",
    "/automation?q=nothing",
    "/automation/new",
    "/automation/1",
    "/automation/1/edit",
    "/automation/1/run-now",
    "/automation/1/delete",
    "/runs",
    "/runs?status=held",
    "/runs/1",
    "/runs/1?q=nobody",
    "/runs/1/in-doubt",
    "/runs/1/in-doubt/decide?action=resend&chosen=1&before=2100-01-01T00:00:00Z",
    "/runs/1/certificate",
    "/runs/1/send-missing",
    "/campaigns",
    "/campaigns/1",
    "/audiences",
    "/audiences/1",
    "/audiences/1/import",
    "/suppressions",
    "/search?q=person",
    "/search?q=digest",
    "/recipients?q=person",
    "/recipients/person1@example.com",
    "/accounts",
    "/accounts/1",
    "/accounts/2",
    "/outbox",
    "/audit",
    "/status",
    "/settings/tokens",
    "/settings/users",
]
OF_A_USER = [
    "/settings/profile",
    "/settings/security",
    "/settings/security/second-factor",
    "/settings/users",
    "/settings/users/invite",
    "/settings/users/2",
]
OPEN_TO_ALL = ["/login", "/setup?token=none", "/join/none", "/reset/none", "/u/broken"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running([APP], tmp_path_factory.mktemp("empty")) as [server]:
        yield server


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running([APP], tmp_path_factory.mktemp("filled")) as [server]:
        _fill(server)
        yield server


def test_an_empty_installation_looks_right(
    empty: Server, new_person: Callable[..., Person]
) -> None:
    person = new_person(empty, storage=_session_at(empty, new_person))

    assert _faults(person, EMPTY, "empty") == []


@pytest.mark.parametrize("part", [0, 1])
def test_a_filled_installation_looks_right(
    filled: Server, new_person: Callable[..., Person], part: int
) -> None:
    person = new_person(filled, storage=_session_at(filled, new_person))

    assert _faults(person, [*FILLED, _newest_mail(filled)][part::2], "filled") == []


def test_the_dialog_and_an_open_menu_look_right(
    filled: Server, new_person: Callable[..., Person]
) -> None:
    person = new_person(filled, storage=_session_at(filled, new_person))
    page = person.page
    person.opens("/automation")

    person.button(re.compile("^More for")).first.click()
    expect(page.get_by_role("link", name="Run now…")).to_be_visible()
    assert _faults_in_every_look(person, "menu") == []
    page.keyboard.press("Escape")
    person.button("Schedule Campaign").click()
    expect(page.locator("[data-check-answer]")).to_be_visible()
    assert _faults_in_every_look(person, "dialog", whole=False) == []
    page.keyboard.press("Escape")
    expect(person.button("Schedule Campaign")).to_be_focused()


def test_pages_for_who_is_not_signed_in_look_right(
    filled: Server, new_person: Callable[..., Person]
) -> None:
    person = new_person(filled, signed_in=False)

    mail = filled.get(f"/api{_newest_mail(filled)}")
    link = re.search(r"http\S+(/u/[\w.-]+)", dict(mail["headers"])["List-Unsubscribe"])
    assert link is not None
    assert _faults(person, [*OPEN_TO_ALL, link[1]], "open") == []


def test_pages_for_who_is_a_user_look_right(
    server: Server, new_person: Callable[..., Person]
) -> None:
    user = {"email": "anna@example.com", "password": "a quite long password", "role": "admin"}
    server.post("/api/users", user)
    server.post("/api/users", user | {"email": "ben@example.com"})
    link = server.post("/api/invitations", {"email": "eve@example.com"})["link"]
    person = new_person(server, signed_in=False)
    person.opens("/login")
    person.page.get_by_label("E-mail").fill(user["email"])
    person.page.get_by_label("Password", exact=True).fill(user["password"])
    person.button("Sign in").click()
    expect(person.page).to_have_url(server.url + "/automation")

    assert _faults(person, [*OF_A_USER, urlsplit(link).path], "user") == []


def _faults(person: Person, paths: list[str], name: str) -> list[str]:
    """Open each page; return what axe-core finds on it in any look, and whether it scrolls sideways."""
    faults: list[str] = []
    for path in paths:
        person.opens(path)
        person.page.wait_for_load_state("load")
        slug = re.sub(r"[^a-z0-9]+", "-", path.strip("/"))
        faults += [f"{path}: {fault}" for fault in _faults_in_every_look(person, f"{name}-{slug}")]
    # A page for what is not there is a 404 in the console too.
    person.complaints = [c for c in person.complaints if "status of 404" not in c]
    return faults


def _faults_in_every_look(person: Person, name: str, *, whole: bool = True) -> list[str]:
    """Look at the page that is open in both themes, wide and narrow, and at 320 pixels, a zoom of 400 per cent."""
    faults: list[str] = []
    for theme, width in LOOKS:
        person.looks_at_it(theme=theme, width=width)
        look = f"{theme} {width}"
        faults += [f"{look}: {v['rule']} at {where}" for v in person.axe() for where in v["where"]]
        if person.scrolls_sideways():
            faults.append(f"{look}: scrolls sideways")
        if PICTURES:
            person.page.screenshot(
                path=Path(PICTURES) / f"{name}-{theme}-{width}.png", full_page=whole
            )
    person.looks_at_it(theme="light", width=320)
    if person.scrolls_sideways():
        faults.append("320: scrolls sideways")
    person.looks_at_it(theme="light", width=1280)
    return faults


_sessions: dict[str, object] = {}


def _session_at(server: Server, new_person: Callable[..., Person]) -> object:
    """Return what a browser that has got in keeps: the link works once."""
    if server.url not in _sessions:
        _sessions[server.url] = new_person(server).page.context.storage_state()
    return _sessions[server.url]


def _newest_mail(server: Server) -> str:
    return f"/outbox/{server.get('/api/outbox?limit=1')['items'][0]['id']}"


def _fill(server: Server) -> None:
    campaign = a_campaign(server, recipients=60)
    schedule = a_schedule(server, campaign, timezone="Europe/Berlin")
    server.post(
        "/api/accounts",
        {
            "name": "Main SMTP",
            "host": "127.0.0.1",
            "port": 1,
            "from_email": "news@example.com",
            "limit_per_hour": 100,
        },
    )
    server.post("/api/suppressions", {"email": "person3@example.com"})
    server.post(f"/api/schedules/{schedule}/run-now", {})
    paused = a_schedule(server, a_campaign(server, name="Product news", recipients=3))
    server.post(f"/api/schedules/{paused}/pause", {"note": "waits for the new prices"})
    server.post("/api/tokens", {"name": "deploy", "role": "editor"})
    wait_until(lambda: finished_run(server, schedule), "a run has ended")
    put_in_doubt(server, 1, "person0@example.com", "person5@example.com")
