"""/api/audiences: lists of recipients."""

import json
from typing import Annotated, Any

from flask import Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from audience import csv_import, store
from audience.model import Added, Audience, NewRecipient, Recipient
from delivery import reads
from foundation.errors import FieldError, Invalid, TooLarge
from storage.database import Tx
from web import audited, importing
from web.csv_answers import PAGE, csv_answer, pages
from web.current import the_house
from web.fields import (
    NOT_GIVEN,
    Answer,
    Body,
    ById,
    Id,
    Instant,
    Line,
    Name,
    QueryText,
    Text,
)
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.replays import expected_version, refuse_other_version

MOST_RECIPIENTS = 10_000
MOST_ATTRIBUTE_BYTES = 16 * 1024

resource = Resource("audiences", "Lists of recipients")


def _not_too_many(given: object) -> object:
    if isinstance(given, list) and len(given) > MOST_RECIPIENTS:
        raise TooLarge(
            f"{len(given)} recipients in one body are too many: send at most {MOST_RECIPIENTS:,} at a"
            " time, or import a CSV file."
        )
    return given


def _small_enough(attributes: dict[str, Any]) -> dict[str, Any]:
    size = len(json.dumps(attributes, ensure_ascii=False).encode())
    if size > MOST_ATTRIBUTE_BYTES:
        raise ValueError(f"is too large: {size} bytes, at most {MOST_ATTRIBUTE_BYTES} are kept")
    return attributes


class RecipientIn(Body):
    """A recipient as given."""

    email: Annotated[Text, Field(max_length=1000)]
    name: Annotated[Line, Field(max_length=200)] | None = None
    attributes: Annotated[dict[str, Any], AfterValidator(_small_enough)] = Field(
        default_factory=dict
    )


_Recipients = Annotated[list[RecipientIn], BeforeValidator(_not_too_many)]


class NewAudience(Body):
    """A list, with its first recipients if there are any."""

    name: Name
    recipients: _Recipients = Field(default_factory=list)


class AudienceChanges(Body):
    """The fields to change."""

    name: Name = NOT_GIVEN


class MoreRecipients(Body):
    """Recipients to add, or to bring up to date: one address is one recipient."""

    recipients: _Recipients


class AudienceAnswer(Answer):
    """An audience; recipients counts them."""

    id: Id
    version: int
    name: str
    recipients: int
    created_at: Instant


class AudienceList(Answer):
    """A page of audiences."""

    items: list[AudienceAnswer]
    next_cursor: str | None


class RecipientAnswer(Answer):
    """A recipient of an audience."""

    id: Id
    email: str
    name: str
    attributes: dict[str, Any]
    created_at: Instant


class RecipientList(Answer):
    """A page of recipients."""

    items: list[RecipientAnswer]
    next_cursor: str | None


class RejectedAnswer(Answer):
    """A row that was not taken, counted from 1, and why."""

    row: int
    email: str
    reason: str


class AddedAnswer(Answer):
    """What came of it."""

    added: int
    updated: int
    rejected: list[RejectedAnswer]


class RecipientPage(Page):
    """Which recipients are wanted; q is a part of the address or the name."""

    q: QueryText | None = None


class ByEmail(BaseModel):
    """A path that names a recipient of an audience."""

    id: int
    email: str


@resource.get("/api/audiences", AudienceList)
def list_audiences(query: Page) -> AudienceList:
    """List the audiences."""
    with the_house().database.read() as tx:
        found = store.list_audiences(tx, after=query.key, limit=query.limit + 1)
    return AudienceList(
        items=[AudienceAnswer.model_validate(audience) for audience in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda audience: audience.id),
    )


@resource.post("/api/audiences", AudienceAnswer, status=201)
def create_audience(body: NewAudience) -> AudienceAnswer:
    """Make an audience. If one of its recipients is refused, nothing is made."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        audience = store.create_audience(tx, body.name, house.clock.now())
        if body.recipients:
            added = store.add_recipients(tx, audience.id, _new(body.recipients), house.clock.now())
            if added.rejected:
                raise Invalid(
                    [FieldError(f"recipients[{r.row - 1}].email", r.reason) for r in added.rejected]
                )
        note_making(tx, audience.id)
        return _answer(tx, audience.id)


@resource.get("/api/audiences/<id:id>", AudienceAnswer)
def get_audience(path: ById) -> AudienceAnswer:
    """Show an audience."""
    with the_house().database.read() as tx:
        return _answer(tx, path.id)


@resource.patch("/api/audiences/<id:id>", AudienceAnswer)
def change_audience(path: ById, body: AudienceChanges) -> AudienceAnswer:
    """Rename an audience."""
    with the_house().database.write(durable=True) as tx:
        version = expected_version()
        if "name" in body.model_fields_set:
            return rename(tx, path.id, body.name, expected_version=version)
        answer = _answer(tx, path.id)
        if version is not None:
            refuse_other_version(answer.version, version)
        audited.nothing_to_note()
        return answer


@resource.delete("/api/audiences/<id:id>")
def delete_audience(path: ById) -> None:
    """Delete an audience that no campaign uses, and its recipients."""
    with the_house().database.write(durable=True) as tx:
        delete(tx, path.id, expected_version=expected_version())


@resource.get("/api/audiences/<id:id>/recipients", RecipientList)
def list_recipients(path: ById, query: RecipientPage) -> RecipientList:
    """List an audience's recipients."""
    with the_house().database.read() as tx:
        store.get_audience(tx, path.id)
        found = store.list_recipients(
            tx, path.id, q=query.q, after=query.key, limit=query.limit + 1
        )
    return RecipientList(
        items=[RecipientAnswer.model_validate(recipient) for recipient in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda recipient: recipient.id),
    )


