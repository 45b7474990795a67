"""Migrations: at every start, on the tables that the rooms describe."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

import assembly  # noqa: F401 - brings every table
from accounts.tables import accounts
from foundation.errors import Unavailable
from storage.database import Database
from storage.metadata import metadata
from storage.migrate import _config, migrate

_AN_ACCOUNT = text(
    "INSERT INTO accounts (version, name, kind, host, port, security, from_email, max_connections, state, created_at)"
    " VALUES (1, 'Main', 'smtp', 'mail.example.com', 25, 'none', 'news@example.com', 4, 'ok', '2026-03-02 12:00:00')"
)


def test_the_migrations_make_what_the_rooms_describe(tmp_path: Path) -> None:
    database = Database(tmp_path / "sendonce.db")

    migrate(database)

    with database.read() as tx:
        context = MigrationContext.configure(tx, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "sendonce.db")
    migrate(database)
    with database.write(durable=True) as tx:
        tx.execute(text("INSERT INTO sequences (name, value) VALUES ('kept', 3)"))

    migrate(database)

    with database.read() as tx:
        assert tx.execute(text("SELECT value FROM sequences")).scalar_one() == 3


def test_accounts_from_before_pipelining_could_be_switched_off_have_it(tmp_path: Path) -> None:
    config, database = _config(), Database(tmp_path / "sendonce.db")
    with database.write(durable=True) as tx:
        config.attributes["connection"] = tx
        command.upgrade(config, "0004")
        tx.execute(_AN_ACCOUNT)

    migrate(database)

    with database.write(durable=True) as tx:
        tx.execute(_AN_ACCOUNT)  # as the program of the release before still writes it
        assert [r.pipelining for r in tx.execute(select(accounts.c.pipelining))] == [True, True]


def test_a_database_of_a_newer_program_is_refused_with_a_sentence(tmp_path: Path) -> None:
    database = Database(tmp_path / "sendonce.db")
    migrate(database)
    with database.write(durable=True) as tx:
        tx.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(Unavailable, match="another version of Sendonce"):
        migrate(database)


def test_each_migrations_file_is_named_for_what_it_holds() -> None:
    scripts = ScriptDirectory.from_config(_config())

    held = {script.revision: Path(script.path).name[:4] for script in scripts.walk_revisions()}

    assert held
    assert all(revision == name for revision, name in held.items())
    assert scripts.get_current_head() == max(held)
