"""/api/campaigns/{id}/attachments: the files that go along with a campaign."""

from typing import Annotated

from flask import Response
from flask_openapi.models.file import FileStorage
from pydantic import BeforeValidator

from web import attached
from web.api.campaigns import AttachmentAnswer
from web.fields import Body, ById
from web.openapi import Resource
from web.replays import expected_version

resource = Resource("attachments", "Files that go along with a campaign")


def _is_file(given: object) -> object:
    # The library hands over werkzeug's kind of file.
    if isinstance(given, str):
        raise ValueError("must be a file")
    return given


class AttachmentForm(Body):
    """The file. Its name is made safe, and its content must be what the name says."""

    file: Annotated[FileStorage, BeforeValidator(_is_file)]


class OneAttachment(ById):
    """Which of the campaign's attachments is meant."""

    attachment_id: int


@resource.post("/api/campaigns/<id:id>/attachments", AttachmentAnswer, status=201)
def attach_file(path: ById, form: AttachmentForm) -> AttachmentAnswer:
    """Attach a file; all of a campaign's may have 10 MiB together. Runs that were claimed before go without it."""
    _, campaign = attached.attach(path.id, form.file)
    return AttachmentAnswer.model_validate(campaign.attachments[-1])


@resource.get("/api/campaigns/<id:id>/attachments/<id:attachment_id>", "application/octet-stream")
def get_attached_file(path: OneAttachment) -> Response:
    """Give an attached file."""
    return attached.attached_file(path.id, path.attachment_id)


@resource.delete("/api/campaigns/<id:id>/attachments/<id:attachment_id>")
def detach_file(path: OneAttachment) -> None:
    """Take a file off. If-Match is about the campaign's version; runs that have frozen the file keep it."""
    attached.detach(path.id, path.attachment_id, expected_version=expected_version())
