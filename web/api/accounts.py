"""/api/accounts: where mail is handed over. Passwords go in and never come out."""

from typing import Annotated

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
        return _answer(store.create(tx, fields, key=house.key, now=house.clock.now()))


@resource.get("/api/accounts/<id:id>", AccountAnswer)
def get_account(path: ById) -> AccountAnswer:
    """Show an account."""
    return _answer(_account(path.id))


@resource.patch("/api/accounts/<id:id>", AccountAnswer, role=Role.ADMIN)
def change_account(path: ById, body: AccountChanges) -> AccountAnswer:
    """Change fields of an account."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        changed = store.update(
            tx,
            path.id,
            body.changes(),
            key=house.key,
            expected_version=expected_version(),
        )
        return _answer(changed)


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
    house = the_house()
    with house.database.write(durable=True) as tx:
        store.revive(tx, path.id)
        return _answer(store.get(tx, path.id, house.key))


def tried_out(account: Account, *, to: str | None) -> list[Step]:
    """Test an account; one that works is used again. A mail that is sent counts for its limits."""
    house = the_house()
    now = house.clock.now()
    if to is not None:
        with house.database.write(durable=False) as tx:
            usage.count(tx, account.id, 1, now)
    steps = probe.probe(account, sandbox_port=house.sandbox.start(), to=to, now=now)
    if probe.is_ok(steps):
        with house.database.write(durable=True) as tx:
            store.revive(tx, account.id)
    return steps


def delete_unused(account_id: int, *, expected_version: int | None) -> None:
    """Delete an account. Raises NotFound, Stale, and Conflict where a campaign or a run uses it."""
    with the_house().database.write(durable=True) as tx:
        run_id = reads.needing_account(tx, account_id)
        kept_by = (
            f"Run {run_id} sends through it. Cancel the run or wait for its end."
            if run_id
            else None
        )
        store.delete(tx, account_id, expected_version=expected_version, kept_by=kept_by)


def _account(account_id: int) -> Account:
    house = the_house()
    with house.database.read() as tx:
        return store.get(tx, account_id, house.key)


def _answer(account: Account) -> AccountAnswer:
    return AccountAnswer.model_validate(account)
