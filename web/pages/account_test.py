"""/accounts/{id}/test: the test of an account, step by step; for our script, as the steps end."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flask import Response, render_template, stream_with_context

from accounts import probe
from accounts.advice import advice, not_tried, planned
from accounts.model import Account, Step
from foundation.errors import Invalid
from identity.model import Role
from web import forms
from web.api.accounts import AccountTest, tried_out, trying
from web.forms import Filled
from web.page import Pages, go
from web.pages import account as account_page
from web.pages.accounts import get

pages = Pages("account-test")

PIECE_ENDS = "\x1e"
"""What parts the pieces of a test that is told as it goes on: no page holds it."""

_LABELS = {"to": "Also send one e-mail to"}
_NAMES = {
    "connect": "Connect",
    "banner": "Greeting",
    "ehlo": "EHLO",
    "starttls": "STARTTLS",
    "tls": "Secure",
    "auth": "Sign in",
    "mail": "Sender",
    "rcpt": "Recipient",
    "data": "Begin",
    "content": "Send",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One step. ms is None where it has not ended; advice: what to do about one that failed."""

    name: str
    ok: bool
    detail: str
    ms: int | None
    advice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a test, or is coming while it goes on (ok None). sent_to: who has a mail of it now."""

    ok: bool | None
    lines: Sequence[Line]
    sent_to: str | None


@pages.get("/accounts/<id:account_id>/test", role=Role.ADMIN)
def ask_test(account_id: int) -> Response:
    """Lead to the form: this is the address of a result that is loaded again."""
    return go(f"/accounts/{account_id}#test")


@pages.post("/accounts/<id:account_id>/test", role=Role.ADMIN)
def test(account_id: int) -> Response:
    """Connect, secure, sign in, send one e-mail if it is said where to, and say how far that went."""
    found = get(account_id)
    try:
        to = _to()
        steps = tried_out(found, to=to)
    except Invalid as error:
        return _refused(account_id, error)
    return _whole(found, steps, to)


@pages.post("/accounts/<id:account_id>/test/steps", role=Role.ADMIN, shows_only=True)
def test_as_it_goes(account_id: int) -> Response:
    """Do the same, and answer in pieces: the steps so far whenever one has ended, at last the whole page."""
    found = get(account_id)
    try:
        to = _to()
        progress = trying(found, to=to)
    except Invalid as error:
        return _refused(account_id, error)
    answer = Response(stream_with_context(_pieces(found, progress, to)), mimetype="text/html")
    answer.headers["X-Accel-Buffering"] = "no"  # nginx: pass each piece on at once
    return answer


def _pieces(account: Account, progress: Iterator[list[Step]], to: str | None) -> Iterator[str]:
    steps: list[Step] = []
    yield _piece(account, steps, to)
    for steps in progress:
        yield _piece(account, steps, to)
    yield _whole(account, steps, to).get_data(as_text=True)


def _piece(account: Account, steps: Sequence[Step], to: str | None) -> str:
    result = _result(account, steps, to, is_over=False)
    return render_template("pages/account_steps.html", result=result) + PIECE_ENDS


def _to() -> str | None:
    """Return where a mail is to go. Raises Invalid."""
    return forms.checked(AccountTest, {"to": forms.text_or_none("to")}).to


def _refused(account_id: int, error: Invalid) -> Response:
    return account_page.show_account(account_id, forms.as_typed(error, _LABELS), status=422)


def _whole(account: Account, steps: Sequence[Step], to: str | None) -> Response:
    result = _result(account, steps, to, is_over=True)
    return account_page.show_account(account.id, Filled(values={"to": to}), result=result)


def _result(account: Account, steps: Sequence[Step], to: str | None, *, is_over: bool) -> Result:
    ok = probe.is_ok(list(steps))
    seen: list[str] = []
    lines = []
    for step in steps:
        lines.append(
            Line(
                name=_name(step.step, seen),
                ok=step.ok,
                detail=step.detail,
                ms=step.ms,
                advice=None if step.ok else advice(step, account),
            )
        )
        seen.append(step.step)
    has_failed = any(not step.ok for step in steps)
    for name in not_tried(planned(account, with_mail=to is not None), steps):
        is_next = len(seen) == len(steps) and not has_failed and not is_over
        detail = "in work…" if is_next else "" if not is_over else "not tried"
        lines.append(Line(name=_name(name, seen), ok=False, detail=detail, ms=None, advice=None))
        seen.append(name)
    return Result(ok=ok if is_over else None, lines=lines, sent_to=to if ok and is_over else None)


def _name(step: str, seen: Sequence[str]) -> str:
    # The server's first answer is of no worth once the connection is secured: it is asked again.
    return "EHLO again" if step == "ehlo" and "ehlo" in seen else _NAMES.get(step, step)
