"""/campaigns: every campaign, newest first, and what can be done with one as a whole: copy it, delete it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

from flask import Response, request

from accounts import store as accounts
from audience import store as audiences
from audience.model import Audience
from campaigns import store
from campaigns.model import Campaign
from campaigns.store import Outline
from foundation.errors import Conflict, Stale
from identity.model import Role
from web import forms
from web.api import campaigns as deeds
from web.api.campaigns import OVER, kept_by, waiting_schedules
from web.current import the_house
from web.fields import QueryText
from web.forms import Filled
from web.page import Pages, go, show
from web.paging import Page, next_cursor

pages = Pages("campaigns")

PAGE = 50


class CampaignQuery(Page):
    """Which part of the list is wanted."""

    q: QueryText = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    """A campaign in the list. schedules: how many are still to send it."""

    id: int
    name: str
    subject: str
    audiences: Sequence[Audience]
    accounts: str
    schedules: int
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignsPage:
    """What the page shows."""

    rows: Sequence[CampaignRow]
    q: str
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePage:
    """What would go. kept_by: why it can't, and which schedule that is."""

    form: Filled
    campaign: Campaign
    runs: int
    kept_by: str | None
    schedule_id: int | None


@pages.get("/campaigns")
def campaigns() -> Response:
    """List the campaigns."""
    house = the_house()
    query = forms.checked(CampaignQuery, request.args.to_dict())
    q = query.q.strip()
    uses = Counter(s.campaign_id for s in house.store.read() if s.status not in OVER)
    with house.database.read() as tx:
        found = store.search(tx, q=q, before=query.key, limit=PAGE + 1)
        lists = audiences.by_id(tx)
        called = accounts.names(tx)
    cursor = next_cursor(found, limit=PAGE, key=lambda campaign: campaign.id)
    page = CampaignsPage(
        rows=[_row(one, lists, called, uses[one.id]) for one in found[:PAGE]],
        q=q,
        first=_path(q=q) if query.cursor else None,
        next=_path(q=q, cursor=cursor) if cursor else None,
    )
    return show("campaigns.html", page=page, section="Campaigns")


@pages.post("/campaigns/<id:campaign_id>/duplicate")
def duplicate(campaign_id: int) -> Response:
    """Make a copy, and open it."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        copy = store.duplicate(tx, campaign_id, house.clock.now())
        deeds.note_making(tx, copy)
    return go(f"/campaigns/{copy.id}", say=f"Copied. This is {copy.name}; nothing sends it yet.")


@pages.get("/campaigns/<id:campaign_id>/delete", role=Role.EDITOR)
def ask_delete(campaign_id: int) -> Response:
    """Say what goes and what stays."""
    return _show_delete(campaign_id)


@pages.post("/campaigns/<id:campaign_id>/delete")
def delete(campaign_id: int) -> Response:
    """Delete the campaign; what was sent of it stays in Runs."""
    try:
        name = deeds.delete(campaign_id, expected_version=forms.version())
    except (Conflict, Stale) as error:
        status = 412 if isinstance(error, Stale) else 409
        return _show_delete(campaign_id, forms.as_typed(error, {}), status=status)
    return go("/campaigns", say=f"{name} is deleted.")


def _show_delete(campaign_id: int, form: Filled | None = None, *, status: int = 200) -> Response:
    house = the_house()
    with house.database.read() as tx:
        campaign = store.get(tx, campaign_id)
    waiting = waiting_schedules(house, campaign_id)
    page = DeletePage(
        form=form or Filled(values={}),
        campaign=campaign,
        runs=sum(s.total_runs for s in house.store.read() if s.campaign_id == campaign_id),
        kept_by=kept_by(waiting),
        schedule_id=waiting[0] if waiting else None,
    )
    return show("campaign_delete.html", status=status, page=page, section="Campaigns")


def _row(
    outline: Outline, lists: dict[int, Audience], called: dict[int, str], schedules: int
) -> CampaignRow:
    return CampaignRow(
        id=outline.id,
        name=outline.name,
        subject=outline.subject,
        audiences=[lists[i] for i in outline.audience_ids if i in lists],
        accounts=", ".join(called[i] for i in outline.account_ids if i in called),
        schedules=schedules,
        updated_at=outline.updated_at,
    )


def _path(**query: str) -> str:
    given = {name: value for name, value in query.items() if value}
    return "/campaigns" + ("?" + urlencode(given) if given else "")
