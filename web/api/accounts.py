"""/api/accounts: where mail is handed over. Passwords go in and never come out."""

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from accounts import probe, store, usage
from accounts.model import (
    MAX_CONNECTIONS,
    Account,
    AccountFields,
    Kind,
    Security,
    State,
    Step,
)
from delivery import reads
from identity.model import Role
from mail.networks import Network
from storage.database import Tx
from web import audited
from web.current import the_house
from web.fields import (
    NOT_GIVEN,
    Answer,
    Body,
    ById,
    Email,
    Id,
    Instant,
    Line,
    Name,
    Truth,
    Whole,
)
from web.openapi import Resource
from web.paging import Page, next_cursor
from web.replays import expected_version

resource = Resource("accounts", "Sender accounts")

_Port = Annotated[Whole, Field(ge=1, le=65_535)]
_Connections = Annotated[Whole, Field(ge=1, le=MAX_CONNECTIONS)]
_Pipelining = Annotated[
    Truth, Field(description="Several commands at once where the server offers it")
]
_VerifyTls = Annotated[
    Truth,
    Field(
        description="Whether the server's certificate is checked; false lets whoever is in between read the password"
    ),
]
_Rate = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
_Limit = Annotated[Whole, Field(ge=1)]
_Host = Annotated[Line, Field(min_length=1, max_length=255)]
_Credential = Annotated[Line, Field(min_length=1, max_length=1000)]
_Sender = Annotated[Line, Field(max_length=200)]


class NewAccount(Body):
    """An SMTP account."""

    name: Name
    host: _Host
    port: _Port
    security: Security = Security.NONE
    verify_tls: _VerifyTls = True
    username: _Credential | None = None
    password: _Credential | None = Field(None, description="Never returned")
    from_email: Email
    from_name: _Sender | None = None
    reply_to: Email | None = None
    max_connections: _Connections = 4
    pipelining: _Pipelining = True
    rate_per_second: _Rate | None = None
    limit_per_hour: _Limit | None = None
    limit_per_day: _Limit | None = None


class AccountChanges(Body):
    """The fields to change; a password that is left out stays."""

    name: Name = NOT_GIVEN
    host: _Host = NOT_GIVEN
    port: _Port = NOT_GIVEN
    security: Security = NOT_GIVEN
    verify_tls: _VerifyTls = NOT_GIVEN
    username: _Credential | None = None
    password: _Credential | None = None
    from_email: Email = NOT_GIVEN
    from_name: _Sender | None = None
    reply_to: Email | None = None
    max_connections: _Connections = NOT_GIVEN
    pipelining: _Pipelining = NOT_GIVEN
    rate_per_second: _Rate | None = None
    limit_per_hour: _Limit | None = None
    limit_per_day: _Limit | None = None


class AccountAnswer(Answer):
    """An account, without its password."""

    id: Id
    version: int
    name: str
    kind: Kind
    host: str
    port: int
    network: Network = Field(
        description="Where the host is, as it is written; a name is looked up by a test only"
    )
    security: Security
    verify_tls: bool
    username: str | None
    from_email: str
    from_name: str | None
    reply_to: str | None
    max_connections: int
    pipelining: bool
    rate_per_second: float | None
    limit_per_hour: int | None
    limit_per_day: int | None
    state: State
    state_reason: str | None
    created_at: Instant


class AccountList(Answer):
    """A page of accounts."""

    items: list[AccountAnswer]
    next_cursor: str | None


class AccountTest(Body):
    """Where the test mail goes; without it none is sent."""

    to: Email | None = None


class StepAnswer(Answer):
    """One step of the conversation with the server."""

    step: str
    ok: bool
    detail: str
    ms: int


class TestAnswer(Answer):
    """How far the test came; the last step is the one that failed."""

    ok: bool
    steps: list[StepAnswer]


@resource.get("/api/accounts", AccountList)
def list_accounts(query: Page) -> AccountList:
    """List the sender accounts."""
    house = the_house()
    with house.database.read() as tx:
        found = store.list_(tx, house.key, after=query.key, limit=query.limit + 1)
    return AccountList(
        items=[_answer(account) for account in found[: query.limit]],
        next_cursor=next_cursor(found, limit=query.limit, key=lambda account: account.id),
    )


@resource.post("/api/accounts", AccountAnswer, status=201, role=Role.ADMIN)
def create_account(body: NewAccount) -> AccountAnswer:
    """Make an SMTP account."""
    house = the_house()
    fields = AccountFields(**dict(body))
    with house.database.write(durable=True) as tx:
        made = store.create(tx, fields, key=house.key, now=house.clock.now())
        note_making(tx, made)
        return _answer(made)


@resource.get("/api/accounts/<id:id>", AccountAnswer)
def get_account(path: ById) -> AccountAnswer:
    """Show an account."""
    return _answer(_account(path.id))


