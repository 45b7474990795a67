"""The filters and tests that a template may use.

A list of our own instead of Jinja's: every filter counts what it costs before it does it, takes nothing for empty, and
reaches into values by key only.
"""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from jinja2 import pass_context
from jinja2.filters import do_title, do_trim
from jinja2.runtime import Context
from jinja2.tests import TESTS as JINJA_TESTS
from markupsafe import Markup, escape

from campaigns.budget import Budget
from campaigns.values import Missing, items_of, kind_of, text_of

BUDGET = "!budget"
"""The budget's place in a template's context: no name that a template can write."""

Filter = Callable[..., Any]


def budget_of(context: Context) -> Budget:
    """Return what the rendering that this context belongs to may still do."""
    budget: Budget = context.parent[BUDGET]
    return budget


def _text(context: Context, value: Any) -> str:
    budget_of(context).spend_on(value)
    return text_of(value)


def _items(context: Context, value: Any) -> list[Any]:
    budget_of(context).spend_on(value)
    return items_of(value)


def _number(value: Any) -> Any:
    return 0 if value is None or isinstance(value, Missing) else value


def _on_text(change: Callable[[str], Any]) -> Filter:
    return pass_context(lambda context, value: change(_text(context, value)))


@pass_context
def _trim(context: Context, value: Any, chars: str | None = None) -> str:
    text = _text(context, value)
    budget_of(context).spend_on_search(text, chars)
    return do_trim(text, chars)


