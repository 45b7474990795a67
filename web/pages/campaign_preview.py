"""What a campaign would be as it stands in the form, saved or not: the mail itself, for a frame, and the checks."""

from collections.abc import Sequence

from flask import Response, render_template, request

from campaigns import files
from campaigns.model import FrozenFile, InDoubtRule, Snapshot
from foundation.errors import FieldError
from identity.model import Role
from web import forms
from web.campaign_look import look_at
from web.current import the_house
from web.fields import GREATEST_ID
from web.mail_frame import framed, framed_text
from web.page import FRAGMENT, Pages, show

pages = Pages("campaign-preview")

VIEWS = (("desktop", "Desktop"), ("phone", "Phone"), ("text", "Text"), ("source", "Source"))


@pages.post("/campaigns/preview", role=Role.VIEWER, shows_only=True)
def preview() -> Response:
    """Show the mail, as an answer of its own for the frame; a script gets what is to be said about it instead."""
    look = look_at(the_house(), draft(), forms.text_or_none("as"))
    if FRAGMENT in request.headers:
        return show("campaign_checks.html", look=look)
    if look.content is None:
        return _mistakes(look.problems)
    match forms.text("view"):
        case "text":
            return framed_text(look.content.text)
        case "source":
            return framed_text(look.content.html or "")
        case _ if look.content.html is None:
            return framed_text(look.content.text)
        case _:
            return framed(look.content.html, remote_images=forms.ticked("images"))


def draft() -> Snapshot:
    """Return the form's content, whatever is still missing of it."""
    return Snapshot(
        campaign_id=0,
        name=forms.text("name").strip(),
        subject=forms.text("subject"),
        html=lines("html"),
        text=lines("text") if forms.text("text_from") == "own" else None,
        audience_ids=_whole_ids("audience_ids"),
        account_ids=_whole_ids("account_ids"),
        from_name=forms.text_or_none("from_name"),
        reply_to=forms.text_or_none("reply_to"),
        in_doubt=InDoubtRule.HOLD,
        attachments=_attached(),
    )


def _attached() -> tuple[FrozenFile, ...]:
    """Return what is attached to the campaign that the form is about; a new one has nothing yet."""
    campaign_id = forms.whole("campaign_id")
    if not isinstance(campaign_id, int) or campaign_id > GREATEST_ID:
        return ()
    with the_house().database.read() as tx:
        return files.frozen(files.of_campaigns(tx, [campaign_id]).get(campaign_id, ()))


def lines(name: str) -> str:
    """Return a text of many lines as it was typed: a form sends each line's end as CR LF."""
    return forms.text(name).replace("\r\n", "\n")


def _whole_ids(name: str) -> tuple[int, ...]:
    return tuple(i for i in forms.ids(name) if isinstance(i, int))


def _mistakes(problems: Sequence[FieldError]) -> Response:
    page = render_template("pages/campaign_preview_mistakes.html", problems=problems)
    answer = framed(page, remote_images=False)
    answer.status_code = 422
    return answer
