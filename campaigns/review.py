"""What a person should see before a campaign is sent: things that are allowed, and often a mistake."""

import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

from campaigns.model import Caution, Content, FrozenFile, Snapshot
from mail.attached import encoded_size_bytes

LONG_SUBJECT = 78
CLIPPED_BYTES = 102 * 1024
HEAVY_BYTES = 10 * 1024 * 1024
"""What many mail servers take at most."""

_MEGABYTE = 1024 * 1024
_HEADERS_BYTES = 1000
_HEADERS_OF_A_FILE_BYTES = 250

_BRACES = re.compile(r"\{\{|\}\}|\{%|%\}")
_LOCAL = re.compile(
    r"^\s*(?:https?:)?//(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]|0\.0\.0\.0)(?=[:/?#]|\s*$)", re.I
)
_UNSUBSCRIBE = re.compile(r"\bunsubscribe_url\b")
_SCHEME = re.compile(r"\s*[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_EXPRESSION = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"(?<![\w.])(?:recipient\.)?name\b")
_FALLBACK = re.compile(r"\bor\b|\bif\b|\|\s*(?:default|d)\b")


def shows_bare_name(snapshot: Snapshot) -> bool:
    """Say whether the campaign writes the recipient's name somewhere and nothing in its place for who has none."""
    sources = f"{snapshot.subject}\n{snapshot.html}\n{snapshot.text or ''}"
    return any(
        _NAME.search(expression) and not _FALLBACK.search(expression)
        for expression in _EXPRESSION.findall(sources)
    )


def review(snapshot: Snapshot, content: Content, *, ours: str | None = None) -> list[Caution]:
    """Return what is worth a second look in the campaign, and in what one recipient would read of it.

    ours: what the addresses that we put in ourselves begin with; those are not judged.
    """
    found = _Found(ours)
    found.feed(content.html or "")
    found.close()
    return [
        Caution(kind=kind, message=message)
        for kind, message in (
            *_of_subject(content.subject),
            *_of_body(snapshot, content),
            *_of_html(content.html or "", found),
            *_of_weight(mail_size_bytes(content, snapshot.attachments)),
        )
    ]


def mail_size_bytes(content: Content, attachments: Sequence[FrozenFile]) -> int:
    """Return about how large the mail is on its way, where attached files take a third more."""
    texts = (content.text, content.html or "")
    return (
        _HEADERS_BYTES
        + sum(len(text.encode(errors="replace")) for text in texts)
        + sum(_HEADERS_OF_A_FILE_BYTES + encoded_size_bytes(file.size) for file in attachments)
    )


def _of_subject(subject: str) -> Iterator[tuple[str, str]]:
    if not subject:
        yield (
            "subject_empty",
            "The subject is empty for this recipient. Write one that always says something.",
        )
    if len(subject) > LONG_SUBJECT:
        yield (
            "subject_long",
            f"The subject has {len(subject)} characters; most mail programs show at most {LONG_SUBJECT}. Shorten it.",
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


def _of_weight(size_bytes: int) -> Iterator[tuple[str, str]]:
    if size_bytes > HEAVY_BYTES:
        yield (
            "heavy",
            f"The whole mail has about {size_bytes / _MEGABYTE:.1f} MB (attached files take a third more in it); many"
            f" servers take at most {HEAVY_BYTES // _MEGABYTE} MB. Offer what is large as a link.",
        )


def _of_html(html: str, found: "_Found") -> Iterator[tuple[str, str]]:
    size = len(html.encode(errors="replace"))
    if size > CLIPPED_BYTES:
        yield (
            "large",
            f"The HTML has {size // 1024} KB; Gmail cuts a mail off at about {CLIPPED_BYTES // 1024} KB. Shorten it.",
        )
    if count := found.images_without_alt:
        which = "1 image has" if count == 1 else f"{count} images have"
        yield (
            "image_without_alt",
            f"{which} no alt text: where images are blocked, nothing is shown in that place."
            ' Add alt="…" (alt="" for decoration).',
        )
    if found.local:
        yield (
            "local_link",
            f"{found.local[0]} leads to this machine, not to yours on the internet. Use the public address.",
        )
    if found.without_scheme:
        yield (
            "no_scheme",
            f"{found.without_scheme[0]!r} does not say where it leads: in a mail an address begins with https://."
            " Write all of it.",
        )
    if found.unencrypted:
        yield (
            "unencrypted",
            f"{found.unencrypted[0]} begins with http:; many mail programs warn of it, or leave the image out."
            " Use https: where the site has it.",
        )


class _Found(HTMLParser):
    """What the HTML of a mail holds."""

    def __init__(self, ours: str | None) -> None:
        super().__init__(convert_charrefs=True)
        self._ours = ours
        self.images_without_alt = 0
        self.local: list[str] = []
        self.without_scheme: list[str] = []
        self.unencrypted: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "img" and "alt" not in given:
            self.images_without_alt += 1
        for name in ("href", "src"):
            if name in given:
                self._look_at((given[name] or "").strip())

    def _look_at(self, address: str) -> None:
        if address.startswith("#") or (self._ours and address.startswith(self._ours)):
            return
        short = address[:100]
        if _LOCAL.match(address):
            self.local.append(short)
        elif not _SCHEME.match(address):
            self.without_scheme.append(short)
        elif address.lower().startswith("http:"):
            self.unencrypted.append(short)
