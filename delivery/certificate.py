"""A run's certificate: what became of everybody, recomputed from the rows, and whether it is what was promised.

Nothing in it is copied from a counter: the counters are one of the things that it checks. ledger_sha256 is the SHA-256
of a text in UTF-8, a JSON array a line (no blanks, each line ended by a newline, empty texts as null, no character
escaped that JSON lets stand). First a line for each delivery, in the order of deliveries.csv:

    [email, status, reason, attempts, account_id, smtp_code, smtp_reply, message_id, updated_at]

then a line for each decision, in the order of the certificate: [action, email, by, detail, at]. Instants are as in the
API (2026-03-02T08:00:00Z). So whoever has deliveries.csv and the certificate can compute it again.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    case,
    exists,
    func,
    select,
    type_coerce,
)

from accounts import store as account_store
from audience.tables import recipients
from delivery import decisions, reads
from delivery.decisions import Action, MadeDecision
from delivery.ledger import content_sha256
from delivery.model import COUNTERS, Counts, Decision, DeliveryStatus, Origin, RunStatus
from delivery.slots import FREED
from delivery.tables import deliveries, run_audiences, runs, slots
from foundation.errors import NotFound
from storage.database import Tx

_PIECE = 2000
_UNDECIDED = (DeliveryStatus.QUEUED, DeliveryStatus.SENDING)
_ON_A_LINE = (
    "email",
    "status",
    "reason",
    "attempts",
    "account_id",
    "smtp_code",
    "smtp_reply",
    "message_id",
    "updated_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise, whether the rows keep it, and what was found."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDoubt:
    """Somebody of whom nobody can know whether they have it, since when, and what to ask the mail server for."""

    email: str
    since: datetime
    account_id: int | None
    account: str | None
    message_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What became of a run, for whoever must be able to trust it.

    duplicates: addresses that are on the run twice, that had it from another run of its family, or were sent it again
    without a decision. missing: people of the frozen audience of whom the run knows nothing, and in a run that has
    ended those without an outcome. is_final: it has ended, so only a person's decision changes anything.
    """

    run_id: int
    schedule_id: int
    campaign: str
    subject: str
    origin: Origin
    made_from: int | None
    status: RunStatus
    slot: datetime
    claimed_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    content_sha256: str
    recipients: int
    outcomes: Counts
    duplicates: int
    missing: int
    in_doubt: Sequence[OpenDoubt]
    decisions: Sequence[MadeDecision]
    ledger_sha256: str
    checks: Sequence[Check]
    is_final: bool
    checked_at: datetime

    @property
    def holds(self) -> bool:
        """Whether the rows keep every promise."""
        return all(check.ok for check in self.checks)


