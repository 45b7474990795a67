"""Long work that a request has begun: one piece at a time, in a thread of its own."""

import threading
from collections.abc import Callable

from foundation.log import log_for

log = log_for(__name__)


class Background:
    """Runs what it is given, one after the other.

    Its threads end with the process, in the middle of a piece if need be: what is left then looks as after a crash,
    and is settled by the same code.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def run(self, name: str, work: Callable[[], object]) -> None:
        """Begin the work as soon as its turn comes; an error is logged."""
        threading.Thread(target=self._run, args=(name, work), name=name, daemon=True).start()

    def _run(self, name: str, work: Callable[[], object]) -> None:
        with self._turn:
            try:
                work()
            except Exception:
                log.exception("background work failed", work=name)
