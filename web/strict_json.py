"""Bodies as RFC 8259 has them, and nothing that two readers could take for two things.

UTF-8 only; no NaN, no key twice, no nesting deeper than 50, no number that a database could not keep, no text that
could not be written as UTF-8. Whatever passes is safe to validate.
"""

import json
import math
from typing import Any, NoReturn

from flask import Request
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from foundation.errors import FieldError, Invalid

DEEPEST = 50
MOST_BYTES = 16 * 1024 * 1024
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
SMALLEST, GREATEST = -(2**63), 2**63 - 1

Path = tuple[str | int, ...]


class StrictRequest(Request):
    """A request whose JSON body is read strictly, whoever asks for it."""

    # One more than may come: of a body without a stated length werkzeug keeps the first so many bytes and drops the
    # rest in silence, so only a byte too many tells that it was too long.
    max_content_length = MOST_BYTES + 1
    _strict: dict[str, Any] | None = None

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """Return the body's bytes. Raises RequestEntityTooLarge."""
        data = super().get_data(*args, **kwargs)
        if len(data) > MOST_BYTES:
            raise RequestEntityTooLarge
        return data

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except RequestEntityTooLarge:
            if (self.content_length or 0) > MOST_BYTES:
                raise
            raise RequestEntityTooLarge(
                f"The form has more than {self.max_form_parts:,} parts, or a field that is no file and"
                f" larger than {self.max_form_memory_size:,} bytes. Send less."
            ) from None

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the body, an object; an empty body is the empty object. Nothing silences a mistake."""
        if self._strict is None:
            self._strict = self._read_json()
        return self._strict

    def _read_json(self) -> dict[str, Any]:
        if self.mimetype in _FORMS:  # whoever looked for fields has read it already
            raise _not_json(self.mimetype)
        data = self.get_data(cache=True)
        if not data:
            return {}
        if self.mimetype != "application/json":
            raise _not_json(self.mimetype)
        charset = self.mimetype_params.get("charset", "utf-8").lower()
        if charset not in ("utf-8", "utf8"):
            raise UnsupportedMediaType(f"The body must be UTF-8, it is {charset}.")
        if self.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise UnsupportedMediaType("The body must not be compressed.")
        return parse_object(data)


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that data holds.

    Raises BadRequest where it is not JSON, Invalid where it is, but holds what nobody can keep.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"The body is not UTF-8 (at byte {error.start}).") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_no_key_twice,
            parse_constant=_no_constant,
            parse_int=_whole_number,
        )
    except json.JSONDecodeError as error:
        raise BadRequest(
            f"The body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise Invalid.field("body", "must be a JSON object")
    faults: list[FieldError] = []
    _look(value, (), faults)
    if faults:
        raise Invalid(faults)
    return value


def path_text(path: Path) -> str:
    """Return a field's path as a client writes it: recipients[3].email."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text.encode(errors="replace").decode() or "body"


def _look(value: object, path: Path, faults: list[FieldError]) -> None:
    if len(path) >= DEEPEST and isinstance(value, dict | list):
        raise _too_deep()
    match value:
        case str():
            _look_at_text(value, path, faults)
        case bool() | None:
            pass
        case int() if not SMALLEST <= value <= GREATEST:
            faults.append(FieldError(path_text(path), "is out of range: 64 bits at most"))
        case float() if not math.isfinite(value):
            faults.append(FieldError(path_text(path), "is out of range"))
        case list():
            for index, item in enumerate(value):
                _look(item, (*path, index), faults)
        case dict():
            for key, item in value.items():
                _look_at_text(key, (*path, key), faults)
                _look(item, (*path, key), faults)


def _look_at_text(text: str, path: Path, faults: list[FieldError]) -> None:
    if "\0" in text:
        faults.append(FieldError(path_text(path).replace("\0", "?"), "holds a NUL character"))
    try:
        text.encode()
    except UnicodeEncodeError:
        faults.append(FieldError(path_text(path), "holds half a character (a lone surrogate)"))


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BadRequest(f"The body has the key {path_text((twice[:100],))!r} twice in one object.")
    return found


def _no_constant(name: str) -> NoReturn:
    raise BadRequest(f"The body is not JSON: {name} is not a number.")


def _whole_number(digits: str) -> int:
    # Python refuses to read thousands of digits; as a fault of its field any number that is too large will do.
    return int(digits) if len(digits) < 100 else GREATEST + 1


def _not_json(mimetype: str) -> UnsupportedMediaType:
    return UnsupportedMediaType(
        f"The body must be application/json, it is {mimetype or 'of no stated type'}."
    )


def _too_deep() -> BadRequest:
    return BadRequest(f"The body is nested deeper than {DEEPEST} levels.")
