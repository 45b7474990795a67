import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from app import cli
from identity import audit
from identity.audit import Entry
from storage.database import Database
from storage.sealed import SecretKey

KEY = "a secret key for tests"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setenv("SENDONCE_SECRET_KEY", KEY)

    def run(*arguments: str, stdin: str | None = None) -> None:
        ended = CliRunner().invoke(
            cli, [*arguments, "--data-dir", str(tmp_path / "data")], input=stdin
        )
        assert ended.exit_code == 0, ended.output

    return run


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Callable[[], list[Entry]]]:
    databases: list[Database] = []

    def read() -> list[Entry]:
        databases.append(Database(tmp_path / "data" / "sendonce.db"))
        with databases[-1].read() as tx:
            assert audit.first_fault(tx, SecretKey(KEY.encode())) is None
            return audit.entries(tx, limit=50)[::-1]

    yield read
    for database in databases:
        database.close()


def test_what_commands_do_to_users_and_tokens_is_noted_without_a_secret(
    run: Callable[..., None], log: Callable[[], list[Entry]]
) -> None:
    run("user", "create", "anna@example.com", stdin="a fine long password\n")
    run("user", "reset-password", "anna@example.com", stdin="another fine password\n")
    run("user", "disable", "anna@example.com")
    run("user", "disable", "anna@example.com")
    run("token", "create", "deploy", "--role", "editor")
    run("token", "revoke", "deploy")

    entries = log()

    assert [(e.deed.action, e.deed.object) for e in entries] == [
        ("create", "user:1"),
        ("change", "user:1"),
        ("change", "user:1"),
        ("create", "token:1"),
        ("revoke", "token:1"),
    ]
    assert {e.deed.actor for e in entries} == {"command line"}
    assert entries[0].deed.by.endswith(", on the command line")
    assert entries[1].deed.after == {"password": "changed"}
    assert "password\\n" not in repr(entries)
    assert "fine" not in repr(entries)


def test_schedules_that_are_taken_over_are_noted(
    run: Callable[..., None], log: Callable[[], list[Entry]], tmp_path: Path
) -> None:
    old = {
        "id": 1,
        "campaign_id": 7,
        "schedule_time": "2031-01-05T09:00:00",
        "schedule_type": "daily",
        "enabled": True,
    }
    (tmp_path / "old.json").write_text(json.dumps([old]))

    run("import-schedules", str(tmp_path / "old.json"))
    run("import-schedules", str(tmp_path / "old.json"))

    (entry,) = log()
    assert (entry.deed.action, entry.deed.object) == ("create", "schedule:1")
    assert entry.deed.actor == "command line"
    assert entry.deed.after["schedule_time"] == "2031-01-05T09:00:00"
