"""/campaigns/new and /campaigns/{id}: one form for what is said, to whom and through what, beside its preview."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Response, request

from accounts import store as accounts
from accounts.model import Account, Kind, State
from audience import store as audiences
from audience.model import Audience
from campaigns import files, store
from campaigns.model import Campaign, InDoubtRule, Snapshot
from campaigns.store import CampaignFields
from foundation.errors import FieldError, Invalid, SendonceError, Stale
from identity.model import Role
from scheduler.model import Schedule
from web import forms
from web.api.campaigns import (
    OVER,
    NewCampaign,
    check_ids,
    fields_of,
    note_changing,
    note_making,
)
from web.audited import nothing_to_note
from web.campaign_look import Look, look_at
from web.current import the_house
from web.forms import Filled
from web.page import FRAGMENT, Pages, go, show
from web.pages.campaign_preview import VIEWS, draft, lines
from web.shown import many

pages = Pages("campaign-editor")

_MOST_ACCOUNTS = 500
_LABELS = {
    "name": "Name",
    "subject": "Subject",
    "html": "HTML",
    "text": "Plain text",
    "audience_ids": "Audiences",
    "account_ids": "Accounts",
    "from_name": "Sender's name",
    "reply_to": "Replies go to",
    "in_doubt": "If a delivery is in doubt",
    "file": "Attachments",
}
_LISTS = ("audience_ids", "account_ids")
_TEXTS = ("name", "subject", "html", "text", "from_name", "reply_to")
_CHOOSE = {
    "audience_ids": "choose at least one: it says whom this goes to",
    "account_ids": "choose at least one: it sends this",
}
_RULES = (
    (InDoubtRule.HOLD, "Ask me"),
    (InDoubtRule.RESEND, "Send once more, may reach somebody twice"),
)
_TEXT_FROM = (("html", "From the HTML"), ("own", "My own"))
_FIRST_HTML = """\
<p>Hello {{ name or "there" }},</p>

<p>write here what you have to say.</p>

<p><small>You get this because you are on our list. <a href="{{ unsubscribe_url }}">Unsubscribe</a></small></p>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field in which what was typed is not what somebody else has saved. saved: that text, if it is one."""

    label: str
    saved: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorPage:
    """The form and what stands beside it.

    campaign: the one that is edited, None for a new one. newer: what somebody else has saved since the form was made,
    differs: the fields in which the form is not like that.
    """

    form: Filled
    campaign: Campaign | None
    audiences: Sequence[tuple[int, str]]
    accounts: Sequence[tuple[int, str]]
    look: Look
    views: Sequence[tuple[str, str]]
    text_from: Sequence[tuple[str, str]]
    rules: Sequence[tuple[str, str]]
    schedules: int
    runs: int
    newer: Campaign | None
    differs: Sequence[Difference]


@pages.get("/campaigns/new", role=Role.EDITOR)
def new() -> Response:
    """Show the form of a new campaign, with something in it that can be saved as it is."""
    lists, senders = _choices()
    values = {
        "name": "New campaign",
        "subject": 'Hello {{ name or "there" }}',
        "html": _FIRST_HTML,
        "text_from": "html",
        "audience_ids": [lists[0].id] if len(lists) == 1 else [],
        "account_ids": [senders[0].id] if len(senders) == 1 else [],
        "in_doubt": InDoubtRule.HOLD,
    }
    return show_editor(Filled(values=values), _draft_of(values))


@pages.post("/campaigns/new")
def create() -> Response:
    """Make the campaign, and go on with it."""
    house = the_house()
    try:
        body = _given()
        with house.database.write(durable=True) as tx:
            check_ids(tx, body)
            made = store.create(tx, fields_of(body), house.clock.now())
            note_making(tx, made)
    except Invalid as error:
        return show_editor(as_typed(error), draft(), status=422)
    return go(f"/campaigns/{made.id}", say=f"{made.name} is saved. Nothing sends it yet.")


@pages.get("/campaigns/<id:campaign_id>")
def editor(campaign_id: int) -> Response:
    """Show a campaign's form."""
    return _show_saved(_saved(campaign_id))


@pages.post("/campaigns/<id:campaign_id>")
def change(campaign_id: int) -> Response:
    """Save the campaign, and stay with it; runs that were claimed keep what they have."""
    house = the_house()
    expected = forms.whole("over") or forms.version()
    try:
        body = _given()
        with house.database.write(durable=True) as tx:
            check_ids(tx, body)
            old = store.get(tx, campaign_id)
            saved = store.update(
                tx,
                campaign_id,
                {name: getattr(fields_of(body), name) for name in NewCampaign.model_fields},
                expected_version=expected if isinstance(expected, int) else None,
                now=house.clock.now(),
            )
            note_changing(tx, old, saved)
    except Invalid as error:
        return show_editor(as_typed(error), draft(), campaign=_saved(campaign_id), status=422)
    except Stale as error:
        saved = _saved(campaign_id)
        differs = _differences(fields_of(body), saved)
        if differs:
            return show_editor(
                as_typed(error), draft(), campaign=saved, newer=saved, differs=differs, status=412
            )
        nothing_to_note()  # it is saved as it was typed
    if FRAGMENT in request.headers:
        return _show_saved(saved)
    return go(f"/campaigns/{campaign_id}")


