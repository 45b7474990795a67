"""What was decided about each slot, and up to which instant: the rows that make a slot run once.

The unique key (schedule_id, key) refuses a second decision about the same slot; the watermark keeps a changed rule
from deciding an instant again; the floor keeps a new or resumed schedule from running what lies before it.
"""

from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta

from sqlalchemy import Integer, String, bindparam, case, cast, func, or_, select, update

from delivery.model import Decision, SlotDecision, Standing
from delivery.tables import is_behind, slots, watermarks
from storage.database import Tx, insert_into
from storage.many import is_one_of
from storage.metadata import Instant
from storage.prepared import Prepared, insert_unless_there

# A new tzdata release may move a slot that was decided to the other side of the watermark: its key is known this long.
_KEYS_KNOWN = timedelta(days=2)

FREED = "#"
"""Parts the key of a row whose name was set free, so that its time may run once more, from the row's number."""

WALL = "wall:"
"""What the keys of daily and longer rules begin with; the day follows."""


def standings(tx: Tx, schedule_ids: Collection[int], now: datetime) -> dict[int, Standing]:
    """Return how far each of these schedules has been decided; one that never was is left out."""
    of_all = select(
        watermarks.c.schedule_id, watermarks.c.watermark, watermarks.c.floor, watermarks.c.claimed
    )
    rows = [row for row in tx.execute(of_all) if row[0] in schedule_ids]
    if not rows:
        return {}
    keys: dict[int, set[str]] = {}
    instants: dict[int, set[datetime]] = {}
    days: dict[int, set[date]] = {}
    known_since = now - _KEYS_KNOWN
    # One bound, not two with "or": that is a walk along the index from there on.
    since = case((watermarks.c.watermark < known_since, watermarks.c.watermark), else_=known_since)
    near = (
        select(slots.c.schedule_id, slots.c.key, slots.c.at, slots.c.decision, slots.c.whole_day)
        .join(watermarks, watermarks.c.schedule_id == slots.c.schedule_id)
        .where(slots.c.at > since)
    )
    for schedule_id, key, at, decision, whole_day in tx.execute(near):
        keys.setdefault(schedule_id, set()).add(key)
        if decision == Decision.CLAIMED and FREED not in key:
            instants.setdefault(schedule_id, set()).add(at)
        if whole_day:
            days.setdefault(schedule_id, set()).add(_day_of(key))
    stretches: dict[int, set[tuple[datetime, datetime]]] = {}
    many = select(slots.c.schedule_id, slots.c.key, slots.c.at, slots.c.until).where(
        slots.c.until.is_not(None), slots.c.until > known_since
    )
    for schedule_id, key, at, until in tx.execute(many):
        if FREED not in key:
            stretches.setdefault(schedule_id, set()).add((at, until))
    return {
        schedule_id: Standing(
            watermark=watermark,
            floor=floor,
            claimed=claimed,
            keys=frozenset(keys.get(schedule_id, ())),
            instants=frozenset(instants.get(schedule_id, ())),
            stretches=frozenset(stretches.get(schedule_id, ())),
            days=frozenset(days.get(schedule_id, ())),
        )
        for schedule_id, watermark, floor, claimed in rows
    }


def begin(tx: Tx, schedule_id: int, now: datetime) -> None:
    """Let a schedule begin: nothing up to now is due. One that has begun is left as it is."""
    tx.execute(
        insert_into(tx, watermarks)
        .values(schedule_id=schedule_id, watermark=now, floor=now, claimed=0, behind=True)
        .on_conflict_do_nothing()
    )


def raise_floor(tx: Tx, schedule_id: int, floor: datetime) -> None:
    """Let nothing up to floor be due any more: the schedule was enabled, resumed, or its times changed."""
    tx.execute(
        update(watermarks).where(watermarks.c.schedule_id == schedule_id).values(floor=floor)
    )


_DECIDE = Prepared(
    update(watermarks)
    .where(watermarks.c.schedule_id == bindparam("the_schedule"))
    .values(
        watermark=case(
            (watermarks.c.watermark < bindparam("until", type_=Instant), bindparam("until")),
            else_=watermarks.c.watermark,
        ),
        claimed=watermarks.c.claimed + bindparam("claims", type_=Integer),
        behind=True,
    )
)


def decide(tx: Tx, schedule_id: int, *, until: datetime, claims: int) -> None:
    """Say that the schedule is decided up to this instant, with so many slots claimed; the store has yet to be told.

    The watermark never goes back here.
    """
    _DECIDE.run(tx, {"the_schedule": schedule_id, "until": until, "claims": claims})


def go_back(tx: Tx, now: datetime) -> None:
    """Let watermarks and floors that lie ahead of the clock go back with it: nothing is decided of the future."""
    ahead = or_(watermarks.c.watermark > now, watermarks.c.floor > now)
    tx.execute(
        update(watermarks)
        .where(ahead)
        .values(
            watermark=case((watermarks.c.watermark > now, now), else_=watermarks.c.watermark),
            floor=case((watermarks.c.floor > now, now), else_=watermarks.c.floor),
            behind=True,
        )
    )


