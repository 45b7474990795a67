"""What is wrong with a field, in our words: one table, by pydantic's type of error."""

from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from foundation.errors import FieldError, Invalid
from web.strict_json import path_text

_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this call",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of at most 64 bits",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be a text",
    "string_unicode": "must be a text",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long: at most {max_length} characters",
    "string_pattern_mismatch": "is not of the right form",
    "list_type": "must be a list",
    "too_short": "must have at least {min_length}",
    "too_long": "must have at most {max_length}",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "enum": "must be one of {expected}",
    "literal_error": "must be one of {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
}


def refuse(error: ValidationError) -> NoReturn:
    """Raise Invalid with every wrong field of a request."""
    raise Invalid(field_errors(error)) from None


def field_errors(error: ValidationError) -> list[FieldError]:
    """Return what is wrong, field by field, with the paths that the client wrote."""
    details = error.errors(include_url=False, include_input=False)
    return [FieldError(path_text(detail["loc"]), _sentence(detail)) for detail in details]


def _sentence(detail: ErrorDetails) -> str:
    context: dict[str, Any] = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    words = _WORDS.get(detail["type"])
    return words.format_map(context) if words else detail["msg"]
