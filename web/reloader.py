"""Flask's reloader, whose parent process gives the one that serves the time that a stop may take."""

import subprocess
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from werkzeug import _reloader

_PATIENCE_SECONDS = 10
"""As long as a stop may take."""


def stop_patiently() -> None:
    """Let this process, the reloader's parent, wait for the process that serves when it is told to stop.

    Werkzeug's own kills it on SIGTERM at once and on Ctrl-C after a quarter of a second: whatever was on its way then
    would be in doubt, although the mail server was about to answer.
    """
    # Its loop is a private method; this is all that it uses of the module.
    _reloader.subprocess = SimpleNamespace(call=_call)  # type: ignore[attr-defined,assignment]


def _call(command: Sequence[str], **options: Any) -> int:
    """Do what subprocess.call does, but for a stop: the child is told, and killed only when it does not end."""
    with subprocess.Popen(command, **options) as child:  # noqa: S603 - our own command, once more
        try:
            return child.wait()
        except SystemExit:
            # The SIGTERM has come to us alone.
            child.terminate()
            _wait_for_end(child)
            raise
        except KeyboardInterrupt:
            # Ctrl-C reaches all processes of the terminal. A second signal would cut the child's stop short.
            _wait_for_end(child)
            raise


def _wait_for_end(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(timeout=_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
