"""A real browser on real server processes. Debian's chromium, driven by Playwright."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser.person import Person, person_at
from tests.conftest import BROWSER
from tests.processes.servers import APP, Server, running

_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Not for the whole session: while Playwright runs, this thread has a running event loop, which other tests can't have.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, headless=True, args=_ARGUMENTS
        )
        yield browser
        browser.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """One server on an empty data directory."""
    with running([APP], tmp_path) as [server]:
        yield server


@pytest.fixture
def new_person(browser: Browser) -> Iterator[Callable[..., Person]]:
    """Make people with a browser each. At the end each of them must have met no error in the console."""
    with ExitStack() as stack:
        yield lambda server, **looks: stack.enter_context(person_at(browser, server, **looks))