@pass_context
def replace(context: Context, value: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Replace a text by another one, in text or in markup, which stays markup."""
    text, old, new = _text(context, value), _text(context, old), _text(context, new)
    if context.eval_ctx.autoescape and (isinstance(old, Markup) or isinstance(new, Markup)):
        text = escape(text)
    budget_of(context).spend_on_search(text, old)
    found = text.count(old)
    budget_of(context).spend(1, found * len(escape(new)))
    return text.replace(old, new, -1 if count is None else count)


@pass_context
def _truncate(
    context: Context, value: Any, length: int = 255, killwords: bool = False, end: str = "…"
) -> str:
    text = _text(context, value)
    if len(text) <= length:
        return text
    cut = text[: max(0, length - len(end))]
    return (cut if killwords else cut.rsplit(" ", 1)[0]) + _text(context, end)


def _escape(value: str) -> Markup:
    return escape(value)


def _urlencode(value: str) -> str:
    return quote(value, safe="")


_SPEC = re.compile(r"%(?:%|(?:\(\w{1,40}\))?[-+ 0#]{0,5}\d{0,2}(?:\.\d{0,2})?[sdifFeEgGxXo])")


def format_text(context: Context, pattern: Any, values: Any) -> Any:
    """Fill in a pattern as "%.2f": only numbers and short texts, and widths of two digits at most."""
    pattern = _text(context, pattern)
    if len(_SPEC.findall(pattern)) != len(re.findall(r"%%|%", pattern)):
        raise ValueError("a pattern takes %s, %d, %.2f and the like, with at most two digits")
    seen = budget_of(context).spend_on(values)
    budget_of(context).spend(1, pattern.count("%") * (100 + seen))
    if isinstance(values, dict):
        return pattern % {key: _printable(value) for key, value in values.items()}
    if not isinstance(values, tuple):
        values = (values,)
    return pattern % tuple(_printable(value) for value in values)


@pass_context
def _format(context: Context, pattern: Any, *args: Any, **kwargs: Any) -> Any:
    if args and kwargs:
        raise TypeError("format takes values either by place or by name")
    return format_text(context, pattern, kwargs or args)


def _printable(value: Any) -> Any:
    return value if isinstance(value, int | float) else text_of(value)


@pass_context
def _length(context: Context, value: Any) -> int:
    # Without a copy: it costs the same for a long list as for a short one.
    return len(value) if isinstance(value, str | list | tuple | dict) else len(items_of(value))


@pass_context
def _first(context: Context, value: Any) -> Any:
    return next(iter(_items(context, value)), Missing(name="first"))


@pass_context
def _last(context: Context, value: Any) -> Any:
    return next(iter(_items(context, value)[::-1]), Missing(name="last"))


@pass_context
def _list(context: Context, value: Any) -> list[Any]:
    return _items(context, value)


@pass_context
def _reverse(context: Context, value: Any) -> Any:
    budget_of(context).spend_on(value)
    return value[::-1] if isinstance(value, str) else items_of(value)[::-1]


def _default(value: Any, instead: Any = "", also_empty: bool = False) -> Any:
    if value is None or isinstance(value, Missing) or (also_empty and not value):
        return instead
    return value


@pass_context
def concat(context: Context, parts: list[Any]) -> str:
    """Put texts together: what a ~ b means. One part that is markup makes all of it markup."""
    texts = [_text(context, part) for part in parts]
    if context.eval_ctx.autoescape and any(isinstance(text, Markup) for text in texts):
        return Markup("").join(texts)
    return "".join(texts)


@pass_context
def _join(context: Context, value: Any, between: Any = "", attribute: Any = None) -> str:
    items = _items(context, value)
    if attribute is not None:
        items = [_reach(context, item, attribute) for item in items]
    between = _text(context, between)
    budget_of(context).spend(1, len(between) * len(items))
    texts = [_text(context, item) for item in items]
    if context.eval_ctx.autoescape and any(isinstance(t, Markup) for t in [between, *texts]):
        between = escape(between)
    joined: str = between.join(texts)
    return joined


def _reach(context: Context, item: Any, attribute: Any) -> Any:
    """Go down a path as "address.city", by keys and numbers only."""
    parts = attribute.split(".") if isinstance(attribute, str) else [attribute]
    budget_of(context).spend(len(parts))
    for part in parts:
        key = int(part) if isinstance(part, str) and part.isdecimal() else part
        item = context.environment.getitem(item, key)
    return item


def _keys(context: Context, items: list[Any], attribute: Any, case_sensitive: bool) -> list[Any]:
    keys = items if attribute is None else [_reach(context, i, attribute) for i in items]
    if case_sensitive:
        return keys
    return [key.lower() if isinstance(key, str) else key for key in keys]


@pass_context
def _sort(
    context: Context,
    value: Any,
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: Any = None,
) -> list[Any]:
    items = _items(context, value)
    budget_of(context).spend(20 * len(items))
    keys = _keys(context, items, attribute, case_sensitive)
    order = sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)
    return [items[place] for place in order]


@pass_context
def _unique(
    context: Context, value: Any, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    items = _items(context, value)
    firsts: dict[Any, Any] = {}
    for key, item in zip(_keys(context, items, attribute, case_sensitive), items, strict=True):
        firsts.setdefault(key, item)
    return list(firsts.values())


def _extreme(choose: Callable[..., Any]) -> Filter:
    @pass_context
    def pick(
        context: Context, value: Any, case_sensitive: bool = False, attribute: Any = None
    ) -> Any:
        items = _items(context, value)
        if not items:
            return Missing(name=choose.__name__)
        keys = _keys(context, items, attribute, case_sensitive)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return pick


@pass_context
def _sum(context: Context, value: Any, attribute: Any = None, start: Any = 0) -> Any:
    items = _items(context, value)
    if attribute is not None:
        items = [_reach(context, item, attribute) for item in items]
    total = start
    for item in items:
        total = context.environment.call_binop(context, "+", total, item)  # type: ignore[attr-defined]  # ours
    return total


@pass_context
def _map(
    context: Context,
    value: Any,
    name: str | None = None,
    *args: Any,
    attribute: Any = None,
    default: Any = None,
) -> list[Any]:
    items = _items(context, value)
    if attribute is not None:
        found = [_reach(context, item, attribute) for item in items]
        return [default if isinstance(f, Missing) and default is not None else f for f in found]
    if name not in FILTERS:
        raise ValueError(f"there is no filter {name!r}; map takes a filter's name or attribute=")
    return [context.environment.call_filter(name, item, args, context=context) for item in items]


def _choose(keep: bool, *, by_attribute: bool) -> Filter:
    @pass_context
    def choose(context: Context, value: Any, *args: Any) -> list[Any]:
        given = list(args)
        attribute = given.pop(0) if by_attribute else None
        test, *rest = given or [None]
        if test is not None and test not in TESTS:
            raise ValueError(f"there is no test {test!r}")
        items = _items(context, value)
        budget_of(context).spend(len(items) * sum(budget_of(context).spend_on(r) for r in rest))
        subjects = [_reach(context, i, attribute) if by_attribute else i for i in items]
        passed = (
            bool(s)
            if test is None
            else context.environment.call_test(test, s, rest, context=context)
            for s in subjects
        )
        return [item for item, yes in zip(items, passed, strict=True) if yes is keep]

    return choose


@pass_context
def _batch(context: Context, value: Any, size: int, fill: Any = None) -> list[list[Any]]:
    items = _items(context, value)
    if not 1 <= size <= 1000:
        raise ValueError("batch takes a size from 1 to 1000")
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    if batches and fill is not None:
        short = size - len(batches[-1])
        budget_of(context).spend(1, short * budget_of(context).spend_on(fill))
        batches[-1] += [fill] * short
    return batches


@pass_context
def _pairs(context: Context, value: Any) -> list[tuple[Any, Any]]:
    if value is None or isinstance(value, Missing):
        return []
    if not isinstance(value, dict):
        raise TypeError("items takes an object, as recipient.attributes")
    budget_of(context).spend_on(value)
    return list(value.items())


@pass_context
def _sorted_pairs(context: Context, value: Any, reverse: bool = False) -> list[tuple[Any, Any]]:
    return sorted(_pairs(context, value), key=lambda pair: str(pair[0]).lower(), reverse=reverse)


def _int(value: Any, default: Any = 0) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d{1,400}\s*", value):
        return int(value)
    number = _float(value, None)
    return default if number is None else int(number)


def _float(value: Any, default: Any = 0.0) -> Any:
    if value is None or isinstance(value, Missing):
        return default
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return number if abs(number) < 1e15 else default


def _round(value: Any, precision: int = 0, method: str = "common") -> Any:
    if not -15 <= precision <= 15 or method not in ("common", "ceil", "floor"):
        raise ValueError("round takes a precision up to 15 and common, ceil or floor")
    value = _number(value)
    if method == "common":
        return round(value, precision)
    scale = 10.0**precision
    down = value * scale // 1 / scale
    return down if method == "floor" or down == value else (value * scale // 1 + 1) / scale


def _abs(value: Any) -> Any:
    return abs(_number(value))


FILTERS: dict[str, Filter] = {
    "abs": _abs,
    "batch": _batch,
    "capitalize": _on_text(lambda text: text.capitalize()),
    "count": _length,
    "d": _default,
    "default": _default,
    "dictsort": _sorted_pairs,
    "e": _on_text(_escape),
    "escape": _on_text(_escape),
    "first": _first,
    "float": _float,
    "format": _format,
    "int": _int,
    "items": _pairs,
    "join": _join,
    "last": _last,
    "length": _length,
    "list": _list,
    "lower": _on_text(lambda text: text.lower()),
    "map": _map,
    "max": _extreme(max),
    "min": _extreme(min),
    "reject": _choose(False, by_attribute=False),
    "rejectattr": _choose(False, by_attribute=True),
    "replace": replace,
    "reverse": _reverse,
    "round": _round,
    "select": _choose(True, by_attribute=False),
    "selectattr": _choose(True, by_attribute=True),
    "sort": _sort,
    "string": _on_text(lambda text: text),
    "sum": _sum,
    "title": _on_text(do_title),
    "trim": _trim,
    "truncate": _truncate,
    "unique": _unique,
    "upper": _on_text(lambda text: text.upper()),
    "urlencode": _on_text(_urlencode),
}

_HARMLESS = (
    "boolean", "defined", "eq", "equalto", "false", "float", "ge", "greaterthan",
    "gt", "integer", "iterable", "le", "lessthan", "lower", "lt",
    "mapping", "ne", "none", "number", "sequence", "string", "true", "undefined",
    "upper", "==", "!=", "<", "<=", ">", ">=",
)  # fmt: skip


def _whole(value: Any) -> int:
    # Jinja's own odd, even and divisibleby fill in patterns when they are given a text.
    if not isinstance(value, int):
        raise TypeError(f"{kind_of(value)} is not a whole number")
    return value


@pass_context
def _is_in(context: Context, value: Any, container: Any) -> bool:
    if isinstance(container, str):
        budget_of(context).spend_on_search(container, value)
    return value in container


TESTS: dict[str, Callable[..., Any]] = {
    **{name: JINJA_TESTS[name] for name in _HARMLESS},  # type: ignore[misc]  # plain functions
    "in": _is_in,
    "odd": lambda value: _whole(_number(value)) % 2 == 1,
    "even": lambda value: _whole(_number(value)) % 2 == 0,
    "divisibleby": lambda value, by: _whole(_number(value)) % _whole(by) == 0,
}
