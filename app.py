"""Sendonce's only entry: create_app() for WSGI servers, and the command line."""

import os
from collections.abc import Mapping
from typing import Any

import click
from flask import Flask

from assembly import Sendonce, assemble
from foundation.errors import SendonceError
from foundation.log import set_up_logging
from foundation.settings import Settings
from web.server import build_flask


def create_app() -> Flask:
    """Return the WSGI application, its scheduler running: gunicorn 'app:create_app()', flask --app app run.

    Settings come from the environment. Of several processes on one data directory one leads, the others serve and
    stand by.
    """
    settings = Settings.load(os.environ)
    set_up_logging(settings.log_format)
    sendonce = assemble(settings)
    if not _is_reloader_parent():
        sendonce.start()
    return build_flask(sendonce)


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


class _ServeByDefault(click.Group):
    """With no command it serves; `app.py --port 8026` is `app.py serve --port 8026`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_ServeByDefault)
def cli() -> None:
    """Sendonce: e-mail campaigns, each slot once, each recipient once."""


def open_house(**flags: object) -> Sendonce:
    """Make the product with the environment's settings and a command's flags, its logs set up; nothing runs yet."""
    settings = Settings.load(os.environ, flags)
    set_up_logging(settings.log_format)
    return assemble(settings)
