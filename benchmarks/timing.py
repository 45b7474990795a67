"""How long a call takes, and the yardstick: a fixed piece of work by which machines and their busy minutes compare."""

import hashlib
import json
import re
import time
from collections.abc import Callable

_TEXT = "The terrace stays open until sunset; Zoë brings the crème brûlée. " * 40
_DATA = _TEXT.encode()
_WORD = re.compile(r"\w+")


def best_us(call: Callable[[], object], *, calls: int, rounds: int) -> float:
    """Return the microseconds of one call: the mean of the best round, in which nothing else wanted the processor."""
    return min(_round(call, calls) for _ in range(rounds)) / calls * 1e6


def _round(call: Callable[[], object], calls: int) -> float:
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - begun


def yardstick_us() -> float:
    """Return the microseconds that this machine takes just now for the fixed piece of work."""
    return best_us(_fixed_work, calls=20, rounds=10)


def _fixed_work() -> object:
    """Do what sending is made of, without a line of ours: words, dictionaries, small objects, JSON, bytes, a hash."""
    counted: dict[str, int] = {}
    for word in _WORD.findall(_TEXT):
        counted[word] = counted.get(word, 0) + len(word)
    pairs = [(word.upper(), number) for word, number in sorted(counted.items())]
    encoded = json.dumps(dict(pairs))
    return json.loads(encoded), _DATA.replace(b" ", b"\r\n"), hashlib.sha256(_DATA).digest()
