"""/api/campaigns: what is said, and trying it out before it is sent."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

from accounts import store as accounts
from assembly import Sendonce
from audience import store as audiences
from campaigns import store
from campaigns.model import Campaign, Content, InDoubtRule, Snapshot
from campaigns.render import RecipientView, RenderError, compile_content
from campaigns.review import mail_size_bytes, review
from campaigns.store import CampaignFields
from delivery.trial_send import TrialResult, send_test
from foundation.errors import FieldError, Invalid
from identity.model import Role
from scheduler.model import Status
from storage.database import Tx
from web import audited
from web.current import the_house
from web.fields import (
    NOT_GIVEN,
    Answer,
    Body,
    ById,
    Email,
    Id,
    Instant,
    Line,
    Name,
    Text,
)
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.replays import expected_version

MOST_TESTS = 5

resource = Resource("campaigns", "What is said")

OVER = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
_NOBODY = RecipientView(email="recipient@example.com", name="", attributes={})
_Ids = Annotated[list[Id], Field(min_length=1, max_length=100)]
_Subject = Annotated[Line, Field(min_length=1, max_length=1000)]
_Part = Annotated[Text, Field(max_length=1024 * 1024)]


class NewCampaign(Body):
    """Templates and whom they go to; a text that is left out is made from the HTML."""

    name: Name
    subject: _Subject
    html: _Part = ""
    text: _Part | None = None
    audience_ids: _Ids
    account_ids: _Ids
    from_name: Annotated[Line, Field(max_length=200)] | None = None
    reply_to: Email | None = None
    in_doubt: InDoubtRule = InDoubtRule.HOLD


class CampaignChanges(Body):
    """The fields to change."""

    name: Name = NOT_GIVEN
    subject: _Subject = NOT_GIVEN
    html: _Part = NOT_GIVEN
    text: _Part | None = None
    audience_ids: _Ids = NOT_GIVEN
    account_ids: _Ids = NOT_GIVEN
    from_name: Annotated[Line, Field(max_length=200)] | None = None
    reply_to: Email | None = None
    in_doubt: InDoubtRule = NOT_GIVEN


class AttachmentAnswer(Answer):
    """A file that goes along. content_type is as it stands in the mail, size is in bytes."""

    id: Id
    name: str
    content_type: str
    size: int
    sha256: str


class CampaignAnswer(Answer):
    """A campaign."""

    id: Id
    version: int
    name: str
    subject: str
    html: str
    text: str | None
    audience_ids: list[Id]
    account_ids: list[Id]
    from_name: str | None
    reply_to: str | None
    in_doubt: InDoubtRule
    attachments: list[AttachmentAnswer]
    created_at: Instant
    updated_at: Instant


class CampaignList(Answer):
    """A page of campaigns."""

    items: list[CampaignAnswer]
    next_cursor: str | None


class Preview(Body):
    """Whose mail is wanted; without it the first recipient's."""

    recipient: Email | None = None


class WarningAnswer(Answer):
    """Something that a person should see before this is sent."""

    kind: str
    message: str


class PreviewAnswer(Answer):
    """What one recipient would read."""

    subject: str
    html: str | None
    text: str
    size: int = Field(
        description="Bytes of the mail, about: attached files take a third more in it"
    )
    warnings: list[WarningAnswer]


class TestSend(Body):
    """Where the test mails go."""

    to: Annotated[list[Email], Field(min_length=1, max_length=MOST_TESTS)]


class TestResult(Answer):
    """What the server said to one test mail."""

    email: str
    ok: bool
    smtp_code: int | None
    smtp_reply: str | None


class TestResults(Answer):
    """What came of the test mails."""

    results: list[TestResult]


@resource.get("/api/campaigns", CampaignList)
def list_campaigns(query: Page) -> CampaignList:
    """List the campaigns."""
    with the_house().database.read() as tx:
        found = store.list_(tx, after=query.key, limit=query.limit + 1)
    return CampaignList(
        items=[_answer(campaign) for campaign in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda campaign: campaign.id),
    )


@resource.post("/api/campaigns", CampaignAnswer, status=201)
def create_campaign(body: NewCampaign) -> CampaignAnswer:
    """Make a campaign; its templates are checked at once."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        check_ids(tx, body)
        made = store.create(tx, fields_of(body), house.clock.now())
        note_making(tx, made)
        return _answer(made)


@resource.get("/api/campaigns/<id:id>", CampaignAnswer)
def get_campaign(path: ById) -> CampaignAnswer:
    """Show a campaign."""
    with the_house().database.read() as tx:
        return _answer(store.get(tx, path.id))


@resource.patch("/api/campaigns/<id:id>", CampaignAnswer)
def change_campaign(path: ById, body: CampaignChanges) -> CampaignAnswer:
    """Change fields of a campaign; runs that were claimed before keep what they have."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        check_ids(tx, body)
        old = store.get(tx, path.id)
        changed = store.update(
            tx,
            path.id,
            body.changes(),
            expected_version=expected_version(),
            now=house.clock.now(),
        )
        note_changing(tx, old, changed)
        return _answer(changed)


@resource.delete("/api/campaigns/<id:id>")
def delete_campaign(path: ById) -> None:
    """Delete a campaign that no schedule uses."""
    delete(path.id, expected_version=expected_version())


