"""/campaigns/{id}/attachments: files put to a campaign and taken off, from its editor.

The buttons stand in the editor's form and send all of it, so that without a script too nothing typed is lost: the page
comes back as it was, with another list of files.
"""

from flask import Response, request

from campaigns import store
from campaigns.model import Campaign
from foundation.errors import Invalid, NotFound, SendonceError, TooLarge
from identity.model import Role
from web import attached, forms
from web.current import the_house
from web.forms import Filled
from web.page import FRAGMENT, Pages, show
from web.pages.campaign_editor import as_typed, show_editor, typed
from web.pages.campaign_preview import draft

pages = Pages("campaign-attachments")


@pages.post("/campaigns/<id:campaign_id>/attachments")
def attach(campaign_id: int) -> Response:
    """Attach the file that was chosen, and stay with the campaign."""
    upload = request.files.get("file")
    try:
        if upload is None or not upload.filename:
            raise Invalid.field("file", "Choose a file first.")
        old, new = attached.attach(campaign_id, upload)
    except (Invalid, TooLarge) as error:
        if isinstance(error, TooLarge):
            return _refused(campaign_id, Invalid.field("file", error.message), status=413)
        return _refused(campaign_id, error, status=422)
    return _done(old, new)


@pages.post("/campaigns/<id:campaign_id>/attachments/<id:attachment_id>/remove")
def detach(campaign_id: int, attachment_id: int) -> Response:
    """Take a file off, and stay with the campaign. One that is gone already is taken off."""
    try:
        old, new = attached.detach(campaign_id, attachment_id, expected_version=None)
    except NotFound:
        old = new = _saved(campaign_id)
    return _done(old, new)


@pages.get("/campaigns/<id:campaign_id>/attachments/<id:attachment_id>", role=Role.VIEWER)
def download(campaign_id: int, attachment_id: int) -> Response:
    """Give the file."""
    return attached.attached_file(campaign_id, attachment_id)


def _done(old: Campaign, new: Campaign) -> Response:
    """Show the editor as it was typed. Where it was made from the version before, it now is from the new one."""
    form = typed()
    version = new.version if forms.version() == old.version else forms.version()
    return _answer(Filled(values={**form.values, "version": version}), new, status=200)


def _refused(campaign_id: int, error: SendonceError, *, status: int) -> Response:
    return _answer(as_typed(error), _saved(campaign_id), status=status)


def _answer(form: Filled, campaign: Campaign, *, status: int) -> Response:
    if FRAGMENT in request.headers:
        return show("campaign_attachments.html", status=status, form=form, campaign=campaign)
    return show_editor(form, draft(), campaign=campaign, status=status)


def _saved(campaign_id: int) -> Campaign:
    with the_house().database.read() as tx:
        return store.get(tx, campaign_id)
