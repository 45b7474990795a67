"""Requests that are repeated, and requests made on an old version: Idempotency-Key and If-Match.

The first answer under a key is kept for 24 hours, per caller and path; a mistake is an answer too. One that says
nothing about the request itself (who may come in, a fault of ours) is not kept: the same request may do better later.
"""

import hashlib
import hmac
import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from flask import Flask, Response, current_app, g, request

from foundation.errors import Conflict, Invalid, SendonceError, Stale
from foundation.log import log_for
from storage import replays
from web.current import the_caller, the_house

log = log_for(__name__)

_WAIT_AT_MOST = timedelta(seconds=5)
_LOOK_AGAIN_AFTER = timedelta(milliseconds=50)
_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?", re.ASCII)
_VERSION = re.compile(r'"([1-9][0-9]{0,18})"', re.ASCII)
_MAY_REPEAT = "sendonce_may_repeat"
CHANGES_NOTHING = "sendonce_changes_nothing"
"""The mark of a view whose POST changes nothing."""
_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")

LEADS_TO = "X-Leads-To"
"""The header that tells a script of ours where a redirect would lead."""

KEY_FIELD = "idempotency_key"
"""The form field of our own pages that is their Idempotency-Key: made when the form was."""

_SAYS_NOTHING = (401, 403, 429)

Handler = TypeVar("Handler", bound=Callable[..., object])


def may_repeat(handler: Handler) -> Handler:
    """Mark a handler whose room keeps request_key() itself: doing it again does nothing twice, even after a crash."""
    setattr(handler, _MAY_REPEAT, True)
    return handler


def changes_nothing(handler: Handler) -> Handler:
    """Mark a handler of a POST that only shows something: its repeats are answered anew, whatever key they carry."""
    setattr(handler, CHANGES_NOTHING, True)
    return handler


def install(app: Flask) -> None:
    """Answer a repeat with the first answer. Comes after the guard: a key belongs to a caller."""
    app.before_request(_begin)
    app.after_request(_finish)


def expected_version() -> int | None:
    """Return the version that the client believes it changes; None where it does not say.

    Raises Invalid on "If-Match".
    """
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    match = _VERSION.fullmatch(given.strip())
    if match is None:
        raise Invalid.field("If-Match", 'must be a version in quotes, as "3"')
    return int(match[1])


def refuse_other_version(version: int, expected: int) -> None:
    """Raise Stale where the version is another one; rooms do this themselves when they change something."""
    if version != expected:
        raise Stale(f"It is at version {version}, not {expected}. Load it again.")


def request_key() -> str | None:
    """Return a name for this request that its repeats share, and no other caller's do; None without a key."""
    key = _key()
    if key is None:
        return None
    return hashlib.sha256(f"{the_caller().name}\n{key}".encode()).hexdigest()


def _key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None and request.mimetype in _FORMS:
        key = request.form.get(KEY_FIELD)
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid.field("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    return key


def _begin() -> Response | None:
    if request.method != "POST" or "principal" not in g or request.endpoint is None:
        return None
    if getattr(current_app.view_functions[request.endpoint], CHANGES_NOTHING, False):
        return None
    key = _key()
    if key is None:
        return None
    named = replays.Request(
        caller=the_caller().name, path=request.path, key=key, bodies=_body_marks()
    )
    try:
        answer = _first_answer(named)
    except replays.OtherBody:
        raise Invalid.field(
            "Idempotency-Key", "was used for a request with another body: take a new one"
        ) from None
    if answer is None:
        g.replay = named
        return None
    g.replayed = True
    body = the_house().key.unseal(answer.body)
    again = Response(body, status=answer.status, content_type=answer.content_type)
    if answer.location is not None:
        again.headers[_leads_in(again)] = answer.location
    return again


def _leads_in(answer: Response) -> str:
    """Return the header that says where a form's answer leads: a script can't see where a redirect does."""
    return "Location" if answer.status_code == 303 else LEADS_TO


def _first_answer(named: replays.Request) -> replays.Answer | None:
    """Return the answer given under the key; None when this request is the one to give it."""
    house = the_house()
    deadline = house.clock.elapsed() + _WAIT_AT_MOST
    begun = False
    while True:
        try:
            if begun:  # waiting must not keep anybody from writing
                with house.database.read() as tx:
                    answer = replays.look(tx, named)
                if answer is not None:
                    return answer
            with house.database.write(durable=False) as tx:
                return replays.begin(tx, named, house.clock.now())
        except replays.InWork:
            begun = True
            if house.clock.elapsed() >= deadline:
                break
            house.clock.wait(threading.Event(), _LOOK_AGAIN_AFTER)
    if getattr(current_app.view_functions[str(request.endpoint)], _MAY_REPEAT, False):
        # The room keeps the key itself, so doing it again does nothing twice.
        return None
    raise Conflict(
        "The first request with this Idempotency-Key has given no answer yet. It is still in work, or its"
        " process died in it: look whether it was carried out, and if not repeat it with a new key."
    )


def _finish(answer: Response) -> Response:
    named: replays.Request | None = g.pop("replay", None)
    if named is None:
        return answer
    try:
        _keep(named, answer)
    except SendonceError as error:
        # What was asked for has happened: the caller hears so, and only a repeat is told to look for itself.
        log.error("an answer could not be kept for repeats", why=error.message)
    return answer


def _keep(named: replays.Request, answer: Response) -> None:
    house = the_house()
    with house.database.write(durable=True) as tx:
        # A page's form is pressed again once what stood in its way is gone: nothing was done, so nothing is kept.
        is_a_pages = "Idempotency-Key" not in request.headers and answer.status_code >= 400
        if is_a_pages or answer.status_code in _SAYS_NOTHING or answer.status_code >= 500:
            replays.forget(tx, named)
            return
        kept = replays.Answer(
            status=answer.status_code,
            content_type=answer.content_type or "",
            # Sealed: the answer to POST /api/tokens holds a secret of which only a hash may be kept.
            body=house.key.seal(answer.get_data(as_text=True)),
            location=answer.headers.get(_leads_in(answer)),
        )
        replays.finish(tx, named, kept)


def _body_marks() -> list[bytes]:
    """Return what tells two bodies apart and does not give away a password in one, as a plain hash would."""
    secrets = the_house().key.derive_each("bodies of repeated requests")
    return [hmac.digest(secret, _body_digest(), "sha256") for secret in secrets]


def _body_digest() -> bytes:
    mark = hashlib.sha256()
    if request.mimetype not in _FORMS:
        mark.update(request.get_data(cache=True))
        return mark.digest()
    # The boundary of a form is a new one each time it is sent, and so is the token of a page that is shown again: what
    # was filled in is what counts.
    for name, text in sorted(request.form.items(multi=True)):
        if name not in (KEY_FIELD, "csrf_token"):
            mark.update(f"{len(name)} {len(text)} {name}{text}".encode(errors="replace"))
    for name, file in request.files.items(multi=True):
        content = file.stream.read()
        file.stream.seek(0)
        mark.update(f"{len(name)} {name} {len(content)} ".encode(errors="replace") + content)
    return mark.digest()