@resource.post("/api/campaigns/<id:id>/duplicate", CampaignAnswer, status=201)
def duplicate_campaign(path: ById) -> CampaignAnswer:
    """Make a copy of a campaign."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        copy = store.duplicate(tx, path.id, house.clock.now())
        note_making(tx, copy)
        return _answer(copy)


@resource.post("/api/campaigns/<id:id>/preview", PreviewAnswer, role=Role.VIEWER)
@audited.leaves_no_trace
def preview_campaign(path: ById, body: Preview) -> PreviewAnswer:
    """Show what one recipient would read, and what a person should see before this is sent."""
    house = the_house()
    with house.database.read() as tx:
        snapshot = store.freeze(tx, path.id)
        reader = _reader(tx, snapshot, body.recipient)
    compiled = compile_content(snapshot)
    url = f"{house.public_url}/u/preview"
    try:
        content = compiled.render(reader, _slot(house.clock.now()), url)
        lacking = compiled.lacking(reader)
    except RenderError as error:
        raise Invalid.field(error.field, error.message) from None
    return _preview(snapshot, content, lacking)


@resource.post("/api/campaigns/<id:id>/test-send", TestResults)
def send_test_mails(path: ById, body: TestSend) -> TestResults:
    """Send the campaign, now, to at most five addresses of your own."""
    results = try_out(path.id, body.to)
    return TestResults(results=[TestResult.model_validate(result) for result in results])


def fields_of(body: NewCampaign) -> CampaignFields:
    """Return what the room takes."""
    given = dict(body) | {
        "audience_ids": tuple(body.audience_ids),
        "account_ids": tuple(body.account_ids),
    }
    return CampaignFields(**given)


def note_making(tx: Tx, made: Campaign) -> None:
    """Note that a campaign was made."""
    audited.note(
        tx, "create", f"campaign:{made.id}", label=made.name, after=audited.told(_answer(made))
    )


def note_changing(tx: Tx, old: Campaign, new: Campaign) -> None:
    """Note what was changed in a campaign."""
    audited.note_change(
        tx,
        f"campaign:{new.id}",
        label=new.name,
        before=audited.told(_answer(old)),
        after=audited.told(_answer(new)),
    )


def delete(campaign_id: int, *, expected_version: int | None) -> str:
    """Delete a campaign and return its name. Raises NotFound, Stale, and Conflict while a schedule is to send it."""
    house = the_house()
    waiting = waiting_schedules(house, campaign_id)
    with house.database.write(durable=True) as tx:
        gone = store.get(tx, campaign_id)
        store.delete(tx, campaign_id, expected_version=expected_version, kept_by=kept_by(waiting))
        told = audited.told(_answer(gone))
        audited.note(tx, "delete", f"campaign:{campaign_id}", label=gone.name, before=told)
    return gone.name


def try_out(campaign_id: int, to: Sequence[str]) -> list[TrialResult]:
    """Send a campaign to a few addresses, now, and note to how many. Raises NotFound, Invalid, Conflict."""
    house = the_house()
    with house.database.read() as tx:
        name = store.get(tx, campaign_id).name
    results = send_test(
        house.database,
        house.connect,
        key=house.key,
        public_url=house.public_url,
        campaign_id=campaign_id,
        to=to,
        now=house.clock.now(),
    )
    counts = {"addresses": len(results), "taken": sum(result.ok for result in results)}
    audited.note_alone("test", f"campaign:{campaign_id}", label=name, after=counts)
    return results


def waiting_schedules(house: Sendonce, campaign_id: int) -> list[int]:
    """Return the schedules that are still to send the campaign."""
    return [
        s.id for s in house.store.read() if s.campaign_id == campaign_id and s.status not in OVER
    ]


def kept_by(waiting: Sequence[int]) -> str | None:
    """Say why a campaign can't be deleted that these schedules are still to send; None without one."""
    if not waiting:
        return None
    return (
        f"Schedule {waiting[0]} is still to send it. Delete that schedule first, or give it another"
        " campaign."
    )


def check_ids(tx: Tx, body: NewCampaign | CampaignChanges) -> None:
    """Refuse what only somebody who sees audiences and accounts can see. Raises Invalid."""
    errors: list[FieldError] = []
    given = body.changes()
    if missing := audiences.missing(tx, given.get("audience_ids", [])):
        errors.append(FieldError("audience_ids", _there_is_no("audience", missing)))
    account_ids = given.get("account_ids", [])
    if missing := accounts.missing(tx, account_ids):
        errors.append(FieldError("account_ids", _there_is_no("account", missing)))
    elif len(accounts.kinds(tx, account_ids)) > 1:
        errors.append(
            FieldError(
                "account_ids",
                "mixes the Sandbox, which reaches nobody, with SMTP accounts: choose one kind",
            )
        )
    if errors:
        raise Invalid(errors)


def _there_is_no(what: str, ids: Sequence[int]) -> str:
    return f"there is no {what} {', '.join(map(str, ids[:10]))}"


def _reader(tx: Tx, snapshot: Snapshot, email: str | None) -> RecipientView:
    ids = snapshot.audience_ids
    if email is None:
        member = audiences.first_member(tx, ids)
        if member is None:
            return _NOBODY
    else:
        member = audiences.find(tx, ids, email)
        if member is None:
            raise Invalid.field("recipient", f"{email} is in none of the campaign's audiences")
    return RecipientView(email=member.email, name=member.name, attributes=member.attributes)


def _slot(now: datetime) -> datetime:
    return now.replace(microsecond=0)


def _preview(snapshot: Snapshot, content: Content, lacking: tuple[str, ...]) -> PreviewAnswer:
    warnings = [WarningAnswer.model_validate(caution) for caution in review(snapshot, content)]
    warnings += [
        WarningAnswer(
            kind="lacking", message=f"This recipient has no {name}: it is empty in the mail."
        )
        for name in lacking
    ]
    return PreviewAnswer(
        subject=content.subject,
        html=content.html,
        text=content.text,
        size=mail_size_bytes(content, snapshot.attachments),
        warnings=warnings,
    )


def _answer(campaign: Campaign) -> CampaignAnswer:
    return CampaignAnswer.model_validate(campaign)
