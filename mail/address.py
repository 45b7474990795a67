"""What counts as an e-mail address, and when two spellings are one person.

Two front functions with one answer: normalise for single addresses, normalise_fast for imports. Nothing here asks the
network: whether an address can be reached is for the mail server to say.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from email_validator import (
    SPECIAL_USE_DOMAIN_NAMES,
    EmailNotValidError,
    ValidatedEmail,
    validate_email,
)

from foundation.errors import Invalid

MAX_BYTES = 254  # RFC 5321 4.5.3.1.3, without the angle brackets
MAX_LOCAL_BYTES = 64  # RFC 5321 4.5.3.1.1

# What people paste around an address. Line ends are not among them: they are refused wherever they stand.
_SPACE = (
    " \t\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_PLAIN = re.compile(rf"(?=[^@]{{1,64}}@)({_ATEXT}+(?:\.{_ATEXT}+)*)@([A-Za-z0-9.-]{{3,253}})")
# No label with "--" in third place: xn-- has to be decoded, the others are reserved (RFC 5891 4.2.3.1).
_PLAIN_LABEL = r"(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_PLAIN_DOMAIN = re.compile(rf"(?:{_PLAIN_LABEL}\.)+(?=[^.]*[A-Za-z]\Z){_PLAIN_LABEL}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Address(NamedTuple):
    """One e-mail address. written is where mail goes, key is what makes two spellings one person.

    domain is in its ASCII form (RFC 5890), in lower case; local is as it was written. A tuple, since an import makes a
    million of them, in a third of the time that a frozen dataclass takes.
    """

    written: str
    key: str
    local: str
    domain: str
    needs_smtputf8: bool

    @property
    def wire(self) -> str:
        """The form that SMTP and headers carry: as written, but a domain beyond ASCII in its ASCII form."""
        return self.written if self.written.isascii() else f"{self.local}@{self.domain}"


def normalise(text: str, *, test_domains: bool = True) -> Address:
    """Read one address; space around it does not count.

    test_domains says whether names under .test, which no mail ever reaches, are taken.
    Raises Invalid on the field "email" with a sentence that says what to do.
    """
    found = _read(text.strip(_SPACE), test_domains=test_domains)
    if isinstance(found, str):
        raise Invalid.field("email", f"{_shown(text)} can't be used. {found}")
    return found


def normalise_fast(text: str, *, test_domains: bool = True) -> Address | str:
    """Read one address out of many: the answer of normalise, an order of magnitude sooner for ordinary ones.

    Returns the reason, a sentence, where normalise would raise.
    """
    text = text.strip(_SPACE)
    plain = _PLAIN.fullmatch(text)
    if plain is not None and len(text) <= MAX_BYTES:
        local, written_domain = plain.groups()
        domain = _plain_domain(written_domain)
        if domain is not None:
            return Address(text, f"{local.lower()}@{domain}", local, domain, False)
    return _read(text, test_domains=test_domains)


@lru_cache(maxsize=65536)
def _plain_domain(written: str) -> str | None:
    """Return the domain in lower case, or None when it is one that the slow way has to judge."""
    if not _PLAIN_DOMAIN.fullmatch(written):
        return None
    domain = written.lower()
    last = domain.rpartition(".")[2]
    return None if last in _SPECIAL_ENDINGS else domain


# By the last label alone, so that a name added under any of them goes the slow way too.
_SPECIAL_ENDINGS = frozenset(name.rpartition(".")[2] for name in SPECIAL_USE_DOMAIN_NAMES)


def _read(text: str, *, test_domains: bool) -> Address | str:
    """Return the address, or the sentence that says what is wrong with it."""
    reason = _unusable(text)
    if reason is not None:
        return reason
    try:
        valid = validate_email(
            text,
            allow_smtputf8=True,
            allow_quoted_local=False,
            allow_display_name=False,
            allow_domain_literal=False,
            check_deliverability=False,
            test_environment=test_domains,
        )
    except EmailNotValidError as error:
        return f"{error} Correct it or leave it out."
    local = text.partition("@")[0]
    if len(local.encode()) > MAX_LOCAL_BYTES:
        return f"The part before the @-sign is longer than {MAX_LOCAL_BYTES} bytes. Correct it or leave it out."
    return Address(text, _key(local, valid), local, valid.ascii_domain, not local.isascii())


def _unusable(text: str) -> str | None:
    """Say what can be said without parsing, in words that fit what people paste."""
    if not text:
        return "It is empty. Write an address, as name@example.com."
    # Characters before bytes: nothing here may cost more because the text is huge.
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        return f"It is longer than {MAX_BYTES} bytes. Correct it or leave it out."
    if _CONTROL.search(text):
        return "It holds a line break or another control character. Take that out."
    if "<" in text or ">" in text:
        return (
            "It holds more than an address. Write only what stands between < and >;"
            " a name goes into the field for names."
        )
    if text.startswith('"'):
        return "The part before the @-sign is in quotation marks, which many servers mangle. Use another address."
    return None


def _key(local: str, valid: ValidatedEmail) -> str:
    # Decomposed before folding: only so does folding treat equal characters equally (Unicode 3.13, D145).
    folded = unicodedata.normalize("NFD", local).casefold()
    return f"{unicodedata.normalize('NFC', folded)}@{valid.ascii_domain}"


def _shown(text: str) -> str:
    """Return the value for a sentence: one line, of bounded length."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:80])
    return f'"{shown}…"' if len(text) > 80 else f'"{shown}"'
