"""Attached files as they come in by API or page, and as they are given out again: never shown, always downloaded."""

from flask import Response
from werkzeug.datastructures import FileStorage

from campaigns import attaching, files, store
from campaigns.attaching import Upload
from campaigns.file_kinds import safe_name
from campaigns.model import Campaign
from foundation.errors import NotFound
from web.api.campaigns import note_changing
from web.current import the_house

# In a window of its own a browser would be on our host: nothing that somebody uploaded may run there.
_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def attach(campaign_id: int, upload: FileStorage) -> tuple[Campaign, Campaign]:
    """Attach a file; return the campaign before and after. Raises NotFound, Invalid (on file), TooLarge."""
    house = the_house()
    with upload.stream as stream:
        content = stream.read()
    given = Upload(name=upload.filename or "", claimed=upload.mimetype or None, content=content)
    with house.database.write(durable=True) as tx:
        old = store.get(tx, campaign_id)
        now = house.clock.now()
        new = attaching.attach(tx, campaign_id, given, expected_version=None, now=now)
        note_changing(tx, old, new)
    return old, new


def detach(
    campaign_id: int, attachment_id: int, *, expected_version: int | None
) -> tuple[Campaign, Campaign]:
    """Take a file off; return the campaign before and after. Raises NotFound, Stale."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        old = store.get(tx, campaign_id)
        new = attaching.detach(
            tx,
            campaign_id,
            attachment_id,
            expected_version=expected_version,
            now=house.clock.now(),
        )
        note_changing(tx, old, new)
    return old, new


def attached_file(campaign_id: int, attachment_id: int) -> Response:
    """Give an attached file as a download. Raises NotFound."""
    with the_house().database.read() as tx:
        found = attaching.find(store.get(tx, campaign_id), attachment_id)
        content = files.read(tx, found.sha256)
    if content is None:
        raise NotFound(f"{found.name} is not there any more as it was attached. Attach it again.")
    return as_download(found.name, content)


def as_download(name: str, content: bytes) -> Response:
    """Return a stranger's file as something to keep, which no browser opens in our place."""
    answer = Response(content, mimetype="application/octet-stream")
    answer.headers.set("Content-Disposition", "attachment", filename=safe_name(name))
    answer.headers["Content-Security-Policy"] = _POLICY
    return answer
