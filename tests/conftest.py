"""What holds for all tests: sockets only to this machine, and no test that is left out silently."""

import os
import shutil
import socket
from collections.abc import Iterator
from typing import Any

import pytest

POSTFIX = shutil.which("postfix", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
MAY_RUN_POSTFIX = POSTFIX is not None and os.geteuid() == 0
HOW = "as root: apt-get install -y --no-install-recommends postfix"
NO_POSTFIX = "no Postfix"


def pytest_configure(config: pytest.Config) -> None:
    if not MAY_RUN_POSTFIX and os.environ.get("REQUIRE_POSTFIX"):
        raise pytest.UsageError(f"no Postfix that could be run, and REQUIRE_POSTFIX is set. {HOW}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not MAY_RUN_POSTFIX and item.get_closest_marker("postfix"):
            item.add_marker(pytest.mark.skip(reason=NO_POSTFIX))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_POSTFIX in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section("POSTFIX TESTS NOT RUN", sep="!", red=True, bold=True)
        terminalreporter.line(f"{count} tests need Postfix. To run them, {HOW}", red=True)


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
