"""/api/runs: what became of a slot, recipient by recipient."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from flask import Response
from pydantic import Field, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from delivery import control, doubts, missing, outlook, reads
from delivery.certificate import certify
from delivery.decisions import Action
from delivery.doubts import Reach
from delivery.model import Delivery, DeliveryStatus, Origin, Run, RunStatus
from delivery.outlook import NOTHING, Outlook
from storage.aliveness import current_epoch
from storage.database import Tx
from web import audited
from web.csv_answers import PAGE, Cell, csv_answer, pages
from web.current import caller_in_words, the_house
from web.fields import (
    Answer,
    Body,
    ById,
    Email,
    Id,
    Instant,
    InstantIn,
    QueryId,
    QueryText,
    Truth,
    rfc3339,
)
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.replays import may_repeat, request_key

resource = Resource("runs", "What became of a slot, recipient by recipient")

# As in the counts: what is leased is told as queued.
ToldStatus = Literal["queued", "sending", "sent", "failed", "skipped", "in_doubt"]

MOST_EMAILS = 10_000

_COLUMNS = (
    "email",
    "status",
    "reason",
    "attempts",
    "next_attempt_at",
    "account_id",
    "smtp_code",
    "smtp_reply",
    "message_id",
    "updated_at",
)


class CountsAnswer(Answer):
    """A run's recipients by what became of them: recipients is the sum of the others."""

    recipients: int
    queued: int
    sending: int
    sent: int
    failed: int
    skipped: int
    in_doubt: int


class RunAnswer(Answer):
    """A run. reason says why it stands as it does; of one that is running, why it does not get on.

    made_from: the run whose missing recipients this one is for.
    """

    id: Id
    schedule_id: Id
    campaign_id: Id
    slot: Instant
    origin: Origin
    made_from: int | None
    status: RunStatus
    reason: str | None
    claimed_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    counts: CountsAnswer
    rate_per_second: float | None
    eta_seconds: float | None = Field(
        description="How long it will still take by the limits and the rates of its accounts, what is used of them, and"
        " the pace that was measured; null where it is not running, or there is nothing to go by"
    )

    @classmethod
    def of(cls, tx: Tx, run: Run, now: datetime) -> "RunAnswer":
        return cls.each(tx, [run], now)[0]

    @classmethod
    def each(cls, tx: Tx, runs: Sequence[Run], now: datetime) -> "list[RunAnswer]":
        expected = outlook.outlooks(tx, now)
        return [cls._of(run, expected.get(run.id, NOTHING), now) for run in runs]

    @classmethod
    def _of(cls, run: Run, expected: Outlook, now: datetime) -> "RunAnswer":
        return cls(
            id=run.id,
            schedule_id=run.schedule_id,
            campaign_id=run.campaign_id,
            slot=run.slot,
            origin=run.origin,
            made_from=run.made_from,
            status=run.status,
            reason=run.reason or expected.waits_for,
            claimed_at=run.claimed_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            counts=CountsAnswer.model_validate(run.counts),
            rate_per_second=reads.rate_per_second(run, now),
            eta_seconds=expected.eta_seconds,
        )


class RunList(Answer):
    """A page of runs, newest first."""

    items: list[RunAnswer]
    next_cursor: str | None


class DeliveryAnswer(Answer):
    """One recipient's email in a run."""

    email: str
    status: ToldStatus
    reason: str | None
    attempts: int
    next_attempt_at: Instant | None
    account_id: int | None
    smtp_code: int | None
    smtp_reply: str | None
    message_id: str | None
    updated_at: Instant


class DeliveryList(Answer):
    """A page of deliveries."""

    items: list[DeliveryAnswer]
    next_cursor: str | None


class RunPage(Page):
    """Which runs are wanted."""

    schedule_id: QueryId | None = None
    status: RunStatus | None = None


class DeliveryPage(Page):
    """Which deliveries are wanted; q is a part of the address."""

    status: ToldStatus | None = None
    q: QueryText | None = None


class Resume(Body):
    """retry_refused also queues the refusals that paused the run."""

    retry_refused: Truth = False


def _or_all(given: object, check: ValidatorFunctionWrapHandler) -> list[str]:
    checked: list[str] = [] if given == "all" else check(given)
    return checked


