"""/runs/{id}/in-doubt: what nobody can know, listed for a person to decide: it arrived, it did not, or give up.

The list says when it was read, and a decision names that time: nobody decides about a doubt that came after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlencode

from flask import Response, request

from accounts import store as accounts
from delivery import decisions, doubts, outlines, reads
from delivery.decisions import Action
from delivery.doubts import Reach
from delivery.model import Delivery, DeliveryStatus
from delivery.outlines import RunOutline
from foundation.errors import Conflict, FieldError, Invalid
from identity.model import Role
from web import forms
from web.api import runs as deeds
from web.api.runs import Resolve
from web.current import the_house
from web.decided import DecidedRow, decided_rows
from web.fields import Query, QueryInstant, rfc3339
from web.forms import Filled
from web.page import Pages, go, show
from web.paging import Page, next_cursor
from web.schedule_rows import names_of
from web.shown import many, number

pages = Pages("run-doubts")

PAGE = 100
NAMED = 10
LABELS = {"action": "What has become of them", "chosen": "Which of them"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One thing that can be decided. means: what it does, in a sentence."""

    action: Action
    text: str
    means: str


CHOICES = (
    Choice(
        action=Action.MARK_SENT,
        text="It arrived: mark as sent",
        means="Nothing goes out. It counts as sent from then on.",
    ),
    Choice(
        action=Action.RESEND,
        text="It did not: send again",
        means="The same mail goes out once more. May reach somebody twice; it has the same Message-ID, so many"
        " mailboxes drop the repeat.",
    ),
    Choice(
        action=Action.MARK_FAILED,
        text="Give up: mark as failed",
        means="Nothing goes out. It counts as failed, and so among those to whom the mail can be sent later as to"
        " people who did not get it.",
    ),
)


class Chosen(Query):
    """What was chosen of the list: what to do, and the time at which the list was read."""

    action: Literal["resend", "mark-sent", "mark-failed"]
    before: QueryInstant


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtRow:
    """A delivery in doubt, and the account that it was sent through."""

    delivery: Delivery
    account: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtsPage:
    """The list. read_at: when it was read; says: why nothing was decided, where somebody has just tried."""

    run: RunOutline
    campaign: str
    form: Filled
    rows: Sequence[DoubtRow]
    read_at: str
    choices: Sequence[Choice]
    decided: Sequence[DecidedRow]
    says: str | None
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """What is about to be done. emails: about whom, None for all. left: how many it can't be done to."""

    run: RunOutline
    campaign: str
    action: Action
    before: str
    emails: Sequence[str] | None
    named: Sequence[str]
    count: int
    left: int
    back: str


@pages.get("/runs/<id:run_id>/in-doubt")
def in_doubt(run_id: int) -> Response:
    """List what is in doubt."""
    return _show(run_id, Filled(values={}))


@pages.get("/runs/<id:run_id>/in-doubt/decide", role=Role.EDITOR)
def ask(run_id: int) -> Response:
    """Say what was chosen, before it is done: about how many, and what it does."""
    try:
        chosen, ids = _chosen()
    except Invalid as error:
        typed = {"action": request.args.get("action"), "chosen": request.args.getlist("chosen")}
        form = Filled(values=typed, mistakes=forms.mistakes_of(error, LABELS))
        return _show(run_id, form, status=422)
    action = Action(chosen.action)
    with the_house().database.read() as tx:
        run = outlines.outline(tx, run_id)
        emails = None
        if ids is not None:
            emails = [one.email for one in reads.deliveries_named(tx, run_id, ids)]
        reach = doubts.reach(tx, run_id, action, emails=emails, before=chosen.before)
    if not reach.possible:
        return _show(run_id, Filled(values={}), says=_why_none(reach), status=409)
    page = ConfirmPage(
        run=run,
        campaign=names_of(the_house()).campaign(run.campaign_id),
        action=action,
        before=rfc3339(chosen.before),
        emails=emails,
        named=(emails or ())[:NAMED],
        count=reach.possible,
        left=reach.in_doubt - reach.possible,
        back=_path(run_id),
    )
    return show("run_doubts_decide.html", page=page, section="Runs")


