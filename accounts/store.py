"""Keeps sender accounts; passwords are sealed on the way in and unsealed on the way out.

An edit by a person raises `version`; what sending finds out (rest, pause, recover, revive) does not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime
from typing import Any

import sqlalchemy
from sqlalchemy import Integer, Row, bindparam, insert, select

from accounts.model import (
    LONGEST_REST,
    Account,
    AccountFields,
    Allowance,
    Kind,
    Security,
    State,
    check,
)
from accounts.tables import accounts
from foundation.errors import Conflict, FieldError, Invalid, NotFound, Stale, Unavailable
from storage.database import Refused, Tx
from storage.sealed import SecretKey

SANDBOX_FIELDS = AccountFields(
    name="Sandbox", host="127.0.0.1", port=0, from_email="sandbox@sendonce.test"
)

_OK: Mapping[str, Any] = {"state": State.OK, "state_reason": None, "rest_until": None}
_REASON_CHARACTERS = 1000
_CONNECTION = ("host", "port", "security", "verify_tls", "username", "password", "pipelining")
_WRITABLE = tuple(f.name for f in fields(AccountFields))
_MAY_BE_NULL = frozenset(f.name for f in fields(AccountFields) if f.default is None)


def create(tx: Tx, account: AccountFields, *, key: SecretKey, now: datetime) -> Account:
    """Keep a new SMTP account and return it. Raises Invalid with every field that is wrong."""
    return _insert(tx, check(account), kind=Kind.SMTP, key=key, now=now)


def get(tx: Tx, account_id: int, key: SecretKey) -> Account:
    """Return the account. Raises NotFound."""
    return _account(_row(tx, account_id), key)


def list_(tx: Tx, key: SecretKey, *, after: int | None, limit: int) -> list[Account]:
    """Return at most limit accounts by id, those after the given one."""
    rows = tx.execute(
        select(accounts).where(accounts.c.id > (after or 0)).order_by(accounts.c.id).limit(limit)
    )
    return [_account(row, key) for row in rows]


def update(
    tx: Tx,
    account_id: int,
    changes: Mapping[str, Any],
    *,
    key: SecretKey,
    expected_version: int | None,
) -> Account:
    """Change the named fields of AccountFields and return the account.

    A password that is not named stays; None removes it, as does removing the username. A changed connection ends
    failing and paused: what was learned about the old one says nothing about the new one.
    Where nothing differs there is no new version. Raises NotFound, Stale, Invalid.
    """
    row = _row(tx, account_id)
    _refuse_stale(row, expected_version)
    before = _account(row, key)
    if "username" in changes and changes["username"] is None:
        changes = {"password": None} | dict(changes)
    after = _changed(before, changes)
    if "password" not in changes and after == _fields_of(before):
        return before
    values = _values(after)
    if "password" in changes:
        values["password_sealed"] = _sealed(after.password, key)
    if any(getattr(after, name) != getattr(before, name) for name in _CONNECTION):
        values |= {**_OK, "worked_at": None}
    _only_row(
        tx.execute(
            sqlalchemy.update(accounts)
            .where(accounts.c.id == account_id, accounts.c.version == row.version)
            .values(**values, version=row.version + 1)
        ).rowcount,
        account_id,
    )
    return get(tx, account_id, key)


def delete(
    tx: Tx, account_id: int, *, expected_version: int | None, kept_by: str | None = None
) -> None:
    """Delete the account and its usage.

    kept_by is a sentence about what still needs it and only the caller can know of (a run). Raises NotFound, Stale,
    and Conflict for the Sandbox account and for one that is in use.
    """
    row = _row(tx, account_id)
    _refuse_stale(row, expected_version)
    if row.kind == Kind.SANDBOX:
        raise Conflict(
            "The Sandbox account belongs to the built-in mail server and can't be deleted."
            " Take it out of your campaigns if you don't want to use it."
        )
    if kept_by is not None:
        raise Conflict(kept_by)
    try:
        deleted = tx.execute(
            sqlalchemy.delete(accounts).where(
                accounts.c.id == account_id, accounts.c.version == row.version
            )
        )
    except Refused:
        raise Conflict(
            f'A campaign uses the account "{row.name}". Give that campaign another account,'
            " then delete this one."
        ) from None
    _only_row(deleted.rowcount, account_id)


def ensure_sandbox(tx: Tx, now: datetime) -> int:
    """See to it that there is the one Sandbox account, and return its id. Called in a write transaction."""
    account_id = _sandbox_id(tx)
    if account_id is not None:
        return account_id
    return _insert_row(tx, SANDBOX_FIELDS, kind=Kind.SANDBOX, password_sealed=None, now=now)


def sandbox(tx: Tx, key: SecretKey) -> Account:
    """Return the Sandbox account."""
    account_id = _sandbox_id(tx)
    if account_id is None:
        raise NotFound("There is no Sandbox account yet. Start the server once: it makes it.")
    return get(tx, account_id, key)


def missing(tx: Tx, account_ids: Iterable[int]) -> list[int]:
    """Return those ids that no account has, in the order given, each once."""
    found = _all_kinds(tx)
    return [account_id for account_id in dict.fromkeys(account_ids) if account_id not in found]


def kinds(tx: Tx, account_ids: Iterable[int]) -> set[Kind]:
    """Return the kinds that these accounts have among them."""
    found = _all_kinds(tx)
    return {found[account_id] for account_id in account_ids if account_id in found}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unwell:
    """An account that is failing or paused, and why."""

    id: int
    name: str
    state: State
    reason: str | None


def unwell(tx: Tx) -> list[Unwell]:
    """Return the accounts that are failing or paused, by id."""
    columns = accounts.c
    query = select(columns.id, columns.name, columns.state, columns.state_reason)
    return [
        Unwell(id=r.id, name=r.name, state=State(r.state), reason=r.state_reason)
        for r in tx.execute(query.where(columns.state != State.OK).order_by(columns.id))
    ]


def names(tx: Tx) -> dict[int, str]:
    """Return what the accounts are called, by id."""
    query = select(accounts.c.id, accounts.c.name).order_by(accounts.c.id)
    return {r.id: r.name for r in tx.execute(query)}


def allowances(tx: Tx, account_ids: Iterable[int]) -> dict[int, Allowance]:
    """Return how these accounts do and how much they may send, by id; one that is gone is left out."""
    columns = (accounts.c[f.name] for f in fields(Allowance))
    rows = tx.execute(select(*columns).where(accounts.c.id.in_(list(account_ids))))
    return {
        row.id: Allowance(**(row._asdict() | {"state": State(row.state)})) for row in rows.all()
    }


def rest(tx: Tx, account_id: int, reason: str, until: datetime) -> None:
    """Note a fault of the account: it is failing and is not used before until. A paused one stays paused."""
    _set_state(
        tx,
        account_id,
        leaving=(State.OK, State.FAILING),
        values={"state": State.FAILING, "state_reason": _shortened(reason), "rest_until": until},
    )


def go_back(tx: Tx, now: datetime) -> None:
    """Let no account rest until a time that the clock has gone back from."""
    too_late = accounts.c.rest_until > now + LONGEST_REST
    tx.execute(sqlalchemy.update(accounts).where(too_late).values(rest_until=now))


def pause(tx: Tx, account_id: int, reason: str) -> None:
    """Stop using the account until a person has looked at it."""
    _set_state(
        tx,
        account_id,
        leaving=tuple(State),
        values={"state": State.PAUSED, "state_reason": _shortened(reason), "rest_until": None},
    )


def recover(tx: Tx, account_id: int) -> None:
    """Note that a mail was handed over: ends failing.

    Not paused: a connection that was signed in before the password was refused goes on working for a while.
    """
    _set_state(tx, account_id, leaving=(State.FAILING,), values=_OK)


def revive(tx: Tx, account_id: int) -> None:
    """Note that a test went well, or that a person says go on: ends failing and paused."""
    _set_state(tx, account_id, leaving=(State.FAILING, State.PAUSED), values=_OK)


def note_worked(tx: Tx, account_id: int, now: datetime) -> None:
    """Note that the account's server did as it should, where that was not noted since its connection was changed."""
    tx.execute(
        sqlalchemy.update(accounts)
        .where(accounts.c.id == account_id, accounts.c.worked_at.is_(None))
        .values(worked_at=now)
    )