# "all" is held as no addresses: no client can say that.
EmailsOrAll = Annotated[
    list[Email],
    Field(min_length=1, max_length=MOST_EMAILS),
    WrapValidator(_or_all),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 320},
                    "minItems": 1,
                    "maxItems": MOST_EMAILS,
                },
                {"const": "all", "type": "string"},
            ]
        }
    ),
]


class Resolve(Body):
    """What to do about deliveries that are in doubt. before: only those that were when the list was read, then."""

    action: Literal["resend", "mark-sent", "mark-failed"]
    emails: EmailsOrAll
    before: InstantIn | None = None


class ResolvedAnswer(RunAnswer):
    """The run, and how many deliveries the decision was about; counts.in_doubt says how many are left."""

    resolved: int


class DecisionAnswer(Answer):
    """Who decided what, when. email null: it was about the whole run. detail: what stood there before."""

    action: Action
    email: str | None
    by: str
    detail: str | None
    at: Instant


class OpenDoubtAnswer(Answer):
    """Somebody of whom nobody can know whether they have it, and what to ask the mail server for."""

    email: str
    since: Instant
    account_id: int | None
    account: str | None
    message_id: str | None
    reason: str | None


class CheckAnswer(Answer):
    """One promise, whether the rows keep it, and what was found."""

    what: str
    ok: bool
    detail: str


class CertificateAnswer(Answer):
    """The proof of a run, computed from its rows just now. holds: every check is ok."""

    run_id: Id
    schedule_id: Id
    campaign: str
    subject: str
    origin: Origin
    made_from: int | None
    status: RunStatus
    slot: Instant
    claimed_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    content_sha256: str
    recipients: int
    outcomes: CountsAnswer
    duplicates: int
    missing: int
    in_doubt: list[OpenDoubtAnswer]
    decisions: list[DecisionAnswer]
    ledger_sha256: str
    checks: list[CheckAnswer]
    holds: bool
    is_final: bool
    checked_at: Instant


@resource.get("/api/runs", RunList)
def list_runs(query: RunPage) -> RunList:
    """List runs, newest first."""
    house = the_house()
    with house.database.read() as tx:
        found = reads.list_runs(
            tx,
            schedule_id=query.schedule_id,
            status=query.status,
            before=query.key,
            limit=query.limit + 1,
        )
        items = RunAnswer.each(tx, found[: query.limit], house.clock.now())
    cursor = next_cursor(found, limit=query.limit, key=lambda run: run.id)
    return RunList(items=items, next_cursor=cursor)


@resource.get("/api/runs/<id:id>", RunAnswer)
def get_run(path: ById) -> RunAnswer:
    """Show a run."""
    house = the_house()
    with house.database.read() as tx:
        return RunAnswer.of(tx, reads.run(tx, path.id), house.clock.now())


@resource.post("/api/runs/<id:id>/pause", RunAnswer)
def pause_run(path: ById) -> RunAnswer:
    """Begin no new message of this run."""
    return _answer(pause(path.id))


@resource.post("/api/runs/<id:id>/resume", RunAnswer)
def resume_run(path: ById, body: Resume) -> RunAnswer:
    """Let a paused or held run go on."""
    return _answer(resume(path.id, retry_refused=body.retry_refused))


@resource.post("/api/runs/<id:id>/cancel", RunAnswer)
def cancel_run(path: ById) -> RunAnswer:
    """Send nothing more of this run; what was not sent becomes skipped."""
    return _answer(cancel(path.id))


@resource.post("/api/runs/<id:id>/in-doubt", ResolvedAnswer)
def resolve_doubts(path: ById, body: Resolve) -> ResolvedAnswer:
    """Send again what is in doubt, or say what has become of it. resend makes a run that has ended run again."""
    run, resolved, _ = decide(path.id, body)
    return ResolvedAnswer(**dict(_answer(run)), resolved=resolved)


@resource.post("/api/runs/<id:id>/send-missing", RunAnswer, status=202)
@may_repeat
def send_missing(path: ById) -> RunAnswer:
    """Make a run of the same content for whom this one has not reached: nobody who has it, or may have it."""
    return _answer(send_to_missing(path.id))


@resource.get("/api/runs/<id:id>/certificate", CertificateAnswer)
def get_certificate(path: ById) -> CertificateAnswer:
    """Prove what became of everybody, computed from the ledger's rows."""
    house = the_house()
    with house.database.read() as tx:
        return CertificateAnswer.model_validate(certify(tx, path.id, house.clock.now()))