def _saved(campaign_id: int) -> Campaign:
    with the_house().database.read() as tx:
        return store.get(tx, campaign_id)


def _choices() -> tuple[list[Audience], list[Account]]:
    house = the_house()
    with house.database.read() as tx:
        senders = accounts.list_(tx, house.key, after=None, limit=_MOST_ACCOUNTS)
        return list(audiences.by_id(tx).values()), senders


def _given() -> NewCampaign:
    """Return the form as the API has it. Raises Invalid."""
    values: dict[str, Any] = {
        "name": forms.text("name"),
        "subject": forms.text("subject"),
        "html": lines("html"),
        "text": lines("text") if forms.text("text_from") == "own" else None,
        "audience_ids": forms.ids("audience_ids"),
        "account_ids": forms.ids("account_ids"),
        "from_name": forms.text_or_none("from_name"),
        "reply_to": forms.text_or_none("reply_to"),
        "in_doubt": forms.text("in_doubt") or InDoubtRule.HOLD,
    }
    try:
        return forms.checked(NewCampaign, values)
    except Invalid as error:
        asked = {name: says for name, says in _CHOOSE.items() if not values[name]}
        raise Invalid(
            [FieldError(e.field, asked.get(e.field, e.message)) for e in error.errors]
        ) from None


def typed() -> Filled:
    """Return the form as it was typed, with nothing to complain about."""
    values: dict[str, Any] = {name: request.form.get(name) for name in request.form}
    return Filled(values=values | {name: request.form.getlist(name) for name in _LISTS})


def as_typed(error: SendonceError) -> Filled:
    """Return the form as it was typed, with what is wrong with it."""
    form = forms.as_typed(error, _LABELS, _LISTS)
    # What a stale save means is said in full beside the form.
    return Filled(values=form.values, key=form.key) if isinstance(error, Stale) else form


def _differences(given: CampaignFields, saved: Campaign) -> list[Difference]:
    """Return in what that which was typed is not what is saved."""
    kept = store.check(given)
    return [
        Difference(
            label=_LABELS[name],
            saved=str(getattr(saved, name) or "") if name in _TEXTS else None,
        )
        for name in NewCampaign.model_fields
        if getattr(kept, name) != getattr(saved, name)
    ]


def _values_of(campaign: Campaign) -> dict[str, Any]:
    return {
        "name": campaign.name,
        "subject": campaign.subject,
        "html": campaign.html,
        "text": campaign.text,
        "text_from": "html" if campaign.text is None else "own",
        "audience_ids": campaign.audience_ids,
        "account_ids": campaign.account_ids,
        "from_name": campaign.from_name,
        "reply_to": campaign.reply_to,
        "in_doubt": campaign.in_doubt,
        "version": campaign.version,
    }


def _draft_of(values: dict[str, Any]) -> Snapshot:
    names = ("name", "subject", "html", "in_doubt")
    return Snapshot(
        campaign_id=0,
        text=values.get("text"),
        audience_ids=tuple(values["audience_ids"]),
        account_ids=tuple(values["account_ids"]),
        from_name=values.get("from_name"),
        reply_to=values.get("reply_to"),
        **{name: values[name] for name in names},
    )


def _show_saved(campaign: Campaign) -> Response:
    values = _values_of(campaign)
    content = replace(_draft_of(values), attachments=files.frozen(campaign.attachments))
    return show_editor(Filled(values=values), content, campaign=campaign)


def show_editor(
    form: Filled,
    content: Snapshot,
    *,
    campaign: Campaign | None = None,
    newer: Campaign | None = None,
    differs: Sequence[Difference] = (),
    status: int = 200,
) -> Response:
    """Show the form, and beside it what the content would be. campaign None: it is a new one."""
    lists, senders = _choices()
    used = _used(campaign)
    page = EditorPage(
        form=form,
        campaign=campaign,
        audiences=_chosen_first(
            [(one.id, f"{one.name} ({many(one.recipients, 'person')})") for one in lists],
            form.value("audience_ids"),
        ),
        accounts=_chosen_first(
            [(one.id, _called(one)) for one in senders], form.value("account_ids")
        ),
        look=look_at(the_house(), content, forms.text_or_none("as")),
        views=VIEWS,
        text_from=_TEXT_FROM,
        rules=_RULES,
        schedules=sum(schedule.status not in OVER for schedule in used),
        runs=sum(schedule.total_runs for schedule in used),
        newer=newer,
        differs=differs,
    )
    return show("campaign_editor.html", status=status, page=page, section="Campaigns")


def _chosen_first(
    options: Sequence[tuple[int, str]], chosen: Sequence[int | str]
) -> list[tuple[int, str]]:
    """Put what is chosen first, in its order: so a form that is sent as it was leaves the order alone."""
    place = {str(one): number for number, one in enumerate(chosen)}
    return sorted(options, key=lambda option: place.get(str(option[0]), len(place)))


def _called(account: Account) -> str:
    if account.kind is Kind.SANDBOX:
        return f"{account.name} (stays on this machine)"
    return account.name if account.state is State.OK else f"{account.name} ({account.state})"


def _used(campaign: Campaign | None) -> list[Schedule]:
    if campaign is None:
        return []
    return [s for s in the_house().store.read() if s.campaign_id == campaign.id]
