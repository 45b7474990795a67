"""Sendonce's only entry: create_app() for WSGI servers, and the command line."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import click
from flask import Flask

from assembly import Sendonce, assemble
from foundation.errors import Invalid, NotFound, SendonceError, Unavailable
from foundation.interpreter import spare_what_is_here, take_short_turns
from foundation.log import log_for, set_up_logging
from foundation.settings import Settings
from foundation.version import VERSION
from identity import second_factor, tokens, users
from identity.model import Role
from ops import deeds, first_start
from ops.backup import backup as make_backup
from ops.chaos import chaos as kill_while_sending
from ops.demo import demo as run_demo
from ops.doctor import examine
from ops.import_recipients import import_file
from ops.import_schedules import take_over_file
from ops.progress import table
from ops.proof import proof as print_and_check
from ops.restore import restore as restore_from
from ops.serve import serve as serve_until_stopped
from storage.replacement import refuse_unfinished
from web.reloader import stop_patiently
from web.server import build_flask

# gunicorn takes this status of a worker for "the application can't be loaded" and gives up, instead of trying for ever.
_CANNOT_START = 4

Command = TypeVar("Command", bound=Callable[..., object])


def create_app() -> Flask:
    """Return the WSGI application, its scheduler running: gunicorn 'app:create_app()', flask --app app run.

    Settings come from the environment. Of several processes on one data directory one leads, the others serve and
    stand by. Where it can't start it logs why, in a sentence, and ends the process.
    """
    try:
        settings = _settings()
        url = first_start.url_of_this_process()
        sendonce = assemble(replace(settings, public_url=settings.public_url or url))
        if _is_reloader_parent():
            stop_patiently()
        else:
            sendonce.start()
            link = first_start.link(sendonce, url or sendonce.public_url)
            if link is not None:
                # On a line of its own, for the person who started this.
                click.echo(link)
    except SendonceError as error:
        log_for(__name__).error("Sendonce can't start", reason=_sentence(error))
        raise SystemExit(_CANNOT_START) from None
    app = build_flask(sendonce)
    spare_what_is_here()
    take_short_turns()
    return app


def _is_reloader_parent() -> bool:
    """Whether this process only watches files for Flask's reloader: its child is the one that serves.

    The parent calls create_app() too, and would lead with old code.
    """
    if "FLASK_RUN_FROM_CLI" not in os.environ or "WERKZEUG_RUN_MAIN" in os.environ:
        return False
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run":
        return False
    reload = context.params.get("reload")
    return bool(os.environ.get("FLASK_DEBUG") == "1" if reload is None else reload)


class _Commands(click.Group):
    """With no command it serves; a mistake that has a sentence ends with that sentence and status 1."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # `app.py --port 8026` is `app.py serve --port 8026`.
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SendonceError as error:
            click.echo(_sentence(error), err=True)
            sys.exit(1)


def _sentence(error: SendonceError) -> str:
    if isinstance(error, Invalid):
        return "\n".join(f"{e.field}: {e.message}" for e in error.errors)
    return error.message


def _on_data_dir(command: Command) -> Command:
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        help="Where everything is kept. [default: SENDONCE_DATA_DIR, or data]",
    )(command)


def _with_role(command: Command) -> Command:
    return click.option(
        "--role",
        type=click.Choice([str(role) for role in Role]),
        default=str(Role.ADMIN),
        show_default=True,
    )(command)


@click.group(cls=_Commands)
@click.version_option(VERSION, prog_name="Sendonce", message="%(prog)s %(version)s")
def cli() -> None:
    """Sendonce sends e-mail campaigns on schedule: each slot once, each recipient once.

    With no command it serves.
    """


def _settings(data_dir: Path | None = None) -> Settings:
    # Logs come first, so that a setting that makes no sense is told like everything else.
    set_up_logging("console")
    settings = Settings.load(os.environ, {"data_dir": data_dir})
    set_up_logging(settings.log_format)
    return settings


@contextmanager
def _house(data_dir: Path | None) -> Iterator[Sendonce]:
    """Give the product over the data directory; nothing runs, so a server may run on it meanwhile."""
    house = assemble(_settings(data_dir))
    try:
        yield house
    finally:
        house.database.close()


