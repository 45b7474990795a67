"""The server that chaos kills: a process of its own, as a person would start it."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from foundation.errors import Unavailable

_ENDS_WITHIN = timedelta(seconds=15)
_TAIL_BYTES = 4096


class VictimServer:
    """One server after the other, each started by the same command; what they say goes to a log.

    settings are all that is set for Sendonce: nothing of the user's reaches the server.
    """

    def __init__(self, command: Sequence[str], settings: Mapping[str, str], *, log: Path) -> None:
        self._command = command
        self._settings = settings
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it, and return its process id."""
        outside = {k: v for k, v in os.environ.items() if not k.startswith("SENDONCE_")}
        with self._log.open("ab") as log:
            # In our process group: where the terminal ends, no server is left behind.
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                env=outside | dict(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self._process.pid

    def look(self) -> None:
        """Raise Unavailable, with the last that it said, where it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise Unavailable(
                f"The server has ended by itself, with status {self._process.returncode}, before anybody killed it."
                f" The last it said: {self.last_words()}"
            )

    def kill(self) -> None:
        """Kill it as kill -9 does; it is gone when this returns. One that is gone already stays so."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Let it end as it should; what does not end in time is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_ENDS_WITHIN.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def last_words(self) -> str:
        """Return the last line of the log."""
        try:
            said = self._log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").split("\n")
        except OSError:
            return "nothing"
        return next((line.strip() for line in reversed(said) if line.strip()), "nothing")
