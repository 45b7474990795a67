"""Who may be written to, and who may not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """A named list of recipients; recipients counts them."""

    id: int
    version: int
    name: str
    recipients: int
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One person in one audience. address_key is what makes two spellings one person."""

    id: int
    audience_id: int
    email: str
    address_key: str
    name: str
    attributes: Mapping[str, Any]
    created_at: datetime


class NewRecipient(NamedTuple):
    """A recipient as given; row is its place in what was given, counted from 1.

    A tuple, since a file has a million of them: making a frozen dataclass takes three times as long.
    """

    row: int
    email: str
    name: str
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A row that was not taken, and why."""

    row: int
    email: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What came of giving recipients to an audience. keys: the address key of each row that was taken."""

    added: int
    updated: int
    rejected: tuple[Rejected, ...]
    keys: tuple[str, ...] = field(default=(), compare=False, repr=False)


class SuppressionReason(StrEnum):
    UNSUBSCRIBED = "unsubscribed"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    MANUAL = "manual"


class SuppressionSource(StrEnum):
    """How an address came on the list: a mail program's one click, the page behind the link, or somebody here."""

    ONE_CLICK = "one-click"
    PAGE = "page"
    HAND = "hand"
    FILE = "file"
    API = "api"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """An address that gets nothing. run_id: whose e-mail somebody unsubscribed from; None where that is not known."""

    id: int
    email: str
    reason: SuppressionReason
    created_at: datetime
    source: SuppressionSource | None
    run_id: int | None


class ImportStatus(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A CSV file on its way into an audience. progress is the share of the file that is through, 0 to 1.

    duplicates counts the rows taken whose address an earlier row has (they are among updated), suppressed the people
    taken who get no mail; None where nobody asked for them.
    """

    id: int
    audience_id: int
    status: ImportStatus
    dry_run: bool
    progress: float
    added: int
    updated: int
    rejected: int
    duplicates: int | None
    suppressed: int | None
    detail: str | None
    created_at: datetime
