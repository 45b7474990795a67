"""A run's recipients as a sum that adds up, made ready for drawing."""

from dataclasses import dataclass

from delivery.model import Counts

WIDTH = 1000
_SHORTEST = 4
_GAP = 2

_PARTS = (
    ("sent", "sent", "Sent"),
    ("failed", "failed", "Failed"),
    ("skipped", "skipped", "Skipped"),
    ("in_doubt", "in doubt", "In doubt"),
    ("sending", "sending", "Sending"),
    ("queued", "queued", "Queued"),
)
_ONLY_WHERE_THERE_ARE = ("sending",)
_WHILE_UNFINISHED = ("queued",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One summand. x and width are where it stands in the bar, of 1000; what is queued is the empty track."""

    status: str
    word: str
    label: str
    count: int
    x: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """recipients = the sum of parts; settled is the share in per cent that is neither queued nor sending."""

    recipients: int
    parts: tuple[Part, ...]
    adds_up: bool
    percent: int


def tally(counts: Counts, *, finished: bool) -> Tally:
    """Return the sum of a run. Once it has finished nothing can be queued, so that is left out."""
    parts: list[Part] = []
    x = 0
    for status, word, label in _PARTS:
        count: int = getattr(counts, status)
        if not count and (
            status in _ONLY_WHERE_THERE_ARE or (finished and status in _WHILE_UNFINISHED)
        ):
            continue
        width = _width(count, counts.recipients) if status != "queued" else 0
        part = Part(status=status, word=word, label=label, count=count, x=x, width=width)
        parts.append(part)
        x += width + _GAP if width else 0
    settled = counts.recipients - counts.queued - counts.sending
    return Tally(
        recipients=counts.recipients,
        parts=tuple(parts),
        adds_up=counts.recipients == sum(part.count for part in parts),
        percent=100 * settled // counts.recipients if counts.recipients else 100,
    )


def _width(count: int, recipients: int) -> int:
    """Return how wide a part is drawn: what is there is seen, however little of many it is."""
    if not count:
        return 0
    room = WIDTH - (len(_PARTS) - 1) * (_SHORTEST + _GAP)
    return max(_SHORTEST, room * count // recipients)
