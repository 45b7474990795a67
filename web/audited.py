"""What a request did, for the audit log: each changing route notes it in its own transaction.

A route that changes something and notes nothing is noted all the same, by its address: nothing goes by unseen.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request

from foundation.errors import SendonceError
from foundation.log import log_for
from identity import audit
from identity.audit import Deed
from storage.database import Tx
from web.current import caller_in_words, the_caller, the_house
from web.replays import CHANGES_NOTHING

log = log_for(__name__)

_SAFE = ("GET", "HEAD", "OPTIONS")
_LEAVES_NO_TRACE = "sendonce_leaves_no_trace"

View = TypeVar("View")
Values = Mapping[str, Any]


def install(app: Flask) -> None:
    """Note what no route has noted itself. Comes before the guard: what is refused is no deed."""
    app.after_request(_note_the_rest)


def note(
    tx: Tx,
    action: str,
    object_: str,
    *,
    label: str = "",
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Note what the request at hand does, in the transaction that does it.

    action is a verb ("change", "delete", "pause"); object_ is kind and id ("campaign:7"); label what people call it.
    before and after: see changed(); never a secret.
    """
    caller = the_caller()
    deed = Deed(
        actor=caller.name,
        by=caller_in_words(),
        action=action,
        object=object_,
        label=label,
        before=before,
        after=after,
        address=request.remote_addr,
    )
    house = the_house()
    audit.record(tx, deed, key=house.key, now=house.clock.unchecked())
    g.is_noted = True


def note_alone(
    action: str,
    object_: str,
    *,
    label: str = "",
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Note what was done in a transaction of somebody else's, as what the scheduler's desk does is."""
    try:
        with the_house().database.write(durable=True) as tx:
            note(tx, action, object_, label=label, before=before, after=after)
    except SendonceError as error:  # it has been done: whoever asked must hear that
        log.error("not in the audit log", action=action, object=object_, why=error.message)


def changed(before: Values, after: Values) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return of both only what differs."""
    names = [n for n in {**before, **after} if before.get(n) != after.get(n)]
    return (
        {name: before[name] for name in names if name in before},
        {name: after[name] for name in names if name in after},
    )


def leaves_no_trace(view: View) -> View:
    """Mark a view that changes nothing of anybody's, though its method could (a preview, a test of an account)."""
    setattr(view, _LEAVES_NO_TRACE, True)
    return view


def _note_the_rest(answer: Response) -> Response:
    done = answer.status_code < 400 and request.method not in _SAFE
    if not done or "principal" not in g or request.endpoint is None or "replayed" in g:
        return answer
    view = current_app.view_functions[request.endpoint]
    if (
        "is_noted" in g
        or getattr(view, _LEAVES_NO_TRACE, False)
        or getattr(view, CHANGES_NOTHING, False)
    ):
        return answer
    note_alone(request.method.lower(), f"path:{request.path}"[:400])
    return answer