def _set_state(
    tx: Tx, account_id: int, *, leaving: tuple[State, ...], values: Mapping[str, Any]
) -> None:
    tx.execute(
        sqlalchemy.update(accounts)
        .where(accounts.c.id == account_id, accounts.c.state.in_(leaving))
        .values(**values)
    )


def _shortened(reason: str) -> str:
    if len(reason) <= _REASON_CHARACTERS:
        return reason
    return reason[: _REASON_CHARACTERS - 1] + "…"


_ONE = select(accounts).where(accounts.c.id == bindparam("the_id", type_=Integer))


def _row(tx: Tx, account_id: int) -> Row[Any]:
    row = tx.execute(_ONE, {"the_id": account_id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no account {account_id}.")
    return row


def _sandbox_id(tx: Tx) -> int | None:
    return tx.execute(
        select(accounts.c.id)
        .where(accounts.c.kind == Kind.SANDBOX)
        .order_by(accounts.c.id)
        .limit(1)
    ).scalar_one_or_none()


def _all_kinds(tx: Tx) -> dict[int, Kind]:
    # All of them: accounts are few, and what a client asks for may be many and no number that a database takes.
    rows = tx.execute(select(accounts.c.id, accounts.c.kind))
    return {row.id: Kind(row.kind) for row in rows}


def _refuse_stale(row: Row[Any], expected_version: int | None) -> None:
    if expected_version is not None and expected_version != row.version:
        raise Stale(
            f'The account "{row.name}" was changed meanwhile: it has version {row.version},'
            f" not {expected_version}. Load it again and repeat your change."
        )


def _only_row(row_count: int, account_id: int) -> None:
    if row_count != 1:
        raise Stale(f"Account {account_id} was changed meanwhile. Load it again and repeat.")


def _changed(before: Account, changes: Mapping[str, Any]) -> AccountFields:
    nulls = [n for n, value in changes.items() if value is None and n not in _MAY_BE_NULL]
    if nulls:
        raise Invalid(
            [FieldError(name, "can't be null; leave it out to keep it") for name in nulls]
        )
    present = _fields_of(before)
    after = check(replace(present, **changes), kind=before.kind)
    if before.kind is Kind.SANDBOX:
        _refuse_another_connection(present, after)
    return after


def _fields_of(account: Account) -> AccountFields:
    return AccountFields(**{name: getattr(account, name) for name in _WRITABLE})


def _refuse_another_connection(before: AccountFields, after: AccountFields) -> None:
    changed = [n for n in _CONNECTION if getattr(after, n) != getattr(before, n)]
    if changed:
        message = (
            "can't be changed: the Sandbox account always delivers to the built-in mail server."
            " Make another account for your own one"
        )
        raise Invalid([FieldError(name, message) for name in changed])


def _insert(
    tx: Tx, account: AccountFields, *, kind: Kind, key: SecretKey, now: datetime
) -> Account:
    sealed = _sealed(account.password, key)
    return get(tx, _insert_row(tx, account, kind=kind, password_sealed=sealed, now=now), key)


def _insert_row(
    tx: Tx, account: AccountFields, *, kind: Kind, password_sealed: bytes | None, now: datetime
) -> int:
    account_id: int = tx.execute(
        insert(accounts)
        .values(
            **_values(account),
            **_OK,
            version=1,
            kind=kind,
            password_sealed=password_sealed,
            created_at=now,
        )
        .returning(accounts.c.id)
    ).scalar_one()
    return account_id


def _values(account: AccountFields) -> dict[str, Any]:
    """Return the columns, all but the password's."""
    return {name: value for name, value in asdict(account).items() if name != "password"}


def _sealed(password: str | None, key: SecretKey) -> bytes | None:
    return None if password is None else key.seal(password)


def _account(row: Row[Any], key: SecretKey) -> Account:
    password, unreadable = _unsealed(row.password_sealed, key)
    return Account(
        id=row.id,
        version=row.version,
        name=row.name,
        kind=Kind(row.kind),
        host=row.host,
        port=row.port,
        security=Security(row.security),
        verify_tls=row.verify_tls,
        username=row.username,
        password=password,
        from_email=row.from_email,
        from_name=row.from_name,
        reply_to=row.reply_to,
        max_connections=row.max_connections,
        pipelining=row.pipelining,
        rate_per_second=row.rate_per_second,
        limit_per_hour=row.limit_per_hour,
        limit_per_day=row.limit_per_day,
        state=State.PAUSED if unreadable else State(row.state),
        state_reason=unreadable or row.state_reason,
        rest_until=row.rest_until,
        worked_at=row.worked_at,
        created_at=row.created_at,
    )


def _unsealed(sealed: bytes | None, key: SecretKey) -> tuple[str | None, str | None]:
    """Return the password, and why it can't be read.

    An account whose password was sealed with another key is shown as paused: it must stay possible to see it and to
    enter the password again.
    """
    if sealed is None:
        return None, None
    try:
        return key.unseal(sealed), None
    except Unavailable as error:
        return None, error.message
