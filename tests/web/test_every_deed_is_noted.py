"""No route that changes something is left to the net, which knows its address only: each one reaches a note.

Looked at in the code: what a view calls, and what that calls in turn, as far as it is in web.
"""

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

from assembly import Sendonce
from tests.house import app_of
from web import audited
from web.replays import CHANGES_NOTHING

NOTES = {audited.note, audited.note_as, audited.note_alone, audited.author}
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def test_every_route_that_changes_something_notes_what(house: Sendonce) -> None:
    app = app_of(house)
    views = {
        f"{rule.rule} {rule.endpoint}": app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        if rule.methods and rule.methods & UNSAFE
    }

    unnoted = [name for name, view in views.items() if not (is_quiet(view) or is_noted(view))]

    assert len(views) > 80
    assert unnoted == []


def test_a_view_that_notes_nothing_would_be_found() -> None:
    assert not is_noted(audited.recipient)


def is_quiet(view: Callable[..., Any]) -> bool:
    """Say whether a view declares that it changes nothing of anybody's."""
    return any(getattr(view, mark, False) for mark in (CHANGES_NOTHING, audited._LEAVES_NO_TRACE))


def is_noted(view: Callable[..., Any]) -> bool:
    seen: set[FunctionType] = set()
    left = [view]
    while left:
        one = left.pop()
        if one in NOTES:
            return True
        if isinstance(one, FunctionType) and one not in seen:
            seen.add(one)
            left += called_by(one)
    return False


def called_by(function: FunctionType) -> Iterator[Callable[..., Any]]:
    """Yield the functions of ours that a function may call: by name, as a module's, or the one that it wraps."""
    names = set(names_in(function.__code__))
    for name in names:
        found = function.__globals__.get(name)
        if isinstance(found, ModuleType) and found.__name__.startswith("web"):
            yield from filter(is_ours, (getattr(found, other, None) for other in names))
        elif is_ours(found):
            yield found
    for cell in function.__closure__ or ():
        if isinstance(cell.cell_contents, FunctionType):
            yield cell.cell_contents


def names_in(code: CodeType) -> Iterator[str]:
    """Yield what a function names, and what the functions inside it do."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def is_ours(found: object) -> bool:
    return isinstance(found, FunctionType) and found.__module__.startswith("web")
