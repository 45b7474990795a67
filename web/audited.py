"""What a request did, for the audit log: each changing route notes it in its own transaction.

A route that changes something and notes nothing is noted all the same, by its address: nothing goes by unseen.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel

from foundation.errors import SendonceError
from foundation.log import log_for
from identity import audit
from identity.audit import Author
from identity.model import Principal
from mail.address import normalise
from storage.database import Tx
from web.current import the_caller, the_house
from web.replays import CHANGES_NOTHING

log = log_for(__name__)

_SAFE = ("GET", "HEAD", "OPTIONS")
_OF_ITSELF = {"id", "version", "created_at", "updated_at", "state", "state_reason"}
"""What an answer tells of a thing that nobody has said."""
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
    note_as(tx, author(), action, object_, label=label, before=before, after=after)


def note_change(
    tx: Tx, object_: str, *, label: str, before: Values, after: Values, action: str = "change"
) -> None:
    """Note what differs now of a thing; nothing where nothing does."""
    was, is_ = changed(before, after)
    if was or is_:
        note(tx, action, object_, label=label, before=was, after=is_)
    else:
        nothing_to_note()


def note_as(
    tx: Tx,
    who: Author | Principal,
    action: str,
    object_: str,
    *,
    label: str = "",
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Note what somebody does whom no guard has let in: who signs in, who unsubscribes."""
    if isinstance(who, Principal):
        who = _author_of(who)
    house = the_house()
    deed = who.did(action, object_, label=label, before=before, after=after)
    audit.record(tx, deed, key=house.key, now=house.clock.unchecked())
    g.is_noted = True


def author() -> Author:
    """Return who does what the request does, for a room that notes it itself (the scheduler's desk does)."""
    nothing_to_note()
    return _author_of(the_caller())


def nothing_to_note() -> None:
    """Say that the request has changed nothing of anybody's, though it might have: it was so already, or a trial."""
    g.is_noted = True


def note_alone(
    action: str,
    object_: str,
    *,
    label: str = "",
    before: Values | None = None,
    after: Values | None = None,
) -> None:
    """Note what was done in no transaction: files that were deleted, a message that was sent."""
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


def told(answer: BaseModel) -> dict[str, Any]:
    """Return what people have said of a thing, as the API tells it: no secret is among it."""
    return answer.model_dump(mode="json", exclude=_OF_ITSELF)


def recipient(email: str) -> str:
    """Return how a recipient is called in the log, where their address never stands. Raises Invalid on email."""
    return audit.person(the_house().key, normalise(email).key)


def leaves_no_trace(view: View) -> View:
    """Mark a view that changes nothing of anybody's, though its method could (a preview)."""
    setattr(view, _LEAVES_NO_TRACE, True)
    return view


def _author_of(principal: Principal) -> Author:
    return Author(
        actor=principal.name,
        by=principal.label or principal.name,
        address=request.remote_addr,
    )


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
    note_alone(request.method.lower(), f"path:{_rule_with_ids()}")
    return answer


def _rule_with_ids() -> str:
    """Return which route it was, with the ids in its address and no other words of it: a path may hold an e-mail."""
    rule = str(request.url_rule)
    for name, value in (request.view_args or {}).items():
        if isinstance(value, int):
            rule = rule.replace(f"<id:{name}>", str(value))
    return rule
