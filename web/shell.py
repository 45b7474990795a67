"""What stands around every page: navigation, the scheduler's heartbeat, banners, and what the viewer may do."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import Flask, g, get_flashed_messages

from accounts import store as accounts
from assembly import Sendonce
from campaigns import store as campaigns
from delivery import outlines, reads, slots
from foundation.errors import SendonceError
from foundation.version import VERSION
from identity import users
from identity.model import Principal, Role
from identity.roles import may
from storage import installation
from storage.aliveness import newest_leader
from storage.database import Tx
from web import sessions
from web.current import the_house
from web.probes import troubles
from web.shown import leap, many

STOPPED_AFTER = timedelta(seconds=10)
MOST_BANNERS = 2

_TICKS_MISSED = 5
_NOTICES_ARE_NEWS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Section:
    """A place in the navigation."""

    name: str
    path: str
    icon: str
    role: Role = Role.VIEWER


SECTIONS = (
    Section("Automation", "/automation", "automation"),
    Section("Calendar", "/calendar", "calendar"),
    Section("Runs", "/runs", "run"),
    Section("Campaigns", "/campaigns", "campaign"),
    Section("Audiences", "/audiences", "audience"),
    Section("Suppressions", "/suppressions", "suppression"),
    Section("Accounts", "/accounts", "account"),
    Section("Outbox", "/outbox", "outbox"),
    Section("Audit log", "/audit", "audit", Role.ADMIN),
    Section("Settings", "/settings", "settings"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Banner:
    """Something that stands in the way of e-mails: what it means for them, and one thing to do."""

    kind: str
    says: str
    action: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The scheduler, whichever process it is in: running, waiting for a person, or stopped; and its last tick."""

    status: str
    last_tick: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """All of it, for one request. percent: how much is settled of all that is being sent; None where nothing is."""

    principal: Principal | None
    may_edit: bool
    may_admin: bool
    is_signed_in: bool
    sections: tuple[Section, ...]
    heartbeat: Heartbeat
    percent: int | None
    banners: list[Banner]
    more_banners: list[Banner]
    messages: list[str]
    now: datetime
    version: str


def install(app: Flask) -> None:
    """Let templates/shell.html ask for the shell; other pages do without."""
    app.jinja_env.globals["the_shell"] = the_shell


def the_shell() -> Shell:
    """Return what stands around the page that is being made."""
    house = the_house()
    now = house.clock.now()
    principal: Principal | None = g.get("principal")
    heartbeat, percent, banners = _looked_up(house, principal, now)
    return Shell(
        principal=principal,
        may_edit=principal is not None and may(principal, Role.EDITOR),
        may_admin=principal is not None and may(principal, Role.ADMIN),
        is_signed_in=sessions.current() is not None,
        sections=tuple(
            one for one in SECTIONS if principal is not None and may(principal, one.role)
        ),
        heartbeat=heartbeat,
        percent=percent,
        banners=banners[:MOST_BANNERS],
        more_banners=banners[MOST_BANNERS:],
        messages=[str(message) for message in get_flashed_messages()],
        now=now,
        version=VERSION,
    )


def heartbeat_of(house: Sendonce, tx: Tx, now: datetime) -> Heartbeat:
    """Say how the scheduler does."""
    leader = newest_leader(tx)
    tick = leader.last_tick if leader else None
    oldest = max(STOPPED_AFTER, _TICKS_MISSED * house.settings.scheduler_check_interval)
    here = installation.read(tx)
    waits = here.doubted_reason is not None or here.clock_step_seconds is not None
    if tick is None or now - tick > oldest:
        return Heartbeat(status="stopped", last_tick=tick)
    return Heartbeat(status="waiting" if waits else "running", last_tick=tick)