def certify(tx: Tx, run_id: int, now: datetime) -> Certificate:
    """Compute a run's certificate from the rows; reads each delivery once, in pieces. Raises NotFound."""
    run = _run(tx, run_id)
    made = decisions.list_decisions(tx, run_id)
    content = _content(run.content)
    ledger = _read_ledger(tx, run_id, made)
    family = reads.family(tx, run_id)
    twice = _rows_too_many(tx, run_id)
    had_it = _had_it_elsewhere(tx, run_id, family)
    lost = _without_a_row(tx, run)
    open_ = ledger.undecided if run.finished_at is not None else 0
    checks = [
        _check_slot(tx, run),
        _check_content(run, content),
        _check_counters(run, ledger.outcomes),
        _check_none(
            "Nobody of the audience is missing",
            lost + open_,
            _everybody(run),
            f"{lost} of the frozen audience have no row, {open_} no outcome though the run has ended",
        ),
        _check_none(
            "Nobody is on the run twice",
            twice,
            "each address has one row",
            f"{twice} rows are of an address that has one already",
        ),
        _check_none(
            "Nobody was sent it again without a decision",
            ledger.undecided_resends,
            f"{ledger.resends} were to be sent again, each by a decision that is listed",
            f"{ledger.undecided_resends} deliveries were sent again more or less often than was decided",
        ),
        _check_none(
            "Nobody had it from a run that this one was made from or for",
            had_it,
            "no address had it from two of them" if len(family) > 1 else "there is no such run",
            f"{had_it} addresses were sent it, or may have been, in another run of the family too",
        ),
        _check_none(
            "What counts as sent was taken by the mail server",
            ledger.sent_without_word,
            "every one has the server's reply 2xx, or a person's decision",
            f"{ledger.sent_without_word} have neither a reply 2xx nor a decision",
        ),
    ]
    return Certificate(
        run_id=run.id,
        schedule_id=run.schedule_id,
        campaign=str(content.get("name", "")),
        subject=str(content.get("subject", "")),
        origin=Origin(run.origin),
        made_from=run.made_from,
        status=RunStatus(run.status),
        slot=run.slot,
        claimed_at=run.claimed_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        content_sha256=run.content_sha256,
        recipients=ledger.outcomes.recipients,
        outcomes=ledger.outcomes,
        duplicates=twice + had_it + ledger.undecided_resends,
        missing=lost + open_,
        in_doubt=ledger.in_doubt,
        decisions=made,
        ledger_sha256=ledger.sha256,
        checks=checks,
        is_final=run.finished_at is not None,
        checked_at=now,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ledger:
    """What one walk over a run's deliveries has found."""

    outcomes: Counts
    in_doubt: list[OpenDoubt]
    undecided: int
    resends: int
    undecided_resends: int
    sent_without_word: int
    sha256: str


def _run(tx: Tx, run_id: int) -> Row[Any]:
    # The content as its text: one that somebody has damaged is a finding, and no reason to say nothing.
    names = [c for c in runs.c if c.name not in ("content", "refused_ids")]
    query: Select[Any] = select(*names, type_coerce(runs.c.content, Text).label("content"))
    row = tx.execute(query.where(runs.c.id == run_id)).one_or_none()
    if row is None:
        raise NotFound(f"There is no run {run_id}.")
    return row


def _content(text: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _read_ledger(tx: Tx, run_id: int, made: Sequence[MadeDecision]) -> _Ledger:
    decided = decisions.times_decided(tx, run_id, Action.RESEND)
    marked = decisions.times_decided(tx, run_id, Action.MARK_SENT)
    called = account_store.names(tx)
    digest = hashlib.sha256()
    counted: Counter[str] = Counter()
    doubts: list[OpenDoubt] = []
    resends = undecided_resends = sent_without_word = 0
    for delivery_id, sent_again, *told in _rows(tx, run_id):
        email, status, reason, _, account_id, smtp_code, _, message_id, updated_at = told
        counted[status] += 1
        digest.update(_line(told))
        resends += sent_again > 0
        undecided_resends += sent_again != decided.get(delivery_id, 0)
        if status == DeliveryStatus.SENT:
            taken = smtp_code is not None and 200 <= smtp_code < 300
            sent_without_word += not taken and delivery_id not in marked
        elif status == DeliveryStatus.IN_DOUBT:
            doubts.append(
                OpenDoubt(
                    email=email,
                    since=updated_at,
                    account_id=account_id,
                    account=called.get(account_id),
                    message_id=message_id,
                    reason=reason,
                )
            )
    for decision in made:
        digest.update(
            _line([decision.action, decision.email, decision.by, decision.detail, decision.at])
        )
    return _Ledger(
        outcomes=_outcomes(counted),
        in_doubt=doubts,
        undecided=sum(counted[status] for status in _UNDECIDED),
        resends=resends,
        undecided_resends=undecided_resends,
        sent_without_word=sent_without_word,
        sha256=digest.hexdigest(),
    )


def _rows(tx: Tx, run_id: int) -> Iterator[Sequence[Any]]:
    """Yield of each delivery its id, how often it was sent again, and what is on its line."""
    told: dict[str, ColumnElement[Any]] = {name: deliveries.c[name] for name in _ON_A_LINE}
    # As it is told outside: what is leased is queued.
    is_leased = deliveries.c.status == DeliveryStatus.LEASED
    told["status"] = case((is_leased, DeliveryStatus.QUEUED.value), else_=deliveries.c.status)
    query = select(deliveries.c.id, deliveries.c.resends, *told.values())
    query = query.where(deliveries.c.run_id == run_id).order_by(deliveries.c.id)
    yield from tx.execute(query.execution_options(yield_per=_PIECE))


def _line(values: list[Any]) -> bytes:
    if "" in values:
        values = [None if value == "" else value for value in values]
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z)


def _outcomes(counted: Counter[str]) -> Counts:
    return Counts(
        recipients=counted.total(),
        queued=counted[DeliveryStatus.QUEUED],
        sending=counted[DeliveryStatus.SENDING],
        sent=counted[DeliveryStatus.SENT],
        failed=counted[DeliveryStatus.FAILED],
        skipped=counted[DeliveryStatus.SKIPPED],
        in_doubt=counted[DeliveryStatus.IN_DOUBT],
    )


def _rows_too_many(tx: Tx, run_id: int) -> int:
    query = select(func.count(), func.count(deliveries.c.address_key.distinct())).where(
        deliveries.c.run_id == run_id
    )
    rows, addresses = tx.execute(query).one()
    return int(rows - addresses)


def _had_it_elsewhere(tx: Tx, run_id: int, family: Sequence[int]) -> int:
    """Return how many addresses were sent it, or may have been, in this run and in another of its family."""
    others = [other for other in family if other != run_id]
    if not others:
        return 0
    may_have_it = (DeliveryStatus.SENT, DeliveryStatus.IN_DOUBT)
    elsewhere = deliveries.alias("elsewhere")
    query = (
        select(func.count())
        .select_from(deliveries)
        .where(
            deliveries.c.run_id == run_id,
            deliveries.c.status.in_(may_have_it),
            exists().where(
                elsewhere.c.run_id.in_(others),
                elsewhere.c.address_key == deliveries.c.address_key,
                elsewhere.c.status.in_(may_have_it),
            ),
        )
    )
    return int(tx.execute(query).scalar_one())


def _without_a_row(tx: Tx, run: Row[Any]) -> int:
    """Return how many people of the audience, as it was frozen, the run has no row for."""
    if not run.materialised:
        return 0  # they are still being made
    audience_ids = select(run_audiences.c.audience_id).where(run_audiences.c.run_id == run.id)
    query = select(func.count(recipients.c.address_key.distinct())).where(
        recipients.c.audience_id.in_(audience_ids),
        recipients.c.id <= run.recipient_ceiling,
        ~exists().where(
            deliveries.c.run_id == run.id, deliveries.c.address_key == recipients.c.address_key
        ),
    )
    return int(tx.execute(query).scalar_one())


def _check_slot(tx: Tx, run: Row[Any]) -> Check:
    what = "Its slot has run once"
    if run.origin == Origin.SEND_MISSING:
        return Check(what=what, ok=True, detail=f"it was made from run {run.made_from}")
    if run.origin == Origin.RUN_NOW:
        return Check(
            what=what, ok=True, detail="a person asked for it, beside the schedule's slots"
        )
    claimed = select(func.count()).where(
        slots.c.schedule_id == run.schedule_id, slots.c.decision == Decision.CLAIMED
    )
    own = tx.execute(claimed.where(slots.c.run_id == run.id)).scalar_one()
    if own != 1:
        detail = f"{own} slots say that they were claimed for this run"
        return Check(what=what, ok=False, detail=detail)
    # One whose name was set free was let run again by a person.
    others = tx.execute(
        claimed.where(
            slots.c.at == run.slot,
            slots.c.run_id != run.id,
            ~slots.c.key.contains(FREED, autoescape=True),
        )
    ).scalar_one()
    return _check_none(
        what, others, "no other run has this slot", f"{others} other runs have this slot"
    )


def _check_content(run: Row[Any], content: Mapping[str, Any]) -> Check:
    try:
        is_same = content_sha256(content) == run.content_sha256
    except TypeError:  # numbers that no JSON of ours holds
        is_same = False
    return Check(
        what="The content is the one that was frozen when the run was claimed",
        ok=is_same,
        detail="its hash is the same" if is_same else "its hash is another now",
    )


def _check_counters(run: Row[Any], outcomes: Counts) -> Check:
    wrong = [
        f"{name} says {getattr(run, name)}, the rows {getattr(outcomes, name)}"
        for name in COUNTERS
        if getattr(run, name) != getattr(outcomes, name)
    ]
    return Check(
        what="Everybody is accounted for",
        ok=not wrong,
        detail="; ".join(wrong) or "the run's counters are what its rows add up to",
    )


def _everybody(run: Row[Any]) -> str:
    if run.origin == Origin.SEND_MISSING:
        return "everybody that it was made for has a row"
    if not run.materialised:
        return "the list is still being made from the audience, as it was when the run was claimed"
    return "everybody in the audience, as it was when the run was claimed, has a row"


def _check_none(what: str, found: int, well: str, wrong: str) -> Check:
    return Check(what=what, ok=not found, detail=wrong if found else well)