@resource.get("/api/runs/<id:id>/deliveries", DeliveryList)
def list_deliveries(path: ById, query: DeliveryPage) -> DeliveryList:
    """List a run's deliveries."""
    with the_house().database.read() as tx:
        reads.run(tx, path.id)
        found = reads.list_deliveries(
            tx,
            path.id,
            status=DeliveryStatus(query.status) if query.status else None,
            q=query.q,
            after=query.key,
            limit=query.limit + 1,
        )
    return DeliveryList(
        items=[DeliveryAnswer.model_validate(delivery) for delivery in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda delivery: delivery.id),
    )


@resource.get("/api/runs/<id:id>/deliveries.csv", "text/csv")
def deliveries_csv(path: ById) -> Response:
    """Give all deliveries of a run as CSV."""
    house = the_house()

    def read(after: int | None) -> list[Delivery]:
        with house.database.read() as tx:
            return reads.list_deliveries(tx, path.id, status=None, q=None, after=after, limit=PAGE)

    with house.database.read() as tx:
        reads.run(tx, path.id)
    rows = (_row(delivery) for delivery in pages(read, key=lambda delivery: delivery.id))
    return csv_answer(f"run-{path.id}-deliveries", _COLUMNS, rows)


def pause(run_id: int) -> Run:
    """Begin no new message of a run, and note it. Raises NotFound, Conflict."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        old = reads.run(tx, run_id)
        run = control.pause(tx, run_id, house.clock.now(), by=caller_in_words())
        _note(tx, "pause", old, run)
    return run


def resume(run_id: int, *, retry_refused: bool) -> Run:
    """Let a paused or held run go on, and note it. Raises NotFound, Conflict."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        old = reads.run(tx, run_id)
        run = control.resume(
            tx, run_id, house.clock.now(), retry_refused=retry_refused, by=caller_in_words()
        )
        _note(tx, "resume", old, run)
    house.scheduler.wake()
    return run


def cancel(run_id: int) -> Run:
    """Send nothing more of a run, and note it. Raises NotFound, Conflict."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        old = reads.run(tx, run_id)
        run = control.cancel(tx, run_id, house.clock.now(), by=caller_in_words())
        _note(tx, "cancel", old, run)
    return run


def decide(run_id: int, what: Resolve) -> tuple[Run, int, Reach]:
    """Decide about deliveries that are in doubt, and note it; return the run, about how many it was, and the reach.

    Raises NotFound, Conflict.
    """
    house = the_house()
    with house.database.write(durable=True) as tx:
        reach = doubts.reach(
            tx, run_id, Action(what.action), emails=what.emails or None, before=what.before
        )
        resolved = doubts.resolve(
            tx,
            run_id,
            Action(what.action),
            emails=what.emails or None,
            before=what.before,
            by=caller_in_words(),
            now=house.clock.now(),
        )
        run = reads.run(tx, run_id)
        after = {"decided": what.action, "deliveries": resolved}
        audited.note(tx, "decide doubts", f"run:{run_id}", label=run.content.name, after=after)
    house.scheduler.wake()
    return run, resolved, reach


def send_to_missing(run_id: int) -> Run:
    """Make a run for whom this one has not reached, and note it; the same request again returns the same run."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        newest = reads.list_runs(tx, schedule_id=None, status=None, before=None, limit=1)
        run = missing.send_missing(
            tx,
            run_id,
            by=caller_in_words(),
            epoch=current_epoch(tx),
            now=house.clock.now(),
            request_key=request_key(),
        )
        if newest and run.id <= newest[0].id:
            audited.nothing_to_note()
        else:
            after = {"run": run.id, "recipients": run.counts.recipients}
            audited.note(tx, "send missing", f"run:{run_id}", label=run.content.name, after=after)
    house.scheduler.wake()
    return run


def _answer(run: Run) -> RunAnswer:
    house = the_house()
    with house.database.read() as tx:
        return RunAnswer.of(tx, run, house.clock.now())


def _note(tx: Tx, action: str, old: Run, new: Run) -> None:
    audited.note_change(
        tx,
        f"run:{new.id}",
        label=new.content.name,
        action=action,
        before={"status": str(old.status), "reason": old.reason},
        after={"status": str(new.status), "reason": new.reason},
    )


def _row(delivery: Delivery) -> Sequence[Cell]:
    return [
        rfc3339(value) if isinstance(value, datetime) else value
        for value in (getattr(delivery, name) for name in _COLUMNS)
    ]
