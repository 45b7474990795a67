"""What holds for all tests: sockets only to this machine, and no test that is left out silently."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import structlog
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from identity import passwords

POSTFIX = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MAY_RUN_POSTFIX = POSTFIX is not None and os.geteuid() == 0
BROWSER = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


# The default draws every local variable of every frame: seconds for each error that a test provokes.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


@dataclass(frozen=True)
class Needed:
    """A program that some tests need: they are skipped where it is not, loudly, or not at all."""

    marker: str
    what: str
    is_there: bool
    required: str
    how: str


NEEDED = (
    Needed(
        marker="postfix",
        what="Postfix",
        is_there=MAY_RUN_POSTFIX,
        required="REQUIRE_POSTFIX",
        how="as root: apt-get install -y --no-install-recommends postfix",
    ),
    Needed(
        marker="browser",
        what="Chromium",
        is_there=BROWSER is not None,
        required="REQUIRE_BROWSER",
        how=(
            "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
            " (or set CHROMIUM=/path/to/chromium)"
        ),
    ),
)


def pytest_configure(config: pytest.Config) -> None:
    for needed in NEEDED:
        if not needed.is_there and os.environ.get(needed.required):
            raise pytest.UsageError(
                f"no {needed.what} that could be run, and {needed.required} is set. {needed.how}"
            )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for needed in NEEDED:
        for item in items:
            if not needed.is_there and item.get_closest_marker(needed.marker):
                item.add_marker(pytest.mark.skip(reason=f"no {needed.what}"))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    for needed in NEEDED:
        count = sum(f"no {needed.what}" in str(report.longrepr) for report in skipped)
        if count:
            title = f"{needed.marker.upper()} TESTS NOT RUN"
            terminalreporter.section(title, sep="!", red=True, bold=True)
            terminalreporter.line(
                f"{count} tests need {needed.what}. To run them, {needed.how}", red=True
            )


@pytest.fixture(autouse=True, scope="session")
def _cheap_passwords() -> Iterator[None]:
    """Let passwords be hashed fast: what a guess costs is no matter of these tests, and hundreds of them sign in."""
    with pytest.MonkeyPatch.context() as patch:
        cheap = PasswordHasher.from_parameters(CHEAPEST)
        patch.setattr(passwords, "_hasher", cheap)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Refuse every connection that would leave this machine."""
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and not _is_here(str(address[0])):
            raise AssertionError(f"a test wants to connect to {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect_here)
        yield


def _is_here(host: str) -> bool:
    return host.startswith("127.") or host in ("::1", "localhost")
