"""What a person needs to get in at the first start: the address, and the link that works once."""

import os
import socket
import stat

import click

from assembly import Sendonce
from identity import first_link
from storage.aliveness import boot_id, process_lives

_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
_FIRST_FILE, _LAST_FILE = 3, 256
"""Where a server that started us has its listening socket: the first files that it opened."""


def link(house: Sendonce, url: str) -> str | None:
    """Make the link that lets its reader in as admin, once; None where there is a user, who can sign in."""
    with house.database.write(durable=True) as tx:
        secret = first_link.make(
            tx, boot_id=boot_id(), pid=os.getpid(), alive=process_lives, now=house.clock.now()
        )
    return None if secret is None else f"{url}/setup?token={secret}"


def url_of(listening: socket.socket) -> str:
    """Return what a browser on this machine opens."""
    host, port = listening.getsockname()[:2]
    return _url(str(host), int(port))


def url_of_this_process() -> str | None:
    """Return what a browser opens where another program serves us: one that listens already, or flask's command.

    None where that can't be told. Asked before anything of ours listens.
    """
    for number in range(_FIRST_FILE, _LAST_FILE):
        if (found := _listening(number)) is not None:
            return found
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "run" or not context.params.get("port"):
        return None
    return _url(str(context.params.get("host") or "127.0.0.1"), int(context.params["port"]))


def _listening(number: int) -> str | None:
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return None
        with socket.socket(fileno=os.dup(number)) as candidate:
            inet = candidate.family in (socket.AF_INET, socket.AF_INET6)
            if inet and candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return url_of(candidate)
    except OSError:
        return None
    return None


def _url(host: str, port: int) -> str:
    host = _ANYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
