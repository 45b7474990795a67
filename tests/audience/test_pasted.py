"""audience.pasted: people as they are pasted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audience.pasted import Pasted, read_pasted


def people(text: str) -> list[tuple[str, str]]:
    return [(one.email, one.name) for one in read_pasted(text) if one.wrong is None]


def refused(text: str) -> list[str]:
    return [one.text for one in read_pasted(text) if one.wrong is not None]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ann@example.com", [("ann@example.com", "")]),
        ("Ann Doe <ann@example.com>", [("ann@example.com", "Ann Doe")]),
        ('"Doe, Ann" <ann@example.com>', [("ann@example.com", "Doe, Ann")]),
        ("Doe, Ann <ann@example.com>", [("ann@example.com", "Doe, Ann")]),
        ('"Ann \\"Nan\\" Doe" <ann@example.com>', [("ann@example.com", 'Ann "Nan" Doe')]),
        ("'Ann Doe' <ann@example.com>", [("ann@example.com", "Ann Doe")]),
        ("<ann@example.com>", [("ann@example.com", "")]),
        ("'ann@example.com'", [("ann@example.com", "")]),
        ("mailto:ann@example.com", [("ann@example.com", "")]),
        ("Ann <mailto:ann@example.com>", [("ann@example.com", "Ann")]),
        ("Ann Doe ann@example.com", [("ann@example.com", "Ann Doe")]),
        ("ann@example.com Ann Doe", [("ann@example.com", "Ann Doe")]),
        ("ann@example.com (Ann Doe)", [("ann@example.com", "Ann Doe")]),
        ("ann@example.com\tAnn Doe", [("ann@example.com", "Ann Doe")]),
        ("Ann Doe\tann@example.com", [("ann@example.com", "Ann Doe")]),
        ("Doe, Ann\tann@example.com", [("ann@example.com", "Doe, Ann")]),
        ('"Doe; ""Nan"""\tann@example.com', [("ann@example.com", 'Doe; "Nan"')]),
        ("ann@example.com\t\t", [("ann@example.com", "")]),
        ("Ann O'Hara <ann@example.com>", [("ann@example.com", "Ann O'Hara")]),
    ],
)
def test_one_person_is_read_however_written(text: str, found: list[tuple[str, str]]) -> None:
    assert people(text) == found
    assert refused(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "ann@example.com\nbob@example.com",
        "ann@example.com\r\n\r\n  bob@example.com  ",
        "ann@example.com, bob@example.com,",
        "ann@example.com; bob@example.com;",
        "ann@example.com bob@example.com",
        "ann@example.com\tbob@example.com",
        "<ann@example.com>, <bob@example.com>",
        "<ann@example.com> <bob@example.com>",
        "E-Mail\nann@example.com\nbob@example.com",
        "Name\tE-Mail\n\tann@example.com\n\tbob@example.com",
    ],
)
def test_several_people_are_read_however_parted(text: str) -> None:
    assert people(text) == [("ann@example.com", ""), ("bob@example.com", "")]
    assert refused(text) == []


def test_a_mail_programs_list_of_people_keeps_names_with_commas() -> None:
    text = '"Doe, Ann" <ann@example.com>, Roe, Bob <bob@example.com>; Cy <cy@example.com>'

    assert people(text) == [
        ("ann@example.com", "Doe, Ann"),
        ("bob@example.com", "Roe, Bob"),
        ("cy@example.com", "Cy"),
    ]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("bob.example.com, Ann <ann@example.com>", ["bob.example.com"]),
        ("ann@example.com, bob", ["bob"]),
        ("Ann Doe", ["Ann Doe"]),
        ("ann@example.com\tAnn\tKöln", ["ann@example.com\tAnn\tKöln"]),
        ("Ann <ann@example.com", ["Ann <ann@example.com"]),
        ("a@example.com b@example.com Bob", ["a@example.com b@example.com Bob"]),
    ],
)
def test_what_can_t_be_read_comes_back_as_it_was(text: str, left: list[str]) -> None:
    assert refused(text) == left


def test_each_person_has_the_line_they_stand_on() -> None:
    found = read_pasted("ann@example.com\n\nbob@example.com, nobody")

    assert [(one.line, one.text) for one in found] == [
        (1, "ann@example.com"),
        (3, "bob@example.com"),
        (3, "nobody"),
    ]


def test_nothing_is_read_from_nothing() -> None:
    assert read_pasted(" \n\t\n ,;, \r\n") == []


NAMES = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=20).map(
    lambda name: " ".join(name.split())
)
PEOPLE = st.lists(st.tuples(NAMES, st.from_regex(r"[a-z]{1,8}@[a-z]{2,8}\.com", fullmatch=True)))


@given(PEOPLE, st.sampled_from([", ", "; ", "\n", "\r\n", ";\n"]))
def test_any_quoted_name_comes_back(people_in: list[tuple[str, str]], between: str) -> None:
    def quoted(name: str) -> str:
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = between.join(f"{quoted(name)} <{email}>" for name, email in people_in)

    assert people(text) == [(email, name) for name, email in people_in]


@given(st.text("ab@.,;<>\"'\t\n\\ ()", max_size=40))
def test_what_stays_in_the_box_is_read_again_as_the_same(text: str) -> None:
    found = read_pasted(text)

    again = read_pasted("\n".join(one.text for one in found))

    def told(one: Pasted) -> tuple[str, str, bool]:
        return one.email, one.name, one.wrong is None

    assert [told(one) for one in again] == [told(one) for one in found]


@given(st.text("ab@.,;<>\"' \t\n\\é", max_size=40))
def test_no_word_is_lost(text: str) -> None:
    found = "".join(one.text for one in read_pasted(text))

    def letters(of: str) -> list[str]:
        return sorted(c for c in of if c in "ab@é")

    assert letters(found) == letters(text)
