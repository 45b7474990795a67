"""campaigns.mistakes: what is wrong with a template, in words for who writes it."""

import pytest

from foundation.errors import Invalid
from tests.campaigns.builders import rendered


def _said(html: str) -> str:
    with pytest.raises(Invalid) as caught:
        rendered(html=html)
    return caught.value.errors[0].message


@pytest.mark.parametrize(
    ("html", "said"),
    [
        ("a\n{% if name %}b", "line 2: {% if %} is never closed. Add {% endif %}"),
        ("a\n{% if name %}b\n{% if name %}{% endif %}\n", "line 2: {% if %} is never closed"),
        ("{{ name", "line 1: a {{ is never closed. Add }}"),
        ("{% if name", "line 1: a {% is never closed. Add %}"),
        ("{# note", "line 1: a {# is never closed. Add #}"),
        ("{{ }}", "line 1: {{ }} is empty. Say what goes there"),
        ("{{ name }", "line 1: there is a } too many"),
        ("{% endif %}", "line 1: there is no {% endif %} here"),
    ],
)
def test_the_parsers_complaints_are_told_plainly(html: str, said: str) -> None:
    assert _said(html).startswith(said)


@pytest.mark.parametrize(
    ("html", "meant"),
    [("{{ nmae }}", "name"), ("{{ recipient.emial }}", "email"), ("{{ name|uper }}", "upper")],
)
def test_a_name_that_is_nearly_one_is_guessed(html: str, meant: str) -> None:
    assert _said(html).endswith(f"Did you mean {meant}?")


def test_nothing_is_guessed_where_nothing_is_near() -> None:
    assert "Did you mean" not in _said("{{ zzzzqq }}")
