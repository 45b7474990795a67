"""Finding anything by a few letters: people, campaigns, schedules, runs, audiences, accounts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from accounts import store as accounts
from assembly import Sendonce
from audience import store as people
from audience import suppressions
from delivery import outlines
from delivery.outlines import RunOutline
from mail.address import normalise_fast
from storage.database import Tx
from web.fields import GREATEST_ID
from web.person import path_of
from web.schedule_rows import Names, Row, names_of, rows_of
from web.shown import many

Named = TypeVar("Named")

_RUN = re.compile(r"(?:run\s*)?#?([1-9][0-9]{0,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One thing that was found. status: for a badge; at: a time that tells it from others of its name, in its zone."""

    path: str
    text: str
    says: str = ""
    status: str | None = None
    at: datetime | None = None
    zone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What was found of a kind, at most as many as were asked for; has_more: there are others."""

    key: str
    title: str
    icon: str
    hits: Sequence[Hit]
    has_more: bool


KINDS = (
    ("recipients", "Recipients", "user"),
    ("campaigns", "Campaigns", "campaign"),
    ("schedules", "Schedules", "automation"),
    ("runs", "Runs", "run"),
    ("audiences", "Audiences", "audience"),
    ("accounts", "Accounts", "account"),
)


def search(house: Sendonce, q: str, *, kind: str | None, most: int) -> list[Group]:
    """Return what has q in its name, newest first; of a recipient the address counts too, of a run its number.

    kind: only this kind. most: of each kind. Kinds of which nothing was found are left out.
    """
    names = names_of(house)
    limit = most + 1
    found = {
        "recipients": lambda: _recipients(house, q, limit),
        "campaigns": lambda: _campaigns(names, q)[:limit],
        "schedules": lambda: _schedules(house, names, q, limit),
        "runs": lambda: _runs(house, names, q, limit),
        "audiences": lambda: _audiences(names, q)[:limit],
        "accounts": lambda: _accounts(house, q)[:limit],
    }
    groups = []
    for key, title, icon in KINDS:
        hits = found[key]() if kind in (None, key) else []
        if hits:
            more = len(hits) > most
            group = Group(key=key, title=title, icon=icon, hits=hits[:most], has_more=more)
            groups.append(group)
    return groups


def _has(name: str, q: str) -> bool:
    return q.casefold() in name.casefold()


def _recipients(house: Sendonce, q: str, limit: int) -> list[Hit]:
    """Return people by address, then those by name, then suppressed addresses that are on no list."""
    with house.database.read() as tx:
        found = {
            one.address_key: (one.email, one.name) for one in people.look_for(tx, q, limit=limit)
        }
        if len(found) < limit:
            for one in people.look_for_names(tx, q, limit=limit):
                found.setdefault(one.address_key, (one.email, one.name))
        if len(found) < limit:
            for gone in suppressions.look_for(tx, q, limit=limit):
                found.setdefault(_key_of(gone.email), (gone.email, ""))
        held_back = suppressions.which_suppressed(tx, list(found))
    return [
        Hit(
            path=path_of(email),
            text=email,
            says=", ".join(filter(None, (name, "suppressed" if key in held_back else ""))),
        )
        for key, (email, name) in list(found.items())[:limit]
    ]


def _key_of(email: str) -> str:
    address = normalise_fast(email)
    return email if isinstance(address, str) else address.key


def _newest_first(named: Mapping[int, Named]) -> list[Named]:
    return [named[i] for i in sorted(named, reverse=True)]


def _campaigns(names: Names, q: str) -> list[Hit]:
    found = [one for one in _newest_first(names.campaigns) if _has(one.name, q)]
    return [Hit(path=f"/campaigns/{one.id}", text=one.name, says=one.subject) for one in found]


def _audiences(names: Names, q: str) -> list[Hit]:
    found = [one for one in _newest_first(names.audiences) if _has(one.name, q)]
    return [
        Hit(path=f"/audiences/{one.id}", text=one.name, says=many(one.recipients, "person"))
        for one in found
    ]


def _schedules(house: Sendonce, names: Names, q: str, limit: int) -> list[Hit]:
    found = [s for s in house.store.read() if _has(names.campaign(s.campaign_id), q)]
    newest = sorted(found, key=lambda schedule: schedule.id, reverse=True)[:limit]
    return [_schedule(row) for row in rows_of(house, newest, names, now=house.clock.now())]


def _schedule(row: Row) -> Hit:
    return Hit(
        path=f"/automation/{row.id}",
        text=row.campaign,
        says=row.rule,
        status=row.status,
        at=row.next_run,
        zone=row.zone,
    )


def _runs(house: Sendonce, names: Names, q: str, limit: int) -> list[Hit]:
    """Return the run of this number, then those of the campaigns that have it in their name, newest first."""
    ids = [one.id for one in names.campaigns.values() if _has(one.name, q)]
    with house.database.read() as tx:
        found = _run_of_number(tx, q)
        numbers = {run.id for run in found}
        found += [r for r in outlines.of_campaigns(tx, ids, limit=limit) if r.id not in numbers]
    return [
        Hit(
            path=f"/runs/{run.id}",
            text=f"Run {run.id}: {names.campaign(run.campaign_id)}",
            says=many(run.counts.recipients, "person"),
            status=run.status,
            at=run.slot,
            zone=run.zone,
        )
        for run in found[:limit]
    ]


def _run_of_number(tx: Tx, q: str) -> list[RunOutline]:
    match = _RUN.fullmatch(q)
    if match is None or int(match[1]) > GREATEST_ID:
        return []
    return list(outlines.by_id(tx, [int(match[1])]).values())


def _accounts(house: Sendonce, q: str) -> list[Hit]:
    with house.database.read() as tx:
        called = accounts.names(tx)
    return [
        Hit(path=f"/accounts/{account_id}", text=name)
        for account_id, name in called.items()
        if _has(name, q)
    ]
