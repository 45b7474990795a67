"""What Python's collector of cyclic garbage looks at, in a process that runs for long."""

import gc

_ALLOCATIONS = 10_000


def spare_what_is_here() -> None:
    """Let no later collection look at the objects that there are now: call it once, when everything is loaded.

    Hundreds of thousands of them (code, routes, statements) stay to the end, and looking at them again and again took a
    seventh of the time that sending takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