@resource.get("/api/audiences/<id:id>/recipients.csv", "text/csv")
def recipients_csv(path: ById) -> Response:
    """Give all recipients of an audience as CSV."""
    house = the_house()

    def read(after: int | None) -> list[Recipient]:
        with house.database.read() as tx:
            return store.list_recipients(tx, path.id, q=None, after=after, limit=PAGE)

    with house.database.read() as tx:
        store.get_audience(tx, path.id)
    return csv_answer(
        f"audience-{path.id}",
        ("email", "name", "attributes"),
        (
            (r.email, r.name, json.dumps(dict(r.attributes), ensure_ascii=False))
            for r in pages(read, key=lambda recipient: recipient.id)
        ),
    )


@resource.post("/api/audiences/<id:id>/recipients", AddedAnswer)
def add_recipients(path: ById, body: MoreRecipients) -> AddedAnswer:
    """Add recipients, or bring them up to date; says which rows were not taken."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        store.get_audience(tx, path.id)
        added = store.add_recipients(tx, path.id, _new(body.recipients), house.clock.now())
        note_adding(tx, path.id, added)
    return AddedAnswer.model_validate(added)


@resource.delete("/api/audiences/<id:id>/recipients/<path:email>")
def remove_recipient(path: ByEmail) -> None:
    """Take a recipient out of an audience."""
    with the_house().database.write(durable=True) as tx:
        remove(tx, path.id, path.email)


def note_making(tx: Tx, audience_id: int) -> None:
    """Note that an audience was made."""
    made = _answer(tx, audience_id)
    audited.note(tx, "create", f"audience:{audience_id}", label=made.name, after=audited.told(made))


def rename(tx: Tx, audience_id: int, name: str, *, expected_version: int | None) -> AudienceAnswer:
    """Call an audience something else, and note it. Raises NotFound, Stale, Invalid."""
    old = _answer(tx, audience_id)
    store.rename_audience(tx, audience_id, name, expected_version=expected_version)
    new = _answer(tx, audience_id)
    audited.note_change(
        tx,
        f"audience:{audience_id}",
        label=new.name,
        before=audited.told(old),
        after=audited.told(new),
    )
    return new


def delete(tx: Tx, audience_id: int, *, expected_version: int | None) -> str:
    """Delete an audience, note it, and return its name. Raises NotFound, Stale, and Conflict while it is needed."""
    gone = _answer(tx, audience_id)
    why_not = kept_by(tx, audience_id)
    store.delete_audience(tx, audience_id, expected_version=expected_version, kept_by=why_not)
    audited.note(
        tx, "delete", f"audience:{audience_id}", label=gone.name, before=audited.told(gone)
    )
    return gone.name


def note_adding(tx: Tx, audience_id: int, added: Added) -> None:
    """Note that people were put into an audience: how many, never who."""
    if not added.added and not added.updated:
        return audited.nothing_to_note()
    counts = {"added": added.added, "updated": added.updated}
    name = store.get_audience(tx, audience_id).name
    return audited.note(tx, "add people", f"audience:{audience_id}", label=name, after=counts)


def remove(tx: Tx, audience_id: int, email: str) -> str:
    """Take somebody out of an audience, note it, and return the audience's name. Raises NotFound."""
    name = store.get_audience(tx, audience_id).name
    store.remove_recipient(tx, audience_id, email)
    audited.note(tx, "remove", audited.recipient(email), before={"audience": name})
    return name


def _new(recipients: list[RecipientIn]) -> list[NewRecipient]:
    return [
        NewRecipient(row=row, email=r.email, name=r.name or "", attributes=r.attributes)
        for row, r in enumerate(recipients, start=1)
    ]


def _answer(tx: Tx, audience_id: int) -> AudienceAnswer:
    audience: Audience = store.get_audience(tx, audience_id)
    return AudienceAnswer.model_validate(audience)


def kept_by(tx: Tx, audience_id: int) -> str | None:
    """Say what needs an audience just now, so that it can't be deleted; None where nothing does."""
    importing.fail_orphans(tx)
    import_id = csv_import.running_import(tx, audience_id)
    if import_id is not None:
        return f"Import {import_id} still brings people into this audience. Wait for its end."
    run_id = reads.being_materialised(tx, audience_id)
    if run_id is None:
        return None
    return f"Run {run_id} still takes its recipients from this audience. Wait a moment, or cancel the run."
