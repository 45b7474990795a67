"""How the audit log's entries are told on its page: in words, with what was and what is side by side."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from accounts import store as accounts
from assembly import Sendonce
from audience import store as audiences
from campaigns import store as campaigns
from identity.audit import Deed, Entry
from storage.database import Tx

KINDS = (
    ("schedule", "Schedules"),
    ("run", "Runs"),
    ("campaign", "Campaigns"),
    ("audience", "Audiences"),
    ("recipient", "Recipients"),
    ("account", "Accounts"),
    ("user", "Users"),
    ("token", "Tokens"),
)
"""What things are done to, and what the page calls them. The others are found under All."""

_PATHS = {
    "schedule": "/automation/{}",
    "run": "/runs/{}",
    "campaign": "/campaigns/{}",
    "audience": "/audiences/{}",
    "account": "/accounts/{}",
    "user": "/settings/users/{}",
    "token": "/settings/tokens#t{}",
}
_LONGEST_MARK = 8
_DID = {
    "accept": "Accepted",
    "add people": "Added people to",
    "cancel": "Cancelled",
    "change": "Changed",
    "clear": "Cleared",
    "create": "Created",
    "decide doubts": "Decided doubts of",
    "delete": "Deleted",
    "end": "Ended",
    "erase": "Erased",
    "import": "Imported into",
    "invite": "Invited",
    "pause": "Paused",
    "remove": "Removed",
    "resume": "Resumed",
    "revoke": "Revoked",
    "sign in": "Signed in",
    "sign out": "Signed out",
    "skip slot": "Skipped a slot of",
    "suppress": "Suppressed",
    "take out": "Took out of the file",
    "test": "Tested",
    "unsubscribe": "Unsubscribed",
    "unsuppress": "Let get mail again",
}
"""What the page says of the commonest actions; of the others it says the action itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field: how it was and how it is, None where it was or is not there."""

    name: str
    was: str | None
    is_: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeedRow:
    """One entry. what: the kind of thing; called: its name; path: its page, where there is one still."""

    id: int
    at: datetime
    actor: str
    by: str
    did: str
    object: str
    what: str
    called: str
    path: str | None
    address: str | None
    differences: Sequence[Difference]
    has_was: bool
    has_is: bool


def rows_of(house: Sendonce, tx: Tx, entries: Sequence[Entry]) -> list[DeedRow]:
    """Return the entries as the page has them."""
    gone = _gone(house, tx, {entry.deed.object for entry in entries})
    return [_row(entry, gone) for entry in entries]


def differences(deed: Deed) -> list[Difference]:
    """Return what was and what is, field by field."""
    before, after = deed.before or {}, deed.after or {}
    return [
        Difference(
            name=name.replace("_", " "),
            was=_text(before[name]) if name in before else None,
            is_=_text(after[name]) if name in after else None,
        )
        for name in {**before, **after}
    ]


def _row(entry: Entry, gone: Collection[str]) -> DeedRow:
    deed = entry.deed
    kind, _, number = deed.object.partition(":")
    differ = differences(deed)
    return DeedRow(
        id=entry.id,
        at=entry.at,
        actor=deed.actor,
        by=deed.by,
        did=_DID.get(deed.action, deed.action[:1].upper() + deed.action[1:]),
        object=deed.object,
        what=kind,
        called=deed.label or _called(kind, number),
        path=_PATHS[kind].format(number) if _has_page(deed.object, gone) else None,
        address=deed.address,
        differences=differ,
        has_was=any(one.was is not None for one in differ),
        has_is=any(one.is_ is not None for one in differ),
    )


def _called(kind: str, number: str) -> str:
    return number[:_LONGEST_MARK] if kind == "recipient" else number


def _has_page(object_: str, gone: Collection[str]) -> bool:
    kind, _, number = object_.partition(":")
    return kind in _PATHS and number.isdecimal() and object_ not in gone


def _gone(house: Sendonce, tx: Tx, objects: Collection[str]) -> set[str]:
    """Return those of the objects that had a page once and have none any more."""
    return {f"{kind}:{one}" for kind, ids in _missing(house, tx, _by_kind(objects)) for one in ids}


def _missing(
    house: Sendonce, tx: Tx, ids: Mapping[str, Sequence[int]]
) -> Iterator[tuple[str, Sequence[int]]]:
    there = {schedule.id for schedule in house.store.read()}
    yield "schedule", [one for one in ids.get("schedule", ()) if one not in there]
    yield "campaign", campaigns.missing(tx, ids.get("campaign", ()))
    yield "audience", audiences.missing(tx, ids.get("audience", ()))
    yield "account", accounts.missing(tx, ids.get("account", ()))


def _by_kind(objects: Collection[str]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {}
    for one in objects:
        kind, _, number = one.partition(":")
        if number.isdecimal():
            ids.setdefault(kind, []).append(int(number))
    return ids


def _text(value: Any) -> str:
    match value:
        case None | "" | []:
            return "none"
        case bool():
            return "yes" if value else "no"
        case str():
            return value
        case list() if all(isinstance(one, str | int) for one in value):
            return ", ".join(map(str, value))
    return json.dumps(value, ensure_ascii=False)
