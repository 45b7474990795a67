"""Content for one recipient, out of a campaign's templates: compiled once, rendered many times.

A mistake in a template is told when the campaign is saved (Invalid, with field and line); what goes wrong with one
recipient's data only is a RenderError, of that recipient alone. The language itself is in campaigns.sandbox.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.runtime import new_context
from jinja2.utils import Namespace

from campaigns.budget import Budget, OverBudget
from campaigns.filters import BUDGET
from campaigns.model import Content, Snapshot
from campaigns.plain_text import from_html
from campaigns.sandbox import Sandbox, TemplateMistake, range_of
from campaigns.values import Fields, Group, SlotTime
from foundation.errors import FieldError, Invalid

MAX_RENDERED = 2 * 1024 * 1024
MAX_TEMPLATE = {"subject": 1_000, "html": 1024 * 1024, "text": 1024 * 1024}

_HTML = Sandbox(autoescape=True)
_PLAIN = Sandbox(autoescape=False)
_LINE_ENDS = re.compile(r"\r\n?")
_NOT_IN_A_HEADER = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")

# Everything that a template's own doing, or one recipient's data, can raise.
_MISHAPS = (
    TemplateError,
    OverBudget,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientView:
    """What a template is told about the recipient."""

    email: str
    name: str
    attributes: Mapping[str, Any]


class RenderError(Exception):
    """The content can't be made for this recipient; field is subject, html or text, message names the line."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class Compiled:
    """A campaign's content, ready to be made for any number of recipients; safe to use from many threads."""

    def __init__(self, snapshot: Snapshot, parts: Mapping[str, Template]) -> None:
        self._campaign = Fields("a campaign", {"name": snapshot.name})
        self._parts = parts

    def render(self, recipient: RecipientView, slot: datetime, unsubscribe_url: str) -> Content:
        """Make the content for one recipient. slot is aware, in the schedule's zone.

        Raises RenderError.
        """
        made = self._render_parts(recipient, slot, unsubscribe_url, lacking=None)
        html = made.get("html")
        text = made.get("text")
        return Content(
            subject=_NOT_IN_A_HEADER.sub(" ", made["subject"]).strip(),
            html=html,
            text=text if text is not None else from_html(html or ""),
        )

    def lacking(self, recipient: RecipientView) -> tuple[str, ...]:
        """Return the attributes that are looked up for this recipient and are not there, as "address.city".

        Raises RenderError.
        """
        lacking: set[str] = set()
        self._render_parts(recipient, _SOME_SLOT, "https://example.com/u/", lacking=lacking)
        return tuple(sorted(lacking))

    def _render_parts(
        self,
        recipient: RecipientView,
        slot: datetime,
        unsubscribe_url: str,
        *,
        lacking: set[str] | None,
    ) -> dict[str, str]:
        person = {
            "email": recipient.email,
            "name": recipient.name,
            "attributes": Group(recipient.attributes, "", lacking),
        }
        names: dict[str, Any] = {
            "recipient": Fields("a recipient", person),
            "campaign": self._campaign,
            "slot": SlotTime.of(slot),
            "unsubscribe_url": unsubscribe_url,
            "name": recipient.name,
            "email": recipient.email,
            "range": range_of,
            "namespace": Namespace,
        }
        return {
            field: _render_part(field, template, names | {BUDGET: Budget()})
            for field, template in self._parts.items()
        }


def compile_content(snapshot: Snapshot) -> Compiled:
    """Compile the campaign's templates and try them on a recipient of whom nothing is known.

    Raises Invalid that names every field (subject, html, text) whose template has a mistake, with its line.
    """
    sources = {"subject": snapshot.subject, "html": snapshot.html, "text": snapshot.text or ""}
    if not sources["html"].strip():
        del sources["html"]
    if not sources["text"].strip():
        del sources["text"]
    errors: list[FieldError] = []
    if len(sources) == 1:
        errors.append(FieldError("html", "is empty, and so is the text. Write at least one."))
    parts: dict[str, Template] = {}
    for field, source in sources.items():
        try:
            parts[field] = _compile_part(field, source)
        except TemplateMistake as mistake:
            errors.append(FieldError(field, str(mistake)))
    errors += _try_out(Compiled(snapshot, parts)) if not errors else []
    if errors:
        raise Invalid(errors)
    return Compiled(snapshot, parts)


def _compile_part(field: str, source: str) -> Template:
    if len(source) > MAX_TEMPLATE[field]:
        raise TemplateMistake(f"is longer than {MAX_TEMPLATE[field]:,} characters. Shorten it.", 1)
    try:
        source.encode()
    except UnicodeEncodeError as error:
        line = source.count("\n", 0, error.start) + 1
        raise TemplateMistake(
            "holds half a character (a lone surrogate). Take it out.", line
        ) from None
    return (_HTML if field == "html" else _PLAIN).template_from(source)


_SOME_SLOT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
_STRANGERS = (
    RecipientView(email="someone@example.com", name="", attributes={}),
    RecipientView(email="someone@example.com", name="Someone Else", attributes={}),
)


def _try_out(compiled: Compiled) -> list[FieldError]:
    """Return what goes wrong whoever the recipient is."""
    for stranger in _STRANGERS:
        try:
            compiled.render(stranger, _SOME_SLOT, "https://example.com/u/")
        except RenderError as error:
            # With real attributes there may be nothing to divide by zero.
            if not isinstance(error.__cause__, ZeroDivisionError):
                return [FieldError(error.field, error.message)]
    return []


def _render_part(field: str, template: Template, names: dict[str, Any]) -> str:
    # shared: the names are used as they are, with no globals mixed in.
    context = new_context(template.environment, None, template.blocks, names, shared=True)
    try:
        made = "".join(template.root_render_func(context))
    except _MISHAPS as error:
        raise RenderError(field, _sentence(error)) from error
    if len(made) > MAX_RENDERED:
        raise RenderError(field, f"becomes larger than {MAX_RENDERED // 1024**2} MiB")
    return _LINE_ENDS.sub("\n", made) if "\r" in made else made


def _sentence(error: BaseException) -> str:
    line = _line_of(error.__traceback__)
    if isinstance(error, RecursionError):
        what = "is nested too deeply"
    elif isinstance(error, ZeroDivisionError):
        what = "divides by zero"
    else:
        what = str(error) or type(error).__name__
        if isinstance(error, TypeError) and "instances of 'str' and" in what:
            what += "; a text becomes a number by |int or |float"
    return f"line {line}: {what}" if line else what


def _line_of(traceback: TracebackType | None) -> int | None:
    """Return the template's line in which it happened."""
    line = None
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line = template.get_corresponding_lineno(traceback.tb_lineno)
        traceback = traceback.tb_next
    return line
