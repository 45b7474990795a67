"""How much work one part of one mail may be: what keeps a template from hanging the sender or filling its memory.

Counted, never timed, so that a template which renders today renders tomorrow on a busier machine.
"""

from typing import Any

STEPS = 500_000
"""What one rendering may do: about one step for each tag, filter or operator that is carried out."""

CHARACTERS = 3 * 1024 * 1024
"""How much text one rendering may handle, what is thrown away again included."""

_COMPARED_AT_ONCE = 100


class OverBudget(Exception):
    """The template is more work than one mail may be."""


class Budget:
    """What is left for one rendering."""

    __slots__ = ("characters", "steps")

    def __init__(self) -> None:
        self.steps = STEPS
        self.characters = CHARACTERS

    def spend(self, steps: int, characters: int = 0) -> None:
        """Take this much. Raises OverBudget."""
        self.steps -= steps
        self.characters -= characters
        if self.steps < 0:
            raise OverBudget("is too much work for one mail: it repeats itself too often")
        if self.characters < 0:
            raise OverBudget("makes too much text for one mail")

    def spend_on_search(self, text: str, sought: Any) -> None:
        """Take what it costs to look for one text in another: at worst each place is compared with all of it."""
        if isinstance(sought, str):
            self.spend(1, len(text) * len(sought) // _COMPARED_AT_ONCE)

    def spend_on(self, value: Any) -> int:
        """Take what it costs to look at all of the value, and return that: its texts' length, a list's every item.

        A list that holds another one twice counts it twice, as everything that walks through it does.
        """
        if isinstance(value, str):
            self.spend(1, len(value))
            return len(value)
        if not isinstance(value, list | tuple | dict):
            return 1
        seen = 0
        left: list[Any] = [value]
        while left:
            item = left.pop()
            size = len(item) if isinstance(item, str) else 1
            self.spend(1, size)
            seen += size
            if isinstance(item, dict):
                left.extend(item.keys())
                left.extend(item.values())
            elif isinstance(item, list | tuple):
                left.extend(item)
        return seen
