"""What a person should see before a campaign is sent: things that are allowed, and often a mistake."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

from campaigns.model import Caution, Content, Snapshot

LONG_SUBJECT = 150
CLIPPED_BYTES = 100 * 1024

_BRACES = re.compile(r"\{\{|\}\}|\{%|%\}")
_LOCAL = re.compile(
    r"^\s*(?:https?:)?//(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0)(?=[:/?#]|\s*$)", re.I
)
_UNSUBSCRIBE = re.compile(r"\bunsubscribe_url\b")


def review(snapshot: Snapshot, content: Content) -> list[Caution]:
    """Return what is worth a second look in the campaign, and in what one recipient would read of it."""
    found = _Found()
    found.feed(content.html or "")
    found.close()
    return [
        Caution(kind=kind, message=message)
        for kind, message in (
            *_of_subject(content.subject),
            *_of_body(snapshot, content),
            *_of_html(content.html or "", found),
        )
    ]


def _of_subject(subject: str) -> Iterator[tuple[str, str]]:
    if not subject:
        yield (
            "subject_empty",
            "The subject is empty for this recipient. Write one that always says something.",
        )
    if len(subject) > LONG_SUBJECT:
        yield (
            "subject_long",
            f"The subject has {len(subject)} characters; most readers show fewer than {LONG_SUBJECT}. Shorten it.",
        )


def _of_body(snapshot: Snapshot, content: Content) -> Iterator[tuple[str, str]]:
    if not _UNSUBSCRIBE.search(f"{snapshot.html}\n{snapshot.text or ''}"):
        yield (
            "no_unsubscribe_link",
            "There is no unsubscribe link in the body. Add {{ unsubscribe_url }}; the one in the header is not shown by"
            " every mail program.",
        )
    if not content.text.strip():
        yield "no_text", "The text part is empty. Who reads no HTML sees nothing: write a text."
    if any(_BRACES.search(part) for part in (content.subject, content.html or "", content.text)):
        yield (
            "braces",
            "There is {{ or {% in what the recipient would read. Check the spelling of that placeholder.",
        )


def _of_html(html: str, found: "_Found") -> Iterator[tuple[str, str]]:
    size = len(html.encode(errors="replace"))
    if size > CLIPPED_BYTES:
        yield (
            "large",
            f"The HTML has {size // 1024} KB; Gmail cuts a mail off at about {CLIPPED_BYTES // 1024} KB. Shorten it.",
        )
    if found.images_without_alt:
        yield (
            "image_without_alt",
            f"{found.images_without_alt} of the images have no alt text: where images are blocked, nothing is shown in"
            ' their place. Add alt="…" (alt="" for decoration).',
        )
    if found.local_addresses:
        yield (
            "local_link",
            f"{found.local_addresses[0]} leads to this machine, not to yours on the internet. Use the public address.",
        )


class _Found(HTMLParser):
    """What the HTML of a mail holds."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.images_without_alt = 0
        self.local_addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img" and "alt" not in given:
            self.images_without_alt += 1
        address = given.get("href") or given.get("src") or ""
        if _LOCAL.match(address):
            self.local_addresses.append(address.strip()[:100])
