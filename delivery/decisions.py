"""What was decided about a run, or about single deliveries of it, by a person or by the campaign's rule: who, and when.

A decision is written in the transaction of what it decides, and stays. A certificate counts them: whoever is sent
something again has one for each time.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, Select, func, insert, literal, null, select

from delivery.tables import decisions, deliveries
from storage.database import Tx

BY_RULE = "the campaign's rule"
"""Who decided where no person did: the campaign says what happens with doubts."""

_AT_ONCE = 5000
_COLUMNS = ("run_id", "delivery_id", "action", "by", "detail", "at")


class Action(StrEnum):
    """What was decided. The first three are about deliveries, the others about a whole run."""

    RESEND = "resend"
    MARK_SENT = "mark-sent"
    MARK_FAILED = "mark-failed"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RETRY_REFUSED = "retry-refused"
    SEND_MISSING = "send-missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeDecision:
    """A decision. email None: it is about the whole run. detail: what stood there before, or what came of it."""

    id: int
    action: Action
    email: str | None
    by: str
    detail: str | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """What was decided at once. people: about how many deliveries, 0 for the whole run. email: of one of them.

    detail: of a whole run's decision, what stood there before, or what came of it.
    """

    action: Action
    by: str
    at: datetime
    people: int
    email: str | None
    detail: str | None


def note(
    tx: Tx,
    run_id: int,
    action: Action,
    *,
    by: str,
    now: datetime,
    delivery_ids: Sequence[int] = (),
    detail: str | None = None,
) -> None:
    """Write a decision down: a row for each of these deliveries of the run, or one for the run when there are none.

    detail left out: of a delivery, the reason that stands in its row, so it is written before the row says another.
    """
    if not delivery_ids:
        row = {"run_id": run_id, "action": action, "by": by, "detail": detail, "at": now}
        tx.execute(insert(decisions).values(row))
    for start in range(0, len(delivery_ids), _AT_ONCE):
        piece = delivery_ids[start : start + _AT_ONCE]
        tx.execute(
            insert(decisions).from_select(
                _COLUMNS,
                select(
                    deliveries.c.run_id,
                    deliveries.c.id,
                    literal(action.value),
                    literal(by),
                    deliveries.c.reason if detail is None else literal(detail),
                    literal(now, type_=decisions.c.at.type),
                )
                .where(deliveries.c.run_id == run_id, deliveries.c.id.in_(piece))
                .order_by(deliveries.c.id),
            )
        )


def list_decisions(tx: Tx, run_id: int) -> list[MadeDecision]:
    """Return what was decided about a run and about its deliveries, in the order of time."""
    query = _select().where(decisions.c.run_id == run_id).order_by(decisions.c.id)
    return [_decision(row) for row in tx.execute(query)]


def newest_together(
    tx: Tx, run_id: int, *, limit: int, whole_run_too: bool = True
) -> list[Together]:
    """Return what was decided about a run, newest first; what one person decided at once about many is one."""
    of_one = decisions.c.delivery_id.is_not(null())
    query = (
        select(
            decisions.c.action,
            decisions.c.by,
            decisions.c.at,
            func.count(decisions.c.delivery_id).label("people"),
            func.min(deliveries.c.email).label("email"),
            func.max(decisions.c.detail).label("detail"),
        )
        .outerjoin(deliveries, deliveries.c.id == decisions.c.delivery_id)
        .where(decisions.c.run_id == run_id)
        .group_by(decisions.c.action, decisions.c.by, decisions.c.at, of_one)
        .order_by(func.max(decisions.c.id).desc())
        .limit(limit)
    )
    if not whole_run_too:
        query = query.where(of_one)
    return [
        Together(
            action=Action(row.action),
            by=row.by,
            at=row.at,
            people=row.people,
            email=row.email,
            detail=None if row.people else row.detail,
        )
        for row in tx.execute(query)
    ]


def of_deliveries(
    tx: Tx, run_ids: Collection[int], delivery_ids: Collection[int]
) -> dict[int, list[MadeDecision]]:
    """Return what was decided about each of these deliveries of these runs, in the order of time, by delivery."""
    query = _select().where(
        decisions.c.run_id.in_(run_ids), decisions.c.delivery_id.in_(delivery_ids)
    )
    found: dict[int, list[MadeDecision]] = defaultdict(list)
    for row in tx.execute(query.order_by(decisions.c.id)):
        found[row.delivery_id].append(_decision(row))
    return found


def times_decided(tx: Tx, run_id: int, action: Action) -> dict[int, int]:
    """Return how often this was decided about each delivery of a run; one without such a decision is left out."""
    query = select(decisions.c.delivery_id).where(
        decisions.c.run_id == run_id,
        decisions.c.action == action,
        decisions.c.delivery_id.is_not(null()),
    )
    times: dict[int, int] = defaultdict(int)
    for delivery_id in tx.execute(query).scalars():
        times[delivery_id] += 1
    return times


def _select() -> Select[Any]:
    return select(decisions, deliveries.c.email).outerjoin(
        deliveries, deliveries.c.id == decisions.c.delivery_id
    )


def _decision(row: Row[Any]) -> MadeDecision:
    return MadeDecision(
        id=row.id,
        action=Action(row.action),
        email=row.email,
        by=row.by,
        detail=row.detail,
        at=row.at,
    )
