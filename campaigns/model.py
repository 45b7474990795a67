"""What is said: a campaign, and the content that a run has frozen."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class InDoubtRule(StrEnum):
    """What becomes of a delivery of which nobody knows whether the server took it."""

    HOLD = "hold"
    RESEND = "resend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes along with a campaign. content_type is as in a header; sha256 names the content."""

    id: int
    name: str
    content_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenFile:
    """A file as a run has it: the content is what has this hash."""

    name: str
    content_type: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """A campaign as it can be edited. text None means that it is made from the HTML."""

    id: int
    version: int
    name: str
    subject: str
    html: str
    text: str | None
    audience_ids: tuple[int, ...]
    account_ids: tuple[int, ...]
    from_name: str | None
    reply_to: str | None
    in_doubt: InDoubtRule
    attachments: tuple[Attachment, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A campaign's content as a run has it: frozen at the claim, later edits are for later runs."""

    campaign_id: int
    name: str
    subject: str
    html: str
    text: str | None
    audience_ids: tuple[int, ...]
    account_ids: tuple[int, ...]
    from_name: str | None
    reply_to: str | None
    in_doubt: InDoubtRule
    attachments: tuple[FrozenFile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one recipient reads: rendered, all three parts with LF line ends. html is None in a text-only mail."""

    subject: str
    html: str | None
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """Something about a campaign that a person should see before it is sent."""

    kind: str
    message: str
