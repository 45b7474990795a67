"""campaigns.review: what is allowed, and often a mistake."""

from typing import Any

import pytest

from campaigns.review import review
from tests.campaigns.builders import a_snapshot, rendered

FINE: dict[str, Any] = {
    "subject": "News",
    "html": '<p>Hi</p><img src="https://example.com/a.png" alt=""><a href="{{ unsubscribe_url }}">x</a>',
    "text": "Hi {{ unsubscribe_url }}",
}


def _kinds(**changes: Any) -> list[str]:
    parts = FINE | changes
    return [caution.kind for caution in review(a_snapshot(**parts), rendered(**parts))]


def test_a_good_campaign_has_no_cautions() -> None:
    assert _kinds() == []


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"html": "<p>Hi</p>", "text": "Hi"}, "no_unsubscribe_link"),
        ({"subject": "{{ recipient.attributes.topic }}"}, "subject_empty"),
        ({"subject": "x" * 151}, "subject_long"),
        ({"html": FINE["html"] + '<img src="a.png">'}, "image_without_alt"),
        ({"html": FINE["html"] + "{% raw %}{{ name }}{% endraw %}"}, "braces"),
        ({"html": FINE["html"] + "<p>" + "x" * 110_000}, "large"),
        ({"html": FINE["html"] + '<a href="http://localhost:8025/x">x</a>'}, "local_link"),
        ({"html": FINE["html"] + '<a href="https://127.0.0.1">x</a>'}, "local_link"),
        ({"html": '<img src="{{ unsubscribe_url }}" alt="">', "text": None}, "no_text"),
    ],
)
def test_each_oddity_has_its_caution(changes: dict[str, Any], kind: str) -> None:
    assert _kinds(**changes) == [kind]


def test_a_name_that_begins_like_this_machine_is_not_it() -> None:
    assert _kinds(html=FINE["html"] + '<a href="https://localhost.example.com/">x</a>') == []
