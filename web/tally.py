"""A run's recipients as a sum that adds up, made ready for drawing."""

from collections.abc import Mapping
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

    @property
    def left(self) -> str:
        return f"{self.x / 10}%"

    @property
    def wide(self) -> str:
        return f"{self.width / 10}%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """recipients = the sum of parts; settled is the share in per cent that is neither queued nor sending."""

    recipients: int
    parts: tuple[Part, ...]
    adds_up: bool
    percent: int


def tally(counts: Counts, *, finished: bool) -> Tally:
    """Return the sum of a run. Once it has finished nothing can be queued, so that is left out."""
    told = {status: getattr(counts, status) for status, _, _ in _PARTS}
    widths = _widths(told, counts.recipients)
    parts: list[Part] = []
    x = 0
    for status, word, label in _PARTS:
        count: int = told[status]
        if not count and (
            status in _ONLY_WHERE_THERE_ARE or (finished and status in _WHILE_UNFINISHED)
        ):
            continue
        width = widths.get(status, 0)
        parts.append(Part(status=status, word=word, label=label, count=count, x=x, width=width))
        x += width + _GAP if width else 0
    settled = counts.recipients - counts.queued - counts.sending
    return Tally(
        recipients=counts.recipients,
        parts=tuple(parts),
        adds_up=counts.recipients == sum(part.count for part in parts),
        percent=100 * settled // counts.recipients if counts.recipients else 100,
    )


def _widths(told: Mapping[str, int], recipients: int) -> dict[str, int]:
    """Return how wide each part is drawn: what is there is seen, however little of many it is."""
    drawn = {status: count for status, count in told.items() if count and status != "queued"}
    if not drawn:
        return {}
    room = (WIDTH - _GAP * (len(drawn) - 1)) * sum(drawn.values()) // recipients
    widths = {
        status: max(_SHORTEST, room * count // sum(drawn.values()))
        for status, count in drawn.items()
    }
    widest = max(widths, key=lambda status: widths[status])
    widths[widest] += min(room, WIDTH) - sum(widths.values())
    widths[widest] = max(_SHORTEST, widths[widest])
    return widths
