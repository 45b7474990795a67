"""Forms with passwords: what was typed for one never goes back to the browser, so it has to be typed again."""

from collections.abc import Mapping
from dataclasses import replace

from foundation.errors import SendonceError
from web import forms
from web.forms import Filled, Mistake


def as_typed(error: SendonceError, labels: Mapping[str, str], *passwords: str) -> Filled:
    """Return the form as it was submitted, with what is wrong, but for the fields that are passwords.

    A password that was fine is named too: left empty, some forms would take it for one that is to stay.
    """
    form = forms.as_typed(error, labels)
    again = [
        Mistake(field=name, label=labels[name], message="Enter it again: it is not sent back.")
        for name in passwords
        if forms.text(name) and form.error(name) is None
    ]
    values = {name: value for name, value in form.values.items() if name not in passwords}
    return replace(form, values=values, mistakes=[*form.mistakes, *again])
