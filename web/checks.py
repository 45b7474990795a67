"""What /status looks at: what has to be right for e-mails to go, how it is, and what to do where it is not.

`python app.py doctor` looks at more: it reads the whole database and speaks with every mail server.
"""

import importlib.metadata
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from accounts import store as accounts
from assembly import Sendonce
from foundation.errors import SendonceError
from foundation.machine import Room, clock_is_synchronised, free_megabytes
from scheduler.fields import zone_names
from scheduler.model import Status
from storage import installation
from storage.aliveness import newest_leader
from web.probes import notices, unready
from web.shell import heartbeat_of
from web.shown import duration, from_now, in_words, leap, many, viewers_zone

_MEGABYTE = 1024 * 1024
_LATE_AFTER = timedelta(seconds=10)
_FEWEST_ZONES = 300
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class Look(StrEnum):
    """How a check came out; the words of the badges' looks."""

    OK = "ok"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at. todo: what to do about it; path: where, on a page called action."""

    look: Look
    what: str
    says: str
    todo: str | None = None
    path: str | None = None
    action: str | None = None


def look_around(house: Sendonce, now: datetime) -> list[Check]:
    """Look at everything, in the order in which it would keep e-mails from going."""
    return [check for look in _LOOKS for check in _without_a_crash(look, house, now)]


def _without_a_crash(
    look: Callable[[Sendonce, datetime], Iterator[Check]], house: Sendonce, now: datetime
) -> list[Check]:
    try:
        return list(look(house, now))
    except SendonceError as error:
        what = look.__name__.strip("_").replace("_", " ").capitalize()
        return [Check(look=Look.BAD, what=what, says=error.message)]


def _scheduler(house: Sendonce, now: datetime) -> Iterator[Check]:
    with house.database.read() as tx:
        leader = newest_leader(tx)
        is_running = heartbeat_of(house, tx, now).status != "stopped"
    if leader is None or leader.last_tick is None:
        says = "It has not ticked yet."
    elif is_running:
        says = (
            f"This process ({os.getpid()}) leads."
            if house.scheduler.epoch() is not None
            else f"Process {leader.pid} leads; this one ({os.getpid()}) stands by, and takes over when that one ends."
        )
        yield Check(look=Look.OK, what="Scheduler", says=says)
        return
    else:
        says = f"Process {leader.pid} led last. Its last tick was {from_now(leader.last_tick)}."
    yield Check(
        look=Look.BAD,
        what="Scheduler",
        says=f"{says} Nothing is sent until it ticks; nothing is lost meanwhile.",
        todo="Start the server again with python app.py. If a process of it still runs, look at its log.",
    )


def _directory(house: Sendonce, now: datetime) -> Iterator[Check]:
    copy = house.leader.copy_that_leads
    if copy is not None:
        yield Check(
            look=Look.BAD,
            what="Data directory",
            says=f"A copy of it, {copy}, is led by a process on this machine; this one stands by.",
            todo="Stop that one, if this is the one that goes on.",
        )
        return
    with house.database.read() as tx:
        here = installation.read(tx)
    if here.doubted_reason is not None:
        yield Check(
            look=Look.BAD,
            what="Data directory",
            says=f"{here.doubted_reason} Runs and slots are held.",
            todo="Say whether this is the one that goes on.",
            path="/doubt",
            action="Look and decide",
        )
        return
    says = "Nothing says that this is an older copy of itself, or a second one."
    yield Check(look=Look.OK, what="Data directory", says=says)


def _due_slots(house: Sendonce, now: datetime) -> Iterator[Check]:
    due = [
        (s.next_run, s)
        for s in house.store.read()
        if s.enabled and s.next_run is not None and s.next_run <= now
    ]
    if not due:
        yield Check(look=Look.OK, what="Due slots", says="None waits.")
        return
    oldest, schedule = min(due, key=lambda one: one[0])
    when = in_words(oldest, viewers_zone())
    is_late = now - oldest > house.settings.execution_buffer + _LATE_AFTER
    if is_late and schedule.status is not Status.RUNNING:
        yield Check(
            look=Look.WARN,
            what="Due slots",
            says=f"{many(len(due), 'slot')} due, the oldest for {duration((now - oldest).total_seconds())}: {when}.",
            todo="It waits for the scheduler to tick, or for what its schedule says.",
            path=f"/automation/{schedule.id}",
            action="Open the schedule",
        )
        return
    says = f"{many(len(due), 'slot')} due, the oldest {when}."
    waits = "waits for the run before it" if is_late else "can still be taken back"
    yield Check(look=Look.OK, what="Due slots", says=f"{says} It {waits}.")


def _stores(house: Sendonce, now: datetime) -> Iterator[Check]:
    for reason in unready(house):
        yield Check(
            look=Look.BAD,
            what="Readiness",
            says=reason,
            todo="Make room, or give this user the right to the data directory; python app.py doctor says more.",
        )
        return
    size = house.database.path.stat().st_size / _MEGABYTE
    log = house.database.log_size_bytes() / _MEGABYTE
    yield Check(
        look=Look.OK,
        what="Database",
        says=f"It can be read and written: {size:,.1f} MB, and a log of {log:,.1f} MB.",
    )


def _schedule_file(house: Sendonce, now: datetime) -> Iterator[Check]:
    count = len(house.store.read())
    found = len(notices(house))
    says = f"scheduled_campaigns.json can be read: {many(count, 'schedule')}."
    if not found:
        yield Check(look=Look.OK, what="Schedule file", says=says)
        return
    yield Check(
        look=Look.WARN,
        what="Schedule file",
        says=f"{says} {many(found, 'thing')} in it stood out in the last 7 days.",
        todo="Read below whether what came of it is what you meant.",
        path="#found",
        action="Read it",
    )


def _free_disk(house: Sendonce, now: datetime) -> Iterator[Check]:
    free, room = free_megabytes(house.settings.data_dir)
    amount = f"{free:,.0f} MB" if free < 10_000 else f"{free / 1024:,.0f} GB"
    says = f"{amount} free for {house.settings.data_dir}."
    match room:
        case Room.ENOUGH:
            yield Check(look=Look.OK, what="Disk", says=says)
        case Room.LOW:
            yield Check(look=Look.WARN, what="Disk", says=says, todo="Make room soon.")
        case Room.NONE:
            says += " Nothing can be claimed or sent on a full disk."
            yield Check(look=Look.BAD, what="Disk", says=says, todo="Make room now.")


def _clock(house: Sendonce, now: datetime) -> Iterator[Check]:
    step = house.clock.step
    if step is not None:
        yield Check(
            look=Look.BAD,
            what="Clock",
            says=f"It has jumped {leap(step.total_seconds())}. Nothing is claimed until it is right or accepted.",
            todo="Set it right; or say that it is.",
            path="/clock",
            action="Look at the clock",
        )
        return
    says = f"It is {in_words(now, viewers_zone(), seconds=True)}, {in_words(now, 'UTC', seconds=True)}."
    if clock_is_synchronised() is not False:
        yield Check(look=Look.OK, what="Clock", says=says)
        return
    yield Check(
        look=Look.WARN,
        what="Clock",
        says=f"{says} The system does not call its clock synchronised, and schedules go by it.",
        todo="Let a time service (systemd-timesyncd, chrony) set it.",
    )


def _time_zones(house: Sendonce, now: datetime) -> Iterator[Check]:
    count = len(zone_names())
    says = f"{count} zones are known; tzdata {importlib.metadata.version('tzdata')}."
    if count >= _FEWEST_ZONES:
        yield Check(look=Look.OK, what="Time zones", says=says)
    else:
        todo = "Install the requirements again: the package tzdata is damaged."
        yield Check(look=Look.BAD, what="Time zones", says=says, todo=todo)


def _public_address(house: Sendonce, now: datetime) -> Iterator[Check]:
    url = house.settings.public_url
    if url is None or urlsplit(url).hostname in _THIS_MACHINE:
        says = "Unsubscribe links lead to this machine, where no recipient can open them."
        yield Check(
            look=Look.WARN,
            what="Public address",
            says=f"{says} They begin with {house.public_url}.",
            todo="Set SENDONCE_PUBLIC_URL before you send to anybody else.",
        )
    elif not url.startswith("https://"):
        yield Check(
            look=Look.WARN,
            what="Public address",
            says=f"{url} is not https: mail programs offer one-click unsubscribe only over https (RFC 8058).",
            todo="Put a proxy with a certificate in front, and set SENDONCE_PUBLIC_URL to its address.",
        )
    else:
        yield Check(
            look=Look.OK, what="Public address", says=f"Unsubscribe links begin with {url}."
        )


def _accounts(house: Sendonce, now: datetime) -> Iterator[Check]:
    with house.database.read() as tx:
        count = len(accounts.names(tx))
        unwell = accounts.unwell(tx)
    for account in unwell:
        yield Check(
            look=Look.WARN if account.state == "failing" else Look.BAD,
            what=f"Account {account.name}",
            says=f"It is {account.state}: {account.reason or 'nobody said why'}",
            todo="Test it. What waits for it goes as soon as a mail server takes mail again.",
            path=f"/accounts/{account.id}",
            action="Open the account",
        )
    if not unwell:
        yield Check(
            look=Look.OK, what="Accounts", says=f"{many(count, 'account')}, none failing or paused."
        )


_LOOKS = (
    _scheduler,
    _directory,
    _due_slots,
    _stores,
    _schedule_file,
    _accounts,
    _free_disk,
    _clock,
    _time_zones,
    _public_address,
)