def let_day_run_again(tx: Tx, schedule_id: int, day: date) -> None:
    """Let a day run again that was decided whole, because a person said so: even at the time it was decided for."""
    again = slots.c.key + FREED + cast(slots.c.id, String)
    tx.execute(
        update(slots)
        .where(
            slots.c.schedule_id == schedule_id,
            slots.c.whole_day.is_(True),
            slots.c.key.startswith(f"{WALL}{day.isoformat()}"),
        )
        .values(whole_day=False, key=again)
    )


def mark_behind(tx: Tx, schedule_id: int) -> None:
    """Say that the schedule store has yet to be told what is decided in this transaction."""
    tx.execute(
        update(watermarks).where(watermarks.c.schedule_id == schedule_id).values(behind=True)
    )


def behind(tx: Tx) -> set[int]:
    """Return the schedules that the store has yet to be told about."""
    query = select(watermarks.c.schedule_id).where(is_behind)
    return set(tx.execute(query).scalars())


def mark_told(tx: Tx, schedule_ids: Collection[int]) -> None:
    """Say that the store knows what is decided about these."""
    tx.execute(
        update(watermarks)
        .where(is_one_of(watermarks.c.schedule_id, schedule_ids))
        .values(behind=False)
    )


def count_claim(tx: Tx, schedule_id: int) -> None:
    """Count one claimed slot, for max_runs."""
    tx.execute(
        update(watermarks)
        .where(watermarks.c.schedule_id == schedule_id)
        .values(claimed=watermarks.c.claimed + 1)
    )


_WRITE = Prepared(
    insert_unless_there(slots).values(
        {c.name: bindparam(c.name, type_=c.type) for c in slots.c if c is not slots.c.id}
    )
)


def write(
    tx: Tx,
    schedule_id: int,
    decision: SlotDecision,
    *,
    run_id: int | None,
    epoch: int,
    now: datetime,
) -> bool:
    """Write a slot's row; return False where the key exists: it was decided before, and that stands."""
    met = _WRITE.run(
        tx,
        {
            "schedule_id": schedule_id,
            "key": decision.key,
            "at": decision.at,
            "local": decision.local,
            "until": decision.until,
            "slots": decision.count,
            "decision": decision.decision,
            "reason": decision.reason,
            "whole_day": decision.whole_day,
            "run_id": run_id,
            "epoch": epoch,
            "decided_at": now,
        },
    )
    return met == 1


def write_all(
    tx: Tx,
    schedule_id: int,
    decisions: Iterable[SlotDecision],
    *,
    run_id: int | None,
    epoch: int,
    now: datetime,
) -> None:
    """Write many slots' rows; those that exist stand."""
    for decision in decisions:
        write(tx, schedule_id, decision, run_id=run_id, epoch=epoch, now=now)


_ATTACH_RUN = Prepared(
    update(slots)
    .where(slots.c.schedule_id == bindparam("the_schedule"), slots.c.key == bindparam("its_key"))
    .values(run_id=bindparam("its_run"))
)


def attach_run(tx: Tx, schedule_id: int, key: str, run_id: int) -> None:
    """Name the run of a slot that was claimed in this transaction."""
    _ATTACH_RUN.run(tx, {"the_schedule": schedule_id, "its_key": key, "its_run": run_id})


def held(tx: Tx, schedule_id: int, *, through: datetime | None) -> list[tuple[int, datetime]]:
    """Return ids and instants of the slots that are held, oldest first; through is the newest one meant."""
    query = select(slots.c.id, func.coalesce(slots.c.until, slots.c.at).label("at")).where(
        slots.c.schedule_id == schedule_id, slots.c.decision == Decision.HELD
    )
    if through is not None:
        query = query.where(slots.c.at <= through)
    return [(r.id, r.at) for r in tx.execute(query.order_by(slots.c.at, slots.c.id))]


def release(
    tx: Tx, slot_id: int, decision: Decision, *, reason: str | None, run_id: int | None
) -> bool:
    """Decide a slot that is held, once: return False when somebody else has."""
    done = tx.execute(
        update(slots)
        .where(slots.c.id == slot_id, slots.c.decision == Decision.HELD)
        .values(decision=decision, reason=reason, run_id=run_id)
    )
    return done.rowcount == 1


def schedules_with_held(tx: Tx) -> set[int]:
    """Return the schedules that have slots waiting for a person."""
    query = select(slots.c.schedule_id).where(slots.c.decision == Decision.HELD).distinct()
    return set(tx.execute(query).scalars())


def last_decisions(tx: Tx, schedule_ids: Collection[int]) -> dict[int, Decision]:
    """Return what was decided about the newest slot of each schedule."""
    newest = (
        select(slots.c.schedule_id, func.max(slots.c.id).label("id"))
        .group_by(slots.c.schedule_id)
        .subquery()
    )
    query = select(slots.c.schedule_id, slots.c.decision).join(newest, newest.c.id == slots.c.id)
    return {i: Decision(d) for i, d in tx.execute(query) if i in schedule_ids}


def _day_of(key: str) -> date:
    return date.fromisoformat(key.removeprefix(WALL)[:10])
