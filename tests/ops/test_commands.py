"""What a person types, and what comes back: on standard output, on standard error, as status."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app import cli
from foundation.clock import SystemClock
from identity import tokens, users
from identity.passwords import verify
from identity.tables import users as users_table
from storage.database import Database

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command on a data directory of the test's own."""
    monkeypatch.setenv("SENDONCE_SECRET_KEY", "a secret key for tests")

    def run(*arguments: str, stdin: str | None = None) -> Result:
        ended = CliRunner().invoke(
            cli, [*arguments, "--data-dir", str(tmp_path / "data")], input=stdin
        )
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return ended

    return run


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "data" / "sendonce.db")


def test_a_new_token_is_alone_on_standard_output_and_works(run: Run, database: Database) -> None:
    made = run("token", "create", "deploy", "--role", "editor")

    assert made.exit_code == 0
    assert made.stdout.count("\n") == 1
    with database.read() as tx:
        principal = tokens.authenticate(tx, made.stdout.strip(), SystemClock().now())
    database.close()
    assert principal is not None
    assert principal.role == "editor"


def test_a_token_is_an_admin_s_and_does_not_expire_unless_said(run: Run) -> None:
    run("token", "create", "me")

    listed = run("token", "list").stdout.splitlines()

    assert listed[-1].split()[:3] == ["1", "me", "admin"]
    assert len(listed[-1].split()) == 5


def test_a_token_may_expire(run: Run, database: Database) -> None:
    run("token", "create", "guest", "--expires-days", "7")

    with database.read() as tx:
        [token] = tokens.list_(tx)
    database.close()
    assert token.expires_at is not None
    assert (token.expires_at - token.created_at).days == 7


def test_a_revoked_token_works_no_more(run: Run, database: Database) -> None:
    secret = run("token", "create", "me").stdout.strip()

    assert run("token", "revoke", "me").exit_code == 0

    with database.read() as tx:
        assert tokens.authenticate(tx, secret, SystemClock().now()) is None
    database.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["token", "revoke", "nobody"], 'There is no token "nobody"'),
        (["token", "create", " "], "name: must not be empty"),
        (["user", "disable", "nobody@example.com"], "There is no user nobody@example.com"),
        (["user", "disable", "nobody"], "email: "),
        (["import-recipients", "Nobody", "missing.csv"], "There is no file missing.csv"),
        (["import-schedules", "missing.json"], "missing.json can't be read"),
    ],
)
def test_a_mistake_ends_with_a_sentence_and_status_1(
    run: Run, arguments: list[str], sentence: str
) -> None:
    run("token", "create", "me")

    ended = run(*arguments)

    assert ended.exit_code == 1
    assert ended.stderr.startswith(sentence)
    assert ended.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "list"],
        ["token", "revoke", "me"],
        ["user", "list"],
        ["user", "disable", "ann@example.com"],
        ["user", "reset-password", "ann@example.com"],
        ["import-recipients", "Readers", "people.csv"],
    ],
)
def test_a_data_directory_that_is_mistyped_is_told_and_not_made(
    run: Run, tmp_path: Path, arguments: list[str]
) -> None:
    ended = run(*arguments)

    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"There is no Sendonce in {tmp_path / 'data'}. Check --data-dir")
    assert not (tmp_path / "data").exists()


def test_a_user_s_password_is_read_from_standard_input(run: Run, database: Database) -> None:
    made = run("user", "create", "Ann@example.com", stdin="a long enough one\n")

    assert made.exit_code == 0
    assert "a long enough one" not in made.output
    assert _password_is(database, "a long enough one")


def test_a_user_s_password_can_be_reset(run: Run, database: Database) -> None:
    run("user", "create", "ann@example.com", stdin="a long enough one\n")

    assert (
        run("user", "reset-password", "ANN@example.com", stdin="quite another\r\n").exit_code == 0
    )

    assert _password_is(database, "quite another")


def test_a_password_that_is_too_short_makes_no_user(run: Run, database: Database) -> None:
    made = run("user", "create", "ann@example.com", stdin="short\n")

    assert made.exit_code == 1
    assert made.stderr.startswith("password: is too short")
    with database.read() as tx:
        assert not users.any_user(tx)
    database.close()


def test_users_are_listed_the_disabled_ones_too(run: Run) -> None:
    run("user", "create", "first@example.com", stdin="a long enough one\n")
    run("user", "create", "ann@example.com", "--role", "viewer", stdin="a long enough one\n")
    run("user", "disable", "ann@example.com")

    [*_, ann] = run("user", "list").stdout.splitlines()

    assert ann.split()[1:3] == ["ann@example.com", "viewer"]
    assert ann.split()[-1] == "disabled"


def test_a_second_factor_that_is_lost_is_switched_off(run: Run, database: Database) -> None:
    run("user", "create", "ann@example.com", stdin="a long enough one\n")
    with database.write(durable=False) as tx:
        tx.exec_driver_sql("UPDATE users SET totp_sealed = 'x', totp_step = 1")

    off = run("user", "reset-second-factor", "ANN@example.com")
    again = run("user", "reset-second-factor", "ann@example.com")
    nobody = run("user", "reset-second-factor", "bob@example.com")

    assert (off.exit_code, again.exit_code, nobody.exit_code) == (0, 1, 1)
    assert "off already" in again.stderr
    assert "There is no user bob@example.com" in nobody.stderr
    with database.read() as tx:
        assert [user.second_factor for user in users.list_(tx)] == [False]
    database.close()


def test_schedules_of_an_older_tool_are_taken_over(run: Run, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    entry = {"id": 7, "campaign_id": 3, "schedule_time": "2030-01-05T09:00:00"}
    old.write_text(json.dumps([entry | {"schedule_type": "daily", "enabled": True}]))

    ended = run("import-schedules", str(old), "--timezone", "Europe/Berlin")

    assert ended.exit_code == 0
    assert "1 schedules taken over, 0 were there already, 0 rejected." in ended.stdout
    assert "schedule 1 is disabled: there is no campaign 3." in ended.stdout
    [kept] = json.loads((tmp_path / "data" / "scheduled_campaigns.json").read_text())
    assert (kept["id"], kept["enabled"], kept["timezone"]) == (1, False, "Europe/Berlin")


def test_an_entry_that_can_t_be_taken_over_is_named_and_makes_the_status_1(
    run: Run, tmp_path: Path
) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps([{"id": 7, "campaign_id": "three"}]))

    ended = run("import-schedules", str(old))

    assert ended.exit_code == 1
    assert "entry 0 (id 7) rejected: " in ended.stdout
    assert "campaign_id" in ended.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["token", "--help"]])
def test_help_is_there_and_touches_nothing(arguments: list[str], tmp_path: Path) -> None:
    assert CliRunner().invoke(cli, arguments).exit_code == 0


def test_a_setting_that_is_unknown_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENDONCE_BUFFER", "3")

    ended = run("token", "list")

    assert ended.exit_code == 1
    assert ended.stderr.startswith("SENDONCE_BUFFER: is not a setting")


def _password_is(database: Database, password: str) -> bool:
    with database.read() as tx:
        kept = tx.execute(users_table.select()).one().password_hash
    database.close()
    return verify(kept, password)
