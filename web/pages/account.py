"""/accounts/{id}: one account, and its test, step by step."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from accounts import probe
from accounts.advice import advice, not_tried, planned
from accounts.model import Account, Step
from foundation.errors import Invalid
from identity.model import Role
from web import forms
from web.account_cards import Card, card_of
from web.api.accounts import AccountTest, tried_out
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.pages.accounts import SECTION, get

pages = Pages("account")

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
    """One step. ms is None where it was not tried; advice: what to do about one that failed."""

    name: str
    ok: bool
    detail: str
    ms: int | None
    advice: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a test. sent_to: who has a mail of it now."""

    ok: bool
    lines: Sequence[Line]
    sent_to: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPage:
    """One account, the form of its test, and the result where there is one."""

    card: Card
    form: Filled
    result: Result | None


@pages.get("/accounts/<id:account_id>")
def account(account_id: int) -> Response:
    """Show an account."""
    return _show(account_id, Filled(values={}))


@pages.get("/accounts/<id:account_id>/test", role=Role.ADMIN)
def ask_test(account_id: int) -> Response:
    """Lead to the form: this is the address of a result that is loaded again."""
    return go(f"/accounts/{account_id}#test")


@pages.post("/accounts/<id:account_id>/test", role=Role.ADMIN)
def test(account_id: int) -> Response:
    """Connect, secure, sign in, send one e-mail if it is said where to, and say how far that went."""
    found = get(account_id)
    try:
        body = forms.checked(AccountTest, {"to": forms.text_or_none("to")})
        steps = tried_out(found, to=body.to)
    except Invalid as error:
        return _show(account_id, forms.as_typed(error, _LABELS), status=422)
    return _show(account_id, Filled(values={"to": body.to}), result=_result(found, steps, body.to))


def _result(account: Account, steps: Sequence[Step], to: str | None) -> Result:
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
    left = not_tried(planned(account, with_mail=to is not None), steps)
    for name in left:
        lines.append(
            Line(name=_name(name, seen), ok=False, detail="not tried", ms=None, advice=None)
        )
        seen.append(name)
    return Result(ok=ok, lines=lines, sent_to=to if ok else None)


def _name(step: str, seen: Sequence[str]) -> str:
    # The server's first answer is of no worth once the connection is secured: it is asked again.
    return "EHLO again" if step == "ehlo" and "ehlo" in seen else _NAMES.get(step, step)


def _show(
    account_id: int, form: Filled, *, result: Result | None = None, status: int = 200
) -> Response:
    house = the_house()
    found = get(account_id)
    with house.database.read() as tx:
        card = card_of(tx, found, house.clock.now())
    page = AccountPage(card=card, form=form, result=result)
    return show("account.html", status=status, page=page, section=SECTION)
