"""campaigns.review: what is allowed, and often a mistake."""

from typing import Any

import pytest

from campaigns.review import review, shows_bare_name
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
        ({"subject": "x" * 79}, "subject_long"),
        ({"html": FINE["html"] + '<img src="https://example.com/b.png">'}, "image_without_alt"),
        ({"html": FINE["html"] + "{% raw %}{{ name }}{% endraw %}"}, "braces"),
        ({"html": FINE["html"] + "<p>" + "x" * 110_000}, "large"),
        ({"html": FINE["html"] + '<a href="http://localhost:8025/x">x</a>'}, "local_link"),
        ({"html": FINE["html"] + '<a href="https://127.0.0.1">x</a>'}, "local_link"),
        ({"html": FINE["html"] + '<a href="www.example.com">x</a>'}, "no_scheme"),
        ({"html": FINE["html"] + '<a href="">x</a>'}, "no_scheme"),
        ({"html": FINE["html"] + '<img src="a.png" alt="">'}, "no_scheme"),
        ({"html": FINE["html"] + '<a href="HTTP://example.com">x</a>'}, "unencrypted"),
        ({"html": '<img src="{{ unsubscribe_url }}" alt="">', "text": None}, "no_text"),
    ],
)
def test_each_oddity_has_its_caution(changes: dict[str, Any], kind: str) -> None:
    assert _kinds(**changes) == [kind]


def test_a_name_that_begins_like_this_machine_is_not_it() -> None:
    assert _kinds(html=FINE["html"] + '<a href="https://localhost.example.com/">x</a>') == []


@pytest.mark.parametrize("address", ["#top", "mailto:a@example.com", "tel:+49", "cid:logo"])
def test_an_address_that_leads_somewhere_in_a_mail_is_fine(address: str) -> None:
    assert _kinds(html=f'{FINE["html"]}<a href="{address}">x</a>') == []


def test_addresses_of_our_own_are_not_judged() -> None:
    parts = FINE | {"html": FINE["html"] + '<a href="http://127.0.0.1:8025/u/x">x</a>'}

    cautions = review(a_snapshot(**parts), rendered(**parts), ours="http://127.0.0.1:8025/")

    assert cautions == []


@pytest.mark.parametrize(
    ("html", "is_bare"),
    [
        ("{{ name }}", True),
        ("{{ recipient.name|upper }}", True),
        ('{{ name or "there" }}', False),
        ("{{ name|default('there', true) }}", False),
        ("{{ campaign.name }}", False),
        ("{{ recipient.attributes.name }}", False),
    ],
)
def test_a_name_without_a_fallback_is_told_from_one_with_it(html: str, is_bare: bool) -> None:
    assert shows_bare_name(a_snapshot(html=html)) is is_bare
