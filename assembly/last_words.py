"""What a process does whose disk has failed it: leave a mark for the next start, say so, and end."""

import os
from collections.abc import Callable

from foundation.log import log_for
from storage.witness import Witness

log = log_for(__name__)


class LastWords:
    """Called by the database after an I/O error; does not return.

    A second fsync may report success for pages that are lost, so nothing that this process could still do would be
    worth anything. The witness is known only after the database: until then there is nothing to leave a mark in.
    """

    def __init__(self, end_process: Callable[[int], None]) -> None:
        self._end_process = end_process
        self.witness: Witness | None = None

    def say(self, sentence: str) -> None:
        """End the process; the next start believes nothing that this boot has only leased."""
        if self.witness is not None:
            self.witness.note_hurt()
        log.critical("the disk has failed, this process ends", reason=sentence)
        self._end_process(os.EX_IOERR)
