"""Refusals in a row that are about the sender or the content, and not about the recipients."""

import pytest

from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, Sent, TryAgain
from delivery.refusals import LONGEST_STREAK, RefusalStreak
from mail.reply import Stage
from tests.builders import NOON
from tests.delivery.builders import a_reply


def refused(text: str, code: int = 550) -> Failed:
    return Failed(a_reply(code, text, Stage.RCPT), "the server refused the recipient")


def count(outcomes: list[Outcome]) -> list[tuple[int, ...]]:
    """Return what the streak says to each."""
    streak = RefusalStreak()
    return [streak.add(number, outcome) for number, outcome in enumerate(outcomes)]


def test_twenty_refusals_with_one_text_are_too_many() -> None:
    said = count([refused("no")] * LONGEST_STREAK)

    assert said[:-1] == [()] * 19
    assert said[-1] == tuple(range(20))


@pytest.mark.parametrize("codes", [["5.7.1"], ["5.7.1", "5.7.26", "5.4.5"]])
def test_twenty_that_speak_of_the_sender_are_too_many_whatever_else_they_say(
    codes: list[str],
) -> None:
    said = count([refused(f"{codes[i % len(codes)]} <p{i}@example.com>") for i in range(20)])

    assert said[-1] == tuple(range(20))


def test_twenty_mails_that_are_too_large_are_too_many_however_large_each_is() -> None:
    said = count([refused(f"5.3.4 The message has {9000 + i} bytes", 552) for i in range(20)])

    assert said[-1] == tuple(range(20))


def test_refusals_that_name_each_recipient_are_no_row() -> None:
    said = count([refused(f"no <p{i}@example.com> here") for i in range(50)])

    assert not any(said)


def test_a_bad_list_is_no_row() -> None:
    said = count([refused("5.1.1 no such user")] * 50)

    assert not any(said)


@pytest.mark.parametrize(
    "between",
    [
        Sent(a_reply(250)),
        TryAgain(a_reply(451), NOON),
        InDoubt("gone"),
        refused("5.1.1 no such user"),
        refused("something else"),
        Failed(None, "gave up after 9 tries", gave_up=True),
    ],
)
def test_something_else_between_begins_anew(between: Outcome) -> None:
    outcomes: list[Outcome] = [*[refused("no")] * 19, between, *[refused("no")] * 20]

    said = count(outcomes)

    assert not any(said[:-1])
    assert said[-1] == tuple(range(20, 40))


@pytest.mark.parametrize(
    "between", [NotBegun(), AccountFault(a_reply(421, stage=Stage.MAIL), pause=False)]
)
def test_what_says_nothing_of_a_recipient_does_not_count(between: Outcome) -> None:
    said = count([*[refused("no")] * 10, between, *[refused("no")] * 10])

    assert len(said[-1]) == 20


def test_mails_that_can_not_be_made_for_one_and_the_same_reason_are_a_row() -> None:
    said = count([Failed(None, "html: line 3: divides by zero")] * 20)

    assert len(said[-1]) == 20


def test_the_next_row_begins_with_the_next_refusal() -> None:
    said = count([refused("no")] * 40)

    assert [len(ids) for ids in said if ids] == [20, 20]
    assert said[39] == tuple(range(20, 40))


def test_a_row_of_one_text_may_go_over_into_a_row_about_the_sender() -> None:
    outcomes: list[Outcome] = [refused("5.7.1 blocked")] * 10
    outcomes += [refused(f"5.7.1 blocked, see {i}") for i in range(10)]

    assert len(count(outcomes)[-1]) == 20
