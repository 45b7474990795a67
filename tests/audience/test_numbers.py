"""audience.numbers: very many numbers in little memory."""

from hypothesis import given
from hypothesis import strategies as st

from audience.numbers import Numbers

_number = st.integers(-(2**63), 2**63 - 1).filter(bool) | st.integers(1, 50)


@given(st.lists(_number))
def test_numbers_know_what_a_set_knows(given: list[int]) -> None:
    numbers, known = Numbers(), set()

    for number in given:
        assert (number in numbers) == (number in known)
        assert numbers.add(number) == (number not in known)
        known.add(number)


def test_numbers_that_fall_into_one_place_are_told_apart_while_there_come_more() -> None:
    numbers = Numbers()

    new = [numbers.add(number << 40 | 7) for number in [*range(3_000), *range(3_000)]]

    assert new == [True] * 3_000 + [False] * 3_000


def test_nothing_is_in_no_numbers() -> None:
    assert 0 not in Numbers()
    assert "a" not in Numbers()
