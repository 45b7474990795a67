"""Submitted forms: texts become what the API's models take, and mistakes come back beside their fields."""

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError

from foundation.errors import FieldError, Invalid, SendonceError
from web import wording
from web.fields import GREATEST_ID

B = TypeVar("B", bound=BaseModel)

_WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,19}([.,][0-9]{1,9})?", re.ASCII)


def text(name: str) -> str:
    """Return a field as it was typed; "" where it is missing."""
    return request.form.get(name, "")


def text_or_none(name: str) -> str | None:
    """Return a field without the blanks around it; None where nothing was typed."""
    return text(name).strip() or None


def whole(name: str) -> int | str | None:
    """Return a whole number, None where nothing was typed; what is no number stays a text, which the model refuses."""
    typed = text(name).strip()
    return (int(typed) if _WHOLE.fullmatch(typed) else typed) if typed else None


def decimal(name: str) -> float | str | None:
    """Return a number, as whole does; a comma is taken for a point."""
    typed = text(name).strip()
    if not typed:
        return None
    return float(typed.replace(",", ".")) if _DECIMAL.fullmatch(typed) else typed


def ids(name: str) -> list[int | str]:
    """Return what was chosen of a list."""
    return [
        int(chosen) if _WHOLE.fullmatch(chosen) else chosen
        for chosen in request.form.getlist(name)
        if chosen
    ]


def ticked(name: str) -> bool:
    return name in request.form


def version() -> int | None:
    """Return the version that the form was made from, as If-Match says it; None where it does not say."""
    found = whole("version")
    return min(found, GREATEST_ID) if isinstance(found, int) else None


def checked(model: type[B], values: Mapping[str, object]) -> B:
    """Return the model of these values. Raises Invalid, naming every field that is wrong."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        wording.refuse(error)


def fresh_key() -> str:
    """Return an Idempotency-Key for a form that is being made."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One thing that is wrong: the field, what it is called on the page, and a sentence."""

    field: str
    label: str | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A form as it is shown: what stands in its fields, and what is wrong with that.

    key names this rendering: sent twice, it does what it does once.
    """

    values: Mapping[str, Any]
    mistakes: Sequence[Mistake] = ()
    key: str = field(default_factory=fresh_key)

    def error(self, name: str) -> str | None:
        """Return what is wrong with a field."""
        return next((m.message for m in self.mistakes if m.field == name), None)

    def value(self, name: str) -> Any:
        """Return what stands in a field; None for nothing."""
        return self.values.get(name)


def as_typed(error: SendonceError, labels: Mapping[str, str], lists: Iterable[str] = ()) -> Filled:
    """Return the form as it was submitted, with what is wrong with it.

    labels: by the names that errors carry, what those fields are called on the page. lists: fields of many values.
    """
    values: dict[str, Any] = {name: request.form.get(name) for name in request.form}
    values |= {name: request.form.getlist(name) for name in lists}
    return Filled(values=values, mistakes=mistakes_of(error, labels))


def mistakes_of(error: SendonceError, labels: Mapping[str, str]) -> list[Mistake]:
    """Return what is wrong, in the page's words."""
    if isinstance(error, Invalid):
        return [_mistake(one, labels) for one in error.errors]
    return [Mistake(field="", label=None, message=error.message)]


def _mistake(error: FieldError, labels: Mapping[str, str]) -> Mistake:
    name = re.split(r"[.\[]", error.field)[0]
    return Mistake(field=name, label=labels.get(name, name), message=_sentence(error.message))


def _sentence(message: str) -> str:
    return message if message.endswith((".", "?", "!")) else message + "."