@contextmanager
def _installation(data_dir: Path | None) -> Iterator[Sendonce]:
    """Give the product over a data directory that is there already: a mistyped one is not made."""
    folder = _settings(data_dir).data_dir
    refuse_unfinished(folder)
    try:
        is_there = (folder / "sendonce.db").exists()
    except OSError:
        is_there = True  # it can't be looked into: opening it says why
    if not is_there:
        raise Unavailable(
            f"There is no Sendonce in {folder}. Check --data-dir; the first start of the server,"
            " or `token create`, makes it."
        )
    with _house(data_dir) as house:
        yield house


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=8025, show_default=True, type=click.IntRange(0, 65535))
@_on_data_dir
def serve(host: str, port: int, data_dir: Path | None) -> None:
    """Serve the API and the scheduler. SIGTERM and Ctrl-C stop it cleanly."""
    serve_until_stopped(_settings(data_dir), host=host, port=port, build=build_flask)


@cli.command()
@click.option("--recipients", default=250, show_default=True, type=click.IntRange(1, 1_000_000))
@click.option("--exit", "leave", is_flag=True, help="End with 0 if everything adds up, else 1.")
@click.option("--port", default=8025, show_default=True, type=click.IntRange(0, 65535))
@click.option("--data-dir", hidden=True, expose_value=False, help="Not used: it has its own.")
def demo(recipients: int, leave: bool, port: int) -> None:
    """Send a campaign to invented recipients, with nothing configured, and prove that it adds up."""
    set_up_logging("console", level="WARNING")
    sys.exit(run_demo(recipients, port=port, leave=leave, build=build_flask))


@cli.command()
@click.option("--recipients", default=500, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--kills", default=10, show_default=True, type=click.IntRange(1, 1000))
@click.option("--seed", type=click.IntRange(0), help="The dice. [default: new ones]")
@click.option("--data-dir", hidden=True, expose_value=False, help="Not used: it has its own.")
def chaos(recipients: int, kills: int, seed: int | None) -> None:
    """Kill a server again and again while it sends, on this machine, and prove that nobody got two mails or none."""
    set_up_logging("console", level="WARNING")
    serve = [sys.executable, str(Path(__file__).resolve()), "serve", "--port", "0"]
    sys.exit(kill_while_sending(recipients, kills=kills, seed=seed, serve=serve))


@cli.command()
@_on_data_dir
def doctor(data_dir: Path | None) -> None:
    """Check the data directory, the clock, the time zones and every sender account."""
    sys.exit(examine(_settings(data_dir)))


@cli.command()
@click.argument("run_id", type=click.IntRange(min=1, max=2**63 - 1))
@_on_data_dir
def proof(run_id: int, data_dir: Path | None) -> None:
    """Print what became of everybody in a run, and check it against the ledger: 1 if it does not hold."""
    with _installation(data_dir) as house:
        sys.exit(print_and_check(house.database, run_id, clock=house.clock))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@_on_data_dir
def backup(file: Path, data_dir: Path | None) -> None:
    """Copy both stores and the key into FILE, while the server runs."""
    make_backup(_settings(data_dir), file.absolute())


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@_on_data_dir
def restore(file: Path, data_dir: Path | None) -> None:
    """Put a backup in the place of what the data directory holds. Nothing is sent by that."""
    restore_from(_settings(data_dir), file)


@cli.command("import-recipients")
@click.argument("audience")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would come of it.")
@_on_data_dir
def import_recipients(audience: str, file: Path, dry_run: bool, data_dir: Path | None) -> None:
    """Bring the people of a CSV file into AUDIENCE, which is an id or a name."""
    with _installation(data_dir) as house:
        import_file(house, audience, file, dry_run=dry_run)


@cli.command("import-schedules")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--timezone", default="UTC", show_default=True, help="The zone that its times are meant in."
)
@_on_data_dir
def import_schedules(file: Path, timezone: str, data_dir: Path | None) -> None:
    """Take over the schedules of an older tool's scheduled_campaigns.json."""
    with _house(data_dir) as house:
        take_over_file(house, file, timezone=timezone)


@cli.group()
def token() -> None:
    """API tokens."""


