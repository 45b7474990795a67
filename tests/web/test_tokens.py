"""Colours are readable: every pair of tokens.css that text or a shape is made of, by WCAG's formula, light and dark."""

import re
from pathlib import Path

import pytest

CSS = (Path(__file__).parents[2] / "static" / "css" / "tokens.css").read_text()
TOKENS = {
    name: {"light": light, "dark": dark}
    for name, light, dark in re.findall(
        r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)", CSS
    )
}
BACKGROUNDS = ("bg", "surface", "sunken")
STATES = ("ok", "bad", "doubt", "warn", "run", "idle")
TEXT, SHAPE = 4.5, 3.0

PAIRS = [
    *((text, back, TEXT) for text in ("text", "muted", "link") for back in BACKGROUNDS),
    *((f"{state}-text", f"{state}-back", TEXT) for state in STATES),
    *((f"{state}-text", "surface", TEXT) for state in ("bad", "warn")),
    ("muted", "idle-back", TEXT),
    ("warn-text", "sunken", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-hover", TEXT),
    ("bg", "text", TEXT),
    *((shape, back, SHAPE) for shape in ("control", "focus") for back in BACKGROUNDS),
    *(
        (f"bar-{part}", "surface", SHAPE)
        for part in ("sent", "failed", "doubt", "skipped", "sending")
    ),
]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("front", "back", "least"), PAIRS)
def test_a_pair_has_contrast_enough(front: str, back: str, least: float, theme: str) -> None:
    assert contrast(TOKENS[front][theme], TOKENS[back][theme]) >= least


def test_no_colour_stands_outside_the_tokens() -> None:
    others = (Path(__file__).parents[2] / "static" / "css").glob("*.css")

    strays = {
        path.name: re.findall(r"#[0-9a-fA-F]{3,8}\b", path.read_text())
        for path in others
        if path.name not in ("tokens.css", "public.css", "print.css")  # paper is black and white
    }

    # The ground that a mail is shown on is the mail's, not ours.
    assert {name: found for name, found in strays.items() if found} == {"components.css": ["#fff"]}


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, relative luminance)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
