"""The ledger's words: runs, deliveries, counts, and what one attempt to deliver has come to."""

from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum

from campaigns.model import Snapshot


class Decision(StrEnum):
    """What was decided about a slot."""

    CLAIMED = "claimed"
    SKIPPED = "skipped"
    MERGED = "merged"
    HELD = "held"


class Origin(StrEnum):
    """What a run was made for."""

    SLOT = "slot"
    RUN_NOW = "run-now"
    MISSED = "missed"
    SEND_MISSING = "send-missing"


class RunStatus(StrEnum):
    """claimed -> running -> completed | failed | cancelled, with paused and held beside running."""

    CLAIMED = "claimed"
    RUNNING = "running"
    PAUSED = "paused"
    HELD = "held"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        return self in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


class DeliveryStatus(StrEnum):
    """One recipient's email in one run.

    | state | meaning |
    | --- | --- |
    | queued | not touched yet, or to be tried again at next_attempt_at |
    | leased | in a batch that one holder has taken; surely unsent. Told to the outside as queued |
    | sending | content may reach the server from now on |
    | sent | the server's final 2xx was read |
    | failed | a 5xx to RCPT, DATA or the final dot; or gave up |
    | skipped | suppressed, unsubscribed, removed, or found unsent by a cancel |
    | in_doubt | the end of the content may have reached the server and no complete reply was read |
    """

    QUEUED = "queued"
    LEASED = "leased"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"
    IN_DOUBT = "in_doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """A run's recipients by what became of them: recipients is the sum of the others."""

    recipients: int
    queued: int
    sending: int
    sent: int
    failed: int
    skipped: int
    in_doubt: int


COUNTERS = tuple(field.name for field in fields(Counts))
"""The names of a run's counters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The one execution of one slot. made_from: the run whose missing recipients this one is for."""

    id: int
    schedule_id: int
    campaign_id: int
    slot: datetime
    zone: str
    origin: Origin
    made_from: int | None
    status: RunStatus
    reason: str | None
    content: Snapshot
    content_sha256: str
    materialised: bool
    claimed_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One recipient's email in one run, as reports show it."""

    id: int
    run_id: int
    email: str
    status: DeliveryStatus
    reason: str | None
    attempts: int
    next_attempt_at: datetime | None
    account_id: int | None
    smtp_code: int | None
    smtp_reply: str | None
    message_id: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotRow:
    """A decided slot. until and slots are for many missed slots in one row (slots counts them)."""

    id: int
    key: str
    at: datetime
    local: str
    until: datetime | None
    slots: int
    decision: Decision
    reason: str | None
    run_id: int | None
    decided_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotDecision:
    """One row to write.

    until and count: more than a hundred missed slots are one row, from `at` to `until`. whole_day: the day in its key
    is decided with it, so that an edit does not make that day run again.
    """

    key: str
    at: datetime
    local: str
    decision: Decision
    reason: str | None
    whole_day: bool
    until: datetime | None = None
    count: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a schedule has been decided.

    keys are those decided near and after the watermark, instants those of them that were claimed, stretches those from
    and until which many were decided in one row, days those that were decided whole (claimed, held, or skipped by a
    person, where the rule had at most one slot a day); claimed counts claimed slots.
    """

    watermark: datetime
    floor: datetime
    claimed: int
    keys: frozenset[str]
    instants: frozenset[datetime]
    stretches: frozenset[tuple[datetime, datetime]]
    days: frozenset[date]

    @property
    def decided_until(self) -> datetime:
        """Slots at or before this instant are never due."""
        return max(self.watermark, self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """The unfinished runs of a schedule; run_id is the newest.

    untried: some of their recipients were not written to yet; waits: one of them waits itself.
    """

    run_id: int
    untried: bool
    waits: bool