@token.command("create")
@click.argument("name")
@_with_role
@click.option("--expires-days", type=click.IntRange(1, 36_500), help="[default: never]")
@_on_data_dir
def create_token(name: str, role: str, expires_days: int | None, data_dir: Path | None) -> None:
    """Make a token and print it, alone, once."""
    with _house(data_dir) as house:
        now = house.clock.now()
        expires_at = now + timedelta(days=expires_days) if expires_days else None
        with house.database.write(durable=True) as tx:
            made, secret = tokens.create(tx, name, Role(role), now=now, expires_at=expires_at)
            deeds.note_token(house, tx, "create", made)
    click.echo(secret)


@token.command("list")
@_on_data_dir
def list_tokens(data_dir: Path | None) -> None:
    """List the tokens; their secrets are not kept."""
    with _installation(data_dir) as house, house.database.read() as tx:
        found = tokens.list_(tx)
    columns = ("id", "name", "role", "created", "last used", "expires", "revoked")
    table(
        columns,
        [
            (
                str(t.id),
                t.name,
                t.role,
                *map(_day, (t.created_at, t.last_used_at, t.expires_at, t.revoked_at)),
            )
            for t in found
        ],
    )


@token.command("revoke")
@click.argument("name")
@_on_data_dir
def revoke_token(name: str, data_dir: Path | None) -> None:
    """Make a token worthless, from the next call on. NAME may be an id."""
    with _installation(data_dir) as house, house.database.write(durable=True) as tx:
        for revoked in tokens.revoke(tx, name, now=house.clock.now()):
            deeds.note_token(house, tx, "revoke", revoked)
    click.echo(f'The token "{name}" is worth nothing any more.')


@cli.group()
def user() -> None:
    """Users."""


@user.command("create")
@click.argument("email")
@_with_role
@_on_data_dir
def create_user(email: str, role: str, data_dir: Path | None) -> None:
    """Make a user. Asks for the password, or reads it from standard input."""
    with _house(data_dir) as house:
        password = _password()
        with house.database.write(durable=True) as tx:
            made = users.create(tx, email, password, Role(role), house.clock.now())
            deeds.note_user(house, tx, "create", made, after={"email": made.email, "role": role})
    click.echo(f"{made.email} is {made.role}.")


@user.command("list")
@_on_data_dir
def list_users(data_dir: Path | None) -> None:
    """List the users."""
    with _installation(data_dir) as house, house.database.read() as tx:
        found = users.list_(tx)
    rows = [
        (
            str(u.id),
            u.email,
            u.role,
            "on" if u.second_factor else "",
            _day(u.created_at),
            "disabled" if u.disabled else "",
        )
        for u in found
    ]
    table(("id", "e-mail", "role", "second factor", "created", ""), rows)


@user.command("disable")
@click.argument("email")
@_on_data_dir
def disable_user(email: str, data_dir: Path | None) -> None:
    """Let a user sign in no more."""
    with _installation(data_dir) as house, house.database.write(durable=True) as tx:
        found = users.find(tx, email)
        users.disable(tx, email)
        if found is not None and not found.disabled:
            what = {"before": {"disabled": False}, "after": {"disabled": True}}
            deeds.note_user(house, tx, "change", found, **what)
    click.echo(f"{email} can't sign in any more.")


@user.command("reset-password")
@click.argument("email")
@_on_data_dir
def reset_password(email: str, data_dir: Path | None) -> None:
    """Give a user a new password. Asks for it, or reads it from standard input."""
    with _installation(data_dir) as house:
        password = _password()
        with house.database.write(durable=True) as tx:
            users.reset_password(tx, email, password)
            found = users.find(tx, email)
            if found is not None:
                deeds.note_user(house, tx, "change", found, after={"password": "changed"})
    click.echo(f"{email} has a new password; sessions that began before are over.")


@user.command("reset-second-factor")
@click.argument("email")
@_on_data_dir
def reset_second_factor(email: str, data_dir: Path | None) -> None:
    """Switch a user's second factor off, whose phone is lost: the password alone lets them in."""
    with _installation(data_dir) as house, house.database.write(durable=True) as tx:
        found = users.find(tx, email)
        if found is None:
            raise NotFound(f"There is no user {email}.")
        second_factor.switch_off(tx, found.id)
        deeds.note_user(house, tx, "take second factor away", found)
    click.echo(f"{email} signs in with the password alone; sessions that began before are over.")


def _password() -> str:
    if sys.stdin.isatty():
        asked: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return asked
    return sys.stdin.readline().rstrip("\r\n")


def _day(moment: Any) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


if __name__ == "__main__":
    cli()
