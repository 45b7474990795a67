"""What was done to schedules, for the audit log: by whom, and how their definitions were and are.

Runs in the transaction that brings the copy of the definitions up to date, as scheduler.edits does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from campaigns import store as campaign_store
from identity import audit
from identity.audit import SCHEDULE_FILE, Author, Deed
from scheduler.fields import ScheduleFields
from scheduler.model import Schedule
from scheduler.reconcile import Edit
from storage.database import Tx
from storage.sealed import SecretKey

_DEFINITION = tuple(f.name for f in fields(ScheduleFields))


def note_changes(
    tx: Tx,
    by: Author,
    edits: Sequence[Edit],
    gone: Sequence[Schedule],
    now: datetime,
    *,
    key: SecretKey,
) -> None:
    """Note what somebody has changed, and what they deleted or took out of the file."""
    called = names(tx, [*(edit.new for edit in edits), *gone])
    deeds = [deed for edit in edits if (deed := _deed_of(by, edit, called)) is not None]
    action = "take out" if by is SCHEDULE_FILE else "delete"
    deeds += [
        by.did(action, object_of(one.id), label=called[one.id], before=_definition(one))
        for one in gone
    ]
    audit.record_all(tx, deeds, key=key, now=now)


def names(tx: Tx, schedules: Iterable[Schedule]) -> dict[int, str]:
    """Return what people call these schedules, by id: as their campaigns."""
    campaigns = campaign_store.outlines(tx)
    return {
        one.id: campaigns[one.campaign_id].name if one.campaign_id in campaigns else ""
        for one in schedules
    }


def object_of(schedule_id: int) -> str:
    """Return how a schedule is called as an object of the log."""
    return f"schedule:{schedule_id}"


def _deed_of(by: Author, edit: Edit, called: Mapping[int, str]) -> Deed | None:
    new = _definition(edit.new)
    label = called[edit.new.id]
    if edit.old is None:
        return by.did("create", object_of(edit.new.id), label=label, after=new)
    old = _definition(edit.old)
    differs = [name for name in _DEFINITION if old[name] != new[name]]
    if not differs:
        return None
    return by.did(
        _action(edit.old, edit.new, differs),
        object_of(edit.new.id),
        label=label,
        before={name: old[name] for name in differs},
        after={name: new[name] for name in differs},
    )


def _action(old: Schedule, new: Schedule, differs: Sequence[str]) -> str:
    """Say pause and resume where nothing else is meant: enabled is how a schedule is paused."""
    if old.enabled == new.enabled or not {"enabled", "note"}.issuperset(differs):
        return "change"
    return "resume" if new.enabled else "pause"


def _definition(schedule: Schedule) -> dict[str, Any]:
    return {name: _plain(getattr(schedule, name)) for name in _DEFINITION}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
