"""Somebody with a browser: opens pages, clicks, types; whatever the console complains about fails the test."""

import importlib.resources
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from playwright.sync_api import Browser, Page, expect

from tests.processes.servers import Server

_AXE = (importlib.resources.files("axe_playwright_python") / "axe.min.js").read_text()
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_LINK = re.compile(r"http://127\.0\.0\.1:\d+/setup\?token=\S+")
PATIENCE_MILLISECONDS = 15_000

expect.set_options(timeout=PATIENCE_MILLISECONDS)


class Person:
    """One browser context with one page open."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page = page
        self.server = server
        self.complaints: list[str] = []
        self.listen_to(page)

    def listen_to(self, page: Page) -> None:
        """Note what the console of a page complains about."""
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        page.on(
            "console",
            lambda m: (
                self.complaints.append(f"{m.text} {m.location.get('url', '')}")
                if m.type in ("error", "warning")
                else None
            ),
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def opens(self, path: str) -> None:
        # Never "networkidle": the event stream keeps the network busy.
        self.page.goto(self.server.url + path, wait_until="domcontentloaded")

    def gets_in(self) -> None:
        """Open the link that the terminal printed."""
        found = _LINK.findall(self.server.text)
        assert found, self.server.text
        self.page.goto(found[-1], wait_until="domcontentloaded")
        expect(self.page).to_have_url(self.server.url + "/automation")

    def another_tab(self, path: str) -> Page:
        page = self.page.context.new_page()
        self.listen_to(page)
        page.goto(self.server.url + path, wait_until="domcontentloaded")
        return page

    def button(self, name: str | re.Pattern[str]) -> Any:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    def expects_complaint(self, part: str) -> None:
        """Take back a complaint that the test has caused: a refused form is a 422 in the console too."""
        found = [c for c in self.complaints if part in c]
        assert found, self.complaints
        self.complaints.remove(found[0])

    def looks_at_it(self, *, theme: Literal["light", "dark"], width: int) -> None:
        """See the page that is open as on another screen; nothing of it is loaded again."""
        self.page.emulate_media(color_scheme=theme)
        self.page.set_viewport_size({"width": width, "height": 800 if width > 640 else 640})

    def axe(self) -> Sequence[dict[str, Any]]:
        """Return what axe-core finds on the page as it stands."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(_AXE)
        # Not in frames: what a mail looks like is its author's, and no script may speak with its frame.
        result = self.page.evaluate(
            "async (rules) => (await axe.run(document, {runOnly: rules, iframes: false})).violations",
            _RULES,
        )
        return [
            {"rule": v["id"], "where": [n["html"][:200] for n in v["nodes"]], "says": v["help"]}
            for v in result
        ]

    def scrolls_sideways(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))


@contextmanager
def person_at(
    browser: Browser,
    server: Server,
    *,
    theme: Literal["light", "dark"] = "light",
    width: int = 1280,
    zone: str = "Europe/Berlin",
    signed_in: bool = True,
    storage: Any = None,
    script: bool = True,
) -> Iterator[Person]:
    """Give a person who has got in; at the end, no complaint may be left."""
    context = browser.new_context(
        viewport={"width": width, "height": 800 if width > 640 else 640},
        color_scheme=theme,
        reduced_motion="reduce",
        locale="en-GB",
        timezone_id=zone,
        storage_state=storage,
        java_script_enabled=script,
    )
    try:
        person = Person(context.new_page(), server)
        if signed_in and storage is None:
            person.gets_in()
        yield person
        assert person.complaints == [], person.complaints
    finally:
        context.close()
