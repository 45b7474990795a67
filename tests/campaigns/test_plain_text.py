"""campaigns.plain_text: what who reads no HTML reads."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.plain_text import from_html


def test_links_lists_and_headings_read_as_text() -> None:
    html = (
        "<style>p{}</style><h1>News</h1><p>Dear Ada,<br>hello.</p><ul><li>one<li>two</ul>"
        '<p><a href="https://example.com/?a=1&amp;b=2">Go</a></p>'
    )

    assert from_html(html) == (
        "News\n\nDear Ada,\nhello.\n\n  * one\n  * two\n\n[Go](https://example.com/?a=1&b=2)\n"
    )


def test_a_layout_of_tables_is_not_drawn_with_spaces() -> None:
    html = (
        "<table width=600><tr><td><table><tr><td><p>Hello</p></td></tr></table></td></tr>"
        "<tr><td>a</td><td>b</td></tr></table>"
    )

    assert from_html(html) == "Hello\n\na b\n"


def test_what_is_hidden_stays_hidden() -> None:
    html = "<title>T</title><div style='display: none'>preview</div><script>x()</script><p>seen</p>"

    assert from_html(html) == "seen\n"


def test_an_image_is_its_alt_text() -> None:
    assert from_html('<img src="a.png" alt="A map"><img src="b.png">') == "[A map]\n"


@pytest.mark.parametrize("html", ["", "  ", "<!-- nothing -->", "<style>p{}</style>"])
def test_nothing_gives_nothing(html: str) -> None:
    assert from_html(html) == ""


@pytest.mark.parametrize(
    "html",
    [
        "<table><tr><td>" + "x" * 100_000 + "</td><td>y</td></tr>" + "<tr><td>a</td></tr>" * 2000,
        "<ul><li>" * 100 + "<li>x" * 50_000,
        "<p style='margin-top: 99999em; padding-left: 99999em'>x</p>" * 20,
        "<div>" * 5000 + "x",
        "<table><tr><td>" * 300 + "x",
        "<p>word</p>" * 60_000,
        "a" * 2_000_000,
        "<p>" * 170_000,
    ],
    ids=lambda html: html[:30],
)
def test_huge_and_hostile_html_is_bounded(html: str) -> None:
    begun = time.process_time()

    text = from_html(html)

    assert len(text) < 10 * len(html)
    assert time.process_time() - begun < 10


def test_words_survive_any_depth() -> None:
    assert from_html("<div>" * 2000 + "deep" + "</div>" * 2000).strip() == "deep"


@given(st.text(st.sampled_from("<>/ abuliotdrp='\"&;#x1²=\n-!")))
def test_any_html_gives_text_with_lf_line_ends(html: str) -> None:
    text = from_html(html)

    assert "\r" not in text
    assert text == "" or text.endswith("\n")
