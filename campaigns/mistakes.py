"""What the parser of templates complains about, said for the person who writes the mail."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

_OPEN_BLOCK = re.compile(r"innermost block that needs to be closed is '(\w+)'")
_UNKNOWN_TAG = re.compile(r"Encountered unknown tag '(\w+)'")
_ENDS = {
    "expected 'end of print statement'": "a {{ is never closed. Add }}",
    "expected 'end of statement block'": "a {% is never closed. Add %}",
    "unexpected 'end of template'": "a {{ or {% is never closed. Add }} or %}",
    "Missing end of comment tag": "a {# is never closed. Add #}",
    "unexpected '}'": "there is a } too many, or a brace is missing: a placeholder is {{ … }}",
    "Expected an expression, got 'end of print statement'": "{{ }} is empty. Say what goes there",
}


def in_plain_words(message: str) -> str:
    """Return the parser's sentence in words of ours, or as it is where there are none."""
    if found := _OPEN_BLOCK.search(message):
        return f"{{% {found[1]} %}} is never closed. Add {{% end{found[1]} %}}"
    if found := _UNKNOWN_TAG.match(message):
        return f"there is no {{% {found[1]} %}} here. Take it out, or close the tag before it"
    return next((ours for theirs, ours in _ENDS.items() if theirs in message), message)


def line_of(message: str, source: str, *, said: int) -> int:
    """Return the line that the complaint is about: for a block that is never closed the one in which it is opened.

    said: the line that the parser names, which there is where the template ends.
    """
    found = _OPEN_BLOCK.search(message)
    if found is None:
        return said
    opened: list[int] = []
    for tag in re.finditer(rf"{{%[-+]?\s*(end)?{found[1]}\b", source):
        if tag[1] is None:
            opened.append(source.count("\n", 0, tag.start()) + 1)
        elif opened:
            opened.pop()
    return opened[-1] if opened else said


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return " Did you mean …?" for a name that is nearly one of these; "" for any other."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]}?" if near else ""
