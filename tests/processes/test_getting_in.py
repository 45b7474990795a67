"""The first start: every way to run prints a link that lets one browser in, once."""

import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.processes.servers import APP, FLASK, GUNICORN, Server, running, wait_until

pytestmark = pytest.mark.processes

_LINK = re.compile(r"^(http://127\.0\.0\.1:\d+)/setup\?token=\S+$", re.MULTILINE)


@pytest.mark.parametrize("command", [APP, GUNICORN, FLASK], ids=["app", "gunicorn", "flask"])
def test_the_link_of_every_way_to_run_works_once_and_the_session_everywhere(
    tmp_path: Path, command: Sequence[str]
) -> None:
    with running([command, APP], tmp_path) as [server, other]:
        link = wait_until(lambda: _LINK.search(server.text), "the link is printed")
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

        with browser.open(link[0], timeout=10) as page:
            assert page.geturl() == f"{link[1]}/automation"
        with browser.open(f"{other.url}/runs", timeout=10) as page:
            assert b"Nothing has run yet." in page.read()

        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.build_opener().open(link[0], timeout=10)
        assert link[1] == server.url


def test_where_there_is_a_user_no_link_is_printed_and_an_older_one_is_worth_nothing(
    tmp_path: Path,
) -> None:
    with running([APP], tmp_path) as [server]:
        link = _LINK.search(server.text)
        assert link is not None
        _make_a_user(server)

        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.build_opener().open(link[0], timeout=10)
        with running([APP], tmp_path) as [later]:
            assert _LINK.search(later.text) is None
            assert f"Open {later.url}" in later.text


def _make_a_user(server: Server) -> None:
    user = {"email": "anna@example.com", "password": "a long password", "role": "admin"}
    server.post("/api/users", user)
