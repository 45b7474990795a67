"""How long a search for the next slot may go on: counted in steps, so that it needs no clock and no thread."""


class OutOfSteps(Exception):
    """Raised when the search has gone on for longer than any sensible rule needs."""


class Steps:
    """Counts what a search looks at: taken is the number of its steps, at_most their limit in all, if any.

    A rule that never matches would else be searched until the year 9999.
    """

    def __init__(self, *, at_most: int | None = None) -> None:
        self.taken = 0
        self._at_most = at_most
        self._in_vain = 0

    def look(self, *, at_most: int) -> None:
        """Count a look that may be in vain; raises OutOfSteps after at_most of them in a row, or at the limit."""
        self.taken += 1
        self._in_vain += 1
        if self._in_vain > at_most or self.are_used_up:
            raise OutOfSteps

    def found(self) -> None:
        """Count a time of the rule."""
        self.taken += 1
        self._in_vain = 0

    @property
    def are_used_up(self) -> bool:
        return self._at_most is not None and self.taken >= self._at_most
