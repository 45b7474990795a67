"""Very many numbers in little memory: what a large file has named already."""

from array import array

_FIRST_SIZE = 1024  # a power of two, as every size after it


class Numbers:
    """Hashes, in 16 to 32 bytes each, where a set takes about 70.

    0 counts as 1: no likelier than that two things have one hash.
    """

    def __init__(self) -> None:
        self._slots = array("q", bytes(8 * _FIRST_SIZE))
        self._count = 0

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self._slots[self._place_of(number or 1)] != 0

    def add(self, number: int) -> bool:
        """Keep a number of 64 bits; return whether it was new."""
        number = number or 1
        place = self._place_of(number)
        if self._slots[place]:
            return False
        self._slots[place] = number
        self._count += 1
        if self._count * 2 > len(self._slots):
            self._grow()
        return True

    def _place_of(self, number: int) -> int:
        """Return where the number is, or else the free place where it would be."""
        slots = self._slots
        last = len(slots) - 1
        place = number & last
        while (there := slots[place]) and there != number:
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        before = self._slots
        self._slots = array("q", bytes(2 * before.itemsize * len(before)))
        for number in before:
            if number:
                self._slots[self._place_of(number)] = number
