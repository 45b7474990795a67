"""/campaigns/{id}/test: the campaign as it is saved, to a few addresses, and what the server said to each."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from campaigns import store
from campaigns.model import Campaign
from delivery.trial_send import TrialResult
from foundation.errors import Conflict, Invalid
from identity.model import Role
from web import forms
from web.api.campaigns import MOST_TESTS, TestSend, try_out
from web.current import the_house
from web.forms import Filled
from web.page import Pages, show

pages = Pages("campaign-trial")

_LABELS = {"to": "Addresses"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialPage:
    """The form, and what came of it."""

    form: Filled
    campaign: Campaign
    most: int
    results: Sequence[TrialResult]


@pages.get("/campaigns/<id:campaign_id>/test", role=Role.EDITOR)
def ask_trial(campaign_id: int) -> Response:
    """Ask where the test goes."""
    return _show(campaign_id, Filled(values={}))


@pages.post("/campaigns/<id:campaign_id>/test")
def send_trial(campaign_id: int) -> Response:
    """Send it, now, and say what the server answered."""
    try:
        body = forms.checked(TestSend, {"to": forms.text("to").replace(",", " ").split()})
        results = try_out(campaign_id, body.to)
    except (Invalid, Conflict) as error:
        status = 422 if isinstance(error, Invalid) else 409
        return _show(campaign_id, forms.as_typed(error, _LABELS), status=status)
    return _show(campaign_id, Filled(values={"to": forms.text("to")}), results)


def _show(
    campaign_id: int, form: Filled, results: Sequence[TrialResult] = (), *, status: int = 200
) -> Response:
    with the_house().database.read() as tx:
        campaign = store.get(tx, campaign_id)
    page = TrialPage(form=form, campaign=campaign, most=MOST_TESTS, results=results)
    return show("campaign_trial.html", status=status, page=page, section="Campaigns")
