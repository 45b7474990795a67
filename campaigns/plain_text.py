"""A text part for those who read no HTML, made out of the HTML.

Links become [text](address), lists are kept, each row of a table is a line.
"""

import re
from html.parser import HTMLParser

from inscriptis import get_text
from inscriptis.css_profiles import CSS_PROFILES
from inscriptis.html_properties import Display
from inscriptis.model.attribute import Attribute
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_document_state import HtmlDocumentState
from inscriptis.model.html_element import HtmlElement
from inscriptis.model.tag import CustomHtmlTagHandlerMapping
from inscriptis.model.tag.list_tag import ol_start_handler, ul_start_handler

MAX_LAID_OUT = 512 * 1024
"""Above this many characters the layout is given up and only the words are kept."""

_DEEPEST_INDENT = 6


def from_html(html: str) -> str:
    """Return the words of an HTML mail, laid out as text with LF line ends."""
    if len(html) > MAX_LAID_OUT:
        return _tidy(_words_of(html))
    try:
        text = _tidy(get_text(html, _CONFIG))
    except (ValueError, LookupError):  # as <li value="²">
        text = ""
    # The parser under the layout drops what is nested deeper than 256 elements.
    return text or _tidy(_words_of(html))


def _do_nothing(*_: object) -> None:
    """Leave a table's tags without a layout of their own.

    Mails are laid out with tables, nested and as wide as their widest cell: drawn as tables they are mostly spaces.
    """


def _indent_lists(state: HtmlDocumentState, attributes: dict[str, str]) -> None:
    if len(state.li_counter) >= _DEEPEST_INDENT:
        state.tags[-1].padding_inline = 0


def _start_ul(state: HtmlDocumentState, attributes: dict[str, str]) -> None:
    _indent_lists(state, attributes)
    ul_start_handler(state, attributes)


def _start_ol(state: HtmlDocumentState, attributes: dict[str, str]) -> None:
    _indent_lists(state, attributes)
    ol_start_handler(state, attributes)


_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)


def _hide(style: str, element: HtmlElement) -> None:
    # Of all style only this: margins and paddings can be a hundred thousand lines.
    if _HIDDEN.search(style):
        element.display = Display.none


def _config() -> ParserConfig:
    table_tags = ("table", "tr", "td", "th")
    css = CSS_PROFILES["strict"] | {
        "tr": HtmlElement(display=Display.block),
        "td": HtmlElement(prefix=" ", suffix=" ", limit_whitespace_affixes=True),
        "th": HtmlElement(prefix=" ", suffix=" ", limit_whitespace_affixes=True),
    }
    handlers = CustomHtmlTagHandlerMapping(
        start_tag_mapping=dict.fromkeys(table_tags, _do_nothing)
        | {"ul": _start_ul, "ol": _start_ol},
        end_tag_mapping=dict.fromkeys(table_tags, _do_nothing),
    )
    config = ParserConfig(
        css=css,
        display_links=True,
        display_images=True,
        custom_html_tag_handler_mapping=handlers,
    )
    config.attribute_handler = Attribute()
    config.attribute_handler.attribute_mapping = {"style": _hide}
    return config


_CONFIG = _config()


class _Words(HTMLParser):
    """Keeps the text between tags, but for style and script."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in ("style", "script", "title")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(0, self._silent - (tag in ("style", "script", "title")))
        if tag in ("p", "div", "tr", "li", "td", "h1", "h2", "h3"):
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(" ".join(data.split()) + " " if data.strip() else "")


def _words_of(html: str) -> str:
    parser = _Words()
    parser.feed(html)
    parser.close()
    return "".join(parser.words)


def _tidy(text: str) -> str:
    lines = (line.replace("\u00a0", " ").rstrip() for line in text.splitlines())
    joined = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return f"{joined}\n" if joined.strip() else ""