@pages.post("/runs/<id:run_id>/in-doubt")
def decide(run_id: int) -> Response:
    """Do what was chosen to those of them who still are in doubt."""
    given = {"action": forms.text("action"), "before": forms.text("before")}
    named = "all" if forms.ticked("all") else request.form.getlist("emails")
    body = forms.checked(Resolve, given | {"emails": named})
    try:
        _, done, found = deeds.decide(run_id, body)
    except Conflict as error:
        return _show(run_id, Filled(values={}), says=error.message, status=409)
    meanwhile = len(set(body.emails)) - found.in_doubt if body.emails else 0
    said = _said(Action(body.action), done, meanwhile=meanwhile, left=found.in_doubt - done)
    return go(f"{_path(run_id)}#doubts", say=said)


def _chosen() -> tuple[Chosen, list[int] | None]:
    """Return what the list's form asks for, and the deliveries that are ticked, None for all; raises Invalid."""
    errors: list[FieldError] = []
    if "action" not in request.args:
        errors.append(FieldError("action", "Say what has become of them: choose one of the three."))
    ids = None
    if "all" not in request.args:
        given = request.args.getlist("chosen")
        ids = [int(i) for i in given if i.isascii() and i.isdigit() and len(i) < 19]
        if not ids:
            errors.append(
                FieldError(
                    "chosen", "Nobody is ticked. Tick whom it is about, or decide about all."
                )
            )
    if errors:
        raise Invalid(errors)
    wanted = {name: request.args.get(name) for name in ("action", "before")}
    return forms.checked(Chosen, wanted), ids


def _show(run_id: int, form: Filled, *, says: str | None = None, status: int = 200) -> Response:
    house = the_house()
    asked = request.args.to_dict() if request.path == _path(run_id) else {}
    query = forms.checked(Page, asked)
    # Before the list is read: what comes while it is, nobody has seen.
    read_at = house.clock.now()
    with house.database.read() as tx:
        run = outlines.outline(tx, run_id)
        found = reads.list_deliveries(
            tx,
            run_id,
            status=DeliveryStatus.IN_DOUBT,
            q=None,
            after=query.key,
            limit=PAGE + 1,
        )
        called = accounts.names(tx)
        made = decisions.newest_together(tx, run_id, limit=PAGE, whole_run_too=False)
    cursor = next_cursor(found, limit=PAGE, key=lambda delivery: delivery.id)
    page = DoubtsPage(
        run=run,
        campaign=names_of(house).campaign(run.campaign_id),
        form=form,
        rows=[DoubtRow(delivery=one, account=_account(one, called)) for one in found[:PAGE]],
        read_at=rfc3339(read_at),
        choices=CHOICES,
        decided=decided_rows(made),
        says=says,
        first=_path(run_id) if query.cursor else None,
        next=f"{_path(run_id)}?{urlencode({'cursor': cursor})}" if cursor else None,
    )
    return show("run_doubts.html", status=status, page=page, section="Runs")


def _account(delivery: Delivery, called: Mapping[int, str]) -> str:
    if delivery.account_id is None:
        return "not known"
    return called.get(delivery.account_id, f"account {delivery.account_id} (deleted)")


def _why_none(reach: Reach) -> str:
    if not reach.in_doubt:
        return (
            "Nothing of what you chose is in doubt any more: somebody has decided it meanwhile. This is the list as it"
            " is now."
        )
    return (
        "Nothing was done: nobody of those you chose can be sent to any more (suppressed, removed, or the account of"
        " the first try is gone). Mark them as sent or as failed."
    )


def _said(action: Action, done: int, *, meanwhile: int, left: int) -> str:
    """Say what was done, and what was not."""
    said = {
        Action.RESEND: f"It is sent again to {many(done, 'person')}.",
        Action.MARK_SENT: f"{many(done, 'delivery')} marked as sent.",
        Action.MARK_FAILED: f"{many(done, 'delivery')} marked as failed.",
    }[action]
    if meanwhile > 0:
        was = "was" if meanwhile == 1 else "were"
        said += f" {number(meanwhile)} {was} decided meanwhile by somebody else."
    if left > 0:
        said += f" {number(left)} can't be sent to any more and {'is' if left == 1 else 'are'} still in doubt."
    return said


def _path(run_id: int) -> str:
    return f"/runs/{run_id}/in-doubt"