@resource.patch("/api/accounts/<id:id>", AccountAnswer, role=Role.ADMIN)
def change_account(path: ById, body: AccountChanges) -> AccountAnswer:
    """Change fields of an account."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        return _answer(change(tx, path.id, body, expected_version=expected_version()))


@resource.delete("/api/accounts/<id:id>", role=Role.ADMIN)
def delete_account(path: ById) -> None:
    """Delete an account that nothing uses."""
    delete_unused(path.id, expected_version=expected_version())


@resource.post("/api/accounts/<id:id>/test", TestAnswer, role=Role.ADMIN)
def test_account(path: ById, body: AccountTest) -> TestAnswer:
    """Connect, secure, sign in, and send one mail if it is said where to; one that is ok ends failing and paused."""
    steps = tried_out(_account(path.id), to=body.to)
    return TestAnswer(
        ok=probe.is_ok(steps), steps=[StepAnswer.model_validate(step) for step in steps]
    )


@resource.post("/api/accounts/<id:id>/resume", AccountAnswer, role=Role.ADMIN)
def resume_account(path: ById) -> AccountAnswer:
    """Use an account again that was failing or paused."""
    return _answer(resume(path.id))


def note_making(tx: Tx, made: Account) -> None:
    """Note that an account was made; of its password, only whether it has one."""
    audited.note(tx, "create", f"account:{made.id}", label=made.name, after=_told(made))


def change(
    tx: Tx, account_id: int, body: AccountChanges, *, expected_version: int | None
) -> Account:
    """Change fields of an account, and note which. Raises NotFound, Stale, Invalid."""
    key = the_house().key
    old = store.get(tx, account_id, key)
    new = store.update(tx, account_id, body.changes(), key=key, expected_version=expected_version)
    after = _told(new)
    if new.password and old.password and new.password != old.password:
        after["password"] = "changed"  # noqa: S105 - says that it was, not what it is
    audited.note_change(tx, f"account:{account_id}", label=new.name, before=_told(old), after=after)
    return new


def resume(account_id: int) -> Account:
    """Use an account again that was failing or paused, and note it. Raises NotFound."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        old = store.get(tx, account_id, house.key)
        store.revive(tx, account_id)
        new = store.get(tx, account_id, house.key)
        audited.note_change(
            tx,
            f"account:{account_id}",
            label=new.name,
            action="resume",
            before={"state": str(old.state), "state_reason": old.state_reason},
            after={"state": str(new.state), "state_reason": new.state_reason},
        )
    return new


def tried_out(account: Account, *, to: str | None) -> list[Step]:
    """Test an account, as trying() does, and return all steps."""
    *_, steps = trying(account, to=to)
    return steps


def trying(account: Account, *, to: str | None) -> Iterator[list[Step]]:
    """Test an account, and yield the steps so far as they end; one that works is used again.

    A mail that is sent counts for the account's limits. Raises Invalid, before anything is tried, on to.
    """
    house = the_house()
    now = house.clock.now()
    progress = probe.probing(account, sandbox_port=house.sandbox.start(), to=to, now=now)
    if to is not None:
        with house.database.write(durable=False) as tx:
            usage.count(tx, account.id, 1, now)
    return _noted_at_the_end(account, progress, to)


def _noted_at_the_end(
    account: Account, progress: Iterator[list[Step]], to: str | None
) -> Iterator[list[Step]]:
    house = the_house()
    steps: list[Step] = []
    for steps in progress:
        yield steps
    with house.database.write(durable=True) as tx:
        if probe.is_ok(steps):
            store.revive(tx, account.id)
            store.note_worked(tx, account.id, house.clock.now())
        after = {"ok": probe.is_ok(steps), "sent": to is not None and probe.is_ok(steps)}
        audited.note(tx, "test", f"account:{account.id}", label=account.name, after=after)


def delete_unused(account_id: int, *, expected_version: int | None) -> None:
    """Delete an account. Raises NotFound, Stale, and Conflict where a campaign or a run uses it."""
    with the_house().database.write(durable=True) as tx:
        run_id = reads.needing_account(tx, account_id)
        kept_by = (
            f"Run {run_id} sends through it. Cancel the run or wait for its end."
            if run_id
            else None
        )
        gone = store.get(tx, account_id, the_house().key)
        store.delete(tx, account_id, expected_version=expected_version, kept_by=kept_by)
        audited.note(tx, "delete", f"account:{account_id}", label=gone.name, before=_told(gone))


def _told(account: Account) -> dict[str, Any]:
    return audited.told(_answer(account)) | {"password": "set" if account.password else None}


def _account(account_id: int) -> Account:
    house = the_house()
    with house.database.read() as tx:
        return store.get(tx, account_id, house.key)


def _answer(account: Account) -> AccountAnswer:
    return AccountAnswer.model_validate(account)
