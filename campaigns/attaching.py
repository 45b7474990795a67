"""Attach files to a campaign, and take them off."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sql

from campaigns import files, store
from campaigns.file_kinds import safe_name, type_of
from campaigns.model import Attachment, Campaign
from campaigns.tables import attachments
from foundation.errors import Invalid, NotFound, TooLarge
from storage.database import Tx

MAX_BYTES = 10 * 1024 * 1024
"""What the attachments of a campaign may have together."""

MOST = 20

_MEGABYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as it was sent to us. name and claimed, its type, are what a stranger says; nothing rests on them."""

    name: str
    claimed: str | None
    content: bytes


def attach(
    tx: Tx, campaign_id: int, upload: Upload, *, expected_version: int | None, now: datetime
) -> Campaign:
    """Attach a file; runs that were claimed before go without it.

    Raises NotFound, Stale, Invalid (on the field file) and, where all would be more than MAX_BYTES, TooLarge.
    """
    campaign = store.get(tx, campaign_id)
    name = safe_name(upload.name)
    content_type = _checked(name, upload, campaign)
    store.mark_changed(tx, campaign, expected_version=expected_version, now=now)
    tx.execute(
        sql.insert(attachments).values(
            campaign_id=campaign_id,
            name=name,
            content_type=content_type,
            size=len(upload.content),
            sha256=files.keep(tx, upload.content),
        )
    )
    return store.get(tx, campaign_id)


def detach(
    tx: Tx,
    campaign_id: int,
    attachment_id: int,
    *,
    expected_version: int | None,
    now: datetime,
) -> Campaign:
    """Take a file off; runs that have frozen it keep it. Raises NotFound, Stale."""
    campaign = store.get(tx, campaign_id)
    found = find(campaign, attachment_id)
    store.mark_changed(tx, campaign, expected_version=expected_version, now=now)
    tx.execute(sql.delete(attachments).where(attachments.c.id == attachment_id))
    files.drop_unnamed(tx, [found.sha256])
    return store.get(tx, campaign_id)


def find(campaign: Campaign, attachment_id: int) -> Attachment:
    """Return one of the campaign's attachments. Raises NotFound."""
    for one in campaign.attachments:
        if one.id == attachment_id:
            return one
    raise NotFound(f"Campaign {campaign.id} has no attachment {attachment_id}.")


def _checked(name: str, upload: Upload, campaign: Campaign) -> str:
    """Return the type it goes by. Raises Invalid, TooLarge."""
    if not upload.content:
        raise Invalid.field("file", f"{name} is empty. Choose a file with something in it.")
    if any(one.name.casefold() == name.casefold() for one in campaign.attachments):
        raise Invalid.field(
            "file", f"{name} is attached already. Remove that one first, or give this another name."
        )
    if len(campaign.attachments) >= MOST:
        raise Invalid.field("file", f"{MOST} files are attached, the most there may be.")
    together = sum(one.size for one in campaign.attachments) + len(upload.content)
    if together > MAX_BYTES:
        raise TooLarge(
            f"With {name} the attachments would have {together / _MEGABYTE:.1f} MB; they may have"
            f" {MAX_BYTES // _MEGABYTE} MB together. Offer the file as a link instead."
        )
    try:
        return type_of(name, upload.claimed, upload.content)
    except ValueError as error:
        raise Invalid.field("file", f"{name} {error}.") from None