def _looked_up(
    house: Sendonce, principal: Principal | None, now: datetime
) -> tuple[Heartbeat, int | None, list[Banner]]:
    try:
        with house.database.read() as tx:
            heartbeat = heartbeat_of(house, tx, now)
            percent = outlines.percent_under_way(tx)
            return heartbeat, percent, [*_banners(house, tx, heartbeat, principal, now)]
    except SendonceError as error:
        said = Banner(
            kind="bad", says=f"Nothing is sent until the ledger can be read. {error.message}"
        )
        return Heartbeat(status="stopped", last_tick=None), None, [said]


def _banners(
    house: Sendonce, tx: Tx, heartbeat: Heartbeat, principal: Principal | None, now: datetime
) -> Iterator[Banner]:
    """Yield what stands in the way of e-mails, what stops most of them first."""
    for trouble in troubles(house):
        yield Banner(
            kind="bad",
            says=f"Nothing is sent until this is over; nothing is lost meanwhile. {trouble}",
            action="See the status",
            path="/status",
        )
    here = installation.read(tx)
    if here.clock_step_seconds is not None:
        yield Banner(
            kind="warn",
            says=f"The clock jumped {leap(here.clock_step_seconds)}. Nothing is claimed until it is right again, or you"
            " say that it is.",
            action="Look at the clock",
            path="/clock",
        )
    if heartbeat.status == "stopped":
        yield Banner(
            kind="bad",
            says="The scheduler does not tick. Nothing is sent until it does; nothing is lost meanwhile.",
            action="See the status",
            path="/status",
        )
    if house.leader.copy_that_leads is not None:
        yield Banner(
            kind="bad",
            says=f"A copy of this data directory, {house.leader.copy_that_leads}, is led by a process on this machine:"
            " nothing is sent from here until that one ends.",
            action="See the status",
            path="/status",
        )
    if here.doubted_reason is not None:
        yield Banner(
            kind="warn",
            says=f"{here.doubted_reason} Nothing is sent until you say that this is the one that goes on.",
            action="Look and decide",
            path="/doubt",
        )
    found = house.store.notices(tx, since=now - _NOTICES_ARE_NEWS)
    if found:
        others = f" {many(len(found) - 1, 'more thing')} stood out." if len(found) > 1 else ""
        yield Banner(
            kind="warn",
            says=f"{found[0].message}{others}",
            action="Read both texts",
            path="/status#found",
        )
    in_doubt = reads.runs_in_doubt(tx)
    if in_doubt:
        count = sum(in_doubt.values())
        newest = max(in_doubt)
        yield Banner(
            kind="doubt",
            says=(
                f"{many(count, 'delivery')} {'is' if count == 1 else 'are'} in doubt: the mail server may or may not"
                " have taken it. Nothing is sent again by itself."
            ),
            action="Look and decide" if len(in_doubt) == 1 else f"Look at run {newest}",
            path=f"/runs/{newest}/in-doubt",
        )
    held = slots.schedules_with_held(tx) & {schedule.id for schedule in house.store.read()}
    if held and here.doubted_reason is None:
        yield Banner(
            kind="warn",
            says=f"{many(len(held), 'schedule')} {'has' if len(held) == 1 else 'have'} slots that were held. Nothing is"
            " sent for them until you decide: send late, or skip.",
            action="Look and decide",
            path=f"/automation/{min(held)}",
        )
    for account in accounts.unwell(tx):
        yield Banner(
            kind="warn",
            says=f"The account {account.name} is {account.state}: {account.reason}",
            action="See the account",
            path=f"/accounts/{account.id}",
        )
    is_admin = principal is not None and may(principal, Role.ADMIN)
    if is_admin and not users.any_user(tx):
        yield Banner(
            kind="run",
            says="Only this browser can get in. Give yourself an e-mail and a password.",
            action="Set them",
            path="/settings/profile",
        )
    # Before there is anything to send, the first steps say it.
    if len(accounts.names(tx)) == 1 and campaigns.search(tx, q="", before=None, limit=1):
        yield Banner(
            kind="run",
            says="The Sandbox is the only account: e-mails stay on this machine, in the Outbox.",
            action="Connect an account" if is_admin else "See the Outbox",
            path="/accounts/new" if is_admin else "/outbox",
        )
