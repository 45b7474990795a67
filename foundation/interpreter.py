"""How Python itself is set, in a process that runs for long: its garbage collector, and how threads take turns."""

import gc
import sys

_ALLOCATIONS = 10_000
_TURN_SECONDS = 0.0005


def spare_what_is_here() -> None:
    """Let no later collection look at the objects that there are now: call it once, when everything is loaded.

    Hundreds of thousands of them (code, routes, statements) stay to the end, and looking at them again and again took a
    seventh of the time that sending takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)


def take_short_turns() -> None:
    """Let a thread that has something to do wait half a millisecond for another one at most, rather than five.

    An answer of a mail server that comes while a page is made would lie there for half the time that the network takes.
    """
    sys.setswitchinterval(_TURN_SECONDS)
