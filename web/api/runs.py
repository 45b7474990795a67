"""/api/runs: what became of a slot, recipient by recipient."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from flask import Response

from accounts import store as account_store
from delivery import control, reads
from delivery.model import Delivery, DeliveryStatus, Run, RunStatus
from storage.database import Tx
from web.csv_answers import PAGE, Cell, csv_answer, pages
from web.current import caller_in_words, the_house
from web.fields import Answer, Body, ById, Id, Instant, QueryId, QueryText, Truth, rfc3339
from web.openapi import Resource
from web.paging import Page, next_cursor

resource = Resource("runs", "What became of a slot, recipient by recipient")

# As in the counts: what is leased is told as queued.
ToldStatus = Literal["queued", "sending", "sent", "failed", "skipped", "in_doubt"]

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
    """A run. reason says why it stands as it does; of one that is running, why it does not get on."""

    id: Id
    schedule_id: Id
    campaign_id: Id
    slot: Instant
    status: RunStatus
    reason: str | None
    claimed_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    counts: CountsAnswer
    rate_per_second: float | None
    eta_seconds: float | None

    @classmethod
    def of(cls, tx: Tx, run: Run, now: datetime) -> "RunAnswer":
        return cls(
            id=run.id,
            schedule_id=run.schedule_id,
            campaign_id=run.campaign_id,
            slot=run.slot,
            status=run.status,
            reason=run.reason or _hindrance(tx, run),
            claimed_at=run.claimed_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
            counts=CountsAnswer.model_validate(run.counts),
            rate_per_second=reads.rate_per_second(run, now),
            eta_seconds=reads.eta_seconds(run, now),
        )


def _hindrance(tx: Tx, run: Run) -> str | None:
    """Say why a run that is running does not get on: every account of it rests or is paused."""
    if run.status != RunStatus.RUNNING or not run.counts.queued:
        return None
    faults = account_store.faults(tx, run.content.account_ids)
    return None if faults is None else f"waits for its account: {faults}"


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
        items = [RunAnswer.of(tx, run, house.clock.now()) for run in found[: query.limit]]
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
    house = the_house()
    with house.database.write(durable=True) as tx:
        now = house.clock.now()
        return RunAnswer.of(tx, control.pause(tx, path.id, now, by=caller_in_words()), now)


@resource.post("/api/runs/<id:id>/resume", RunAnswer)
def resume_run(path: ById, body: Resume) -> RunAnswer:
    """Let a paused or held run go on."""
    house = the_house()
    now = house.clock.now()
    with house.database.write(durable=True) as tx:
        run = control.resume(
            tx, path.id, now, retry_refused=body.retry_refused, by=caller_in_words()
        )
        answer = RunAnswer.of(tx, run, now)
    house.scheduler.wake()
    return answer


@resource.post("/api/runs/<id:id>/cancel", RunAnswer)
def cancel_run(path: ById) -> RunAnswer:
    """Send nothing more of this run; what was not sent becomes skipped."""
    house = the_house()
    now = house.clock.now()
    with house.database.write(durable=True) as tx:
        return RunAnswer.of(tx, control.cancel(tx, path.id, now, by=caller_in_words()), now)


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


def _row(delivery: Delivery) -> Sequence[Cell]:
    return [
        rfc3339(value) if isinstance(value, datetime) else value
        for value in (getattr(delivery, name) for name in _COLUMNS)
    ]
