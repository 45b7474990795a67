"""/accounts: where mail is handed over, how each account does, and connecting another one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, request

from accounts import presets, store
from accounts.model import Account, AccountFields, Kind, Security
from accounts.presets import PRESETS, Preset
from foundation.errors import Conflict, Invalid, Stale
from identity.model import Role
from web import forms
from web.account_cards import Card, cards_of
from web.api import accounts as deeds
from web.api.accounts import AccountChanges, NewAccount, delete_unused
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.paging import Page, next_cursor
from web.typed_passwords import as_typed

pages = Pages("accounts")

PAGE = 50
SECTION = "Accounts"

_LABELS = {
    "name": "Name",
    "host": "Host",
    "port": "Port",
    "security": "Security",
    "verify_tls": "Certificate",
    "username": "User name",
    "password": "Password",
    "from_email": "From address",
    "from_name": "From name",
    "reply_to": "Replies to",
    "max_connections": "Connections",
    "pipelining": "Pipelining",
    "rate_per_second": "E-mails a second",
    "limit_per_hour": "E-mails an hour",
    "limit_per_day": "E-mails a day",
}
_CONNECTION = ("host", "port", "security", "verify_tls", "username", "password", "pipelining")
_SECURITIES = (
    (Security.STARTTLS, "STARTTLS"),
    (Security.TLS, "TLS"),
    (Security.NONE, "None"),
)
_OF_A_NEW_ONE = {
    "security": Security.STARTTLS,
    "port": 587,
    "max_connections": 4,
    "pipelining": True,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsPage:
    """The list."""

    cards: Sequence[Card]
    only_sandbox: bool
    first: str | None
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFormPage:
    """The form. account_id: of the one that is edited, None for a new one; preset: the one that was chosen.

    sandbox_id: of the account that is there already.
    """

    form: Filled
    account_id: int | None
    name: str
    is_sandbox: bool
    has_password: bool
    securities: Sequence[tuple[str, str]]
    presets: Sequence[Preset]
    preset: Preset | None
    sandbox_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletePage:
    """What is about to go, or why it can't."""

    form: Filled
    account_id: int
    version: int
    name: str


@pages.get("/accounts")
def accounts() -> Response:
    """List the accounts."""
    house = the_house()
    query = forms.checked(Page, request.args.to_dict())
    with house.database.read() as tx:
        found = store.list_(tx, house.key, after=query.key, limit=PAGE + 1)
        cards = cards_of(tx, found[:PAGE], house.clock.now())
    cursor = next_cursor(found, limit=PAGE, key=lambda account: account.id)
    page = AccountsPage(
        cards=cards,
        only_sandbox=query.cursor is None and all(card.is_sandbox for card in cards),
        first="/accounts" if query.cursor else None,
        next=f"/accounts?cursor={cursor}" if cursor else None,
    )
    return show("accounts.html", page=page, section=SECTION)


@pages.get("/accounts/new", role=Role.ADMIN)
def new() -> Response:
    """Show the form for a new account, with a provider's server in it where one is chosen."""
    chosen = presets.find(request.args.get("preset"))
    values: dict[str, Any] = dict(_OF_A_NEW_ONE)
    if chosen:
        values |= {
            "name": chosen.name,
            "host": chosen.host,
            "port": chosen.port,
            "security": chosen.security,
        }
    return _show(Filled(values=values), preset=chosen)


@pages.post("/accounts/new", role=Role.ADMIN)
def create() -> Response:
    """Make the account; its page then offers a test."""
    house = the_house()
    try:
        body = forms.checked(NewAccount, _given() | {"password": forms.text("password") or None})
        with house.database.write(durable=True) as tx:
            account = store.create(
                tx, AccountFields(**dict(body)), key=house.key, now=house.clock.now()
            )
            deeds.note_making(tx, account)
    except Invalid as error:
        preset = presets.find(forms.text("preset"))
        return _show(as_typed(error, _LABELS, "password"), preset=preset, status=422)
    return go(
        f"/accounts/{account.id}#test", say=f"Saved: {account.name}. Test it before you send."
    )


@pages.get("/accounts/<id:account_id>/edit", role=Role.ADMIN)
def edit(account_id: int) -> Response:
    """Show the form of an account."""
    account = get(account_id)
    return _show(Filled(values=_values_of(account)), account=account)


@pages.post("/accounts/<id:account_id>/edit", role=Role.ADMIN)
def change(account_id: int) -> Response:
    """Change the account; a password that is left empty stays."""
    house = the_house()
    account = get(account_id)
    try:
        body = forms.checked(AccountChanges, _changes(account))
        with house.database.write(durable=True) as tx:
            changed = deeds.change(tx, account_id, body, expected_version=forms.version())
    except (Invalid, Stale) as error:
        status = 422 if isinstance(error, Invalid) else 409
        return _show(as_typed(error, _LABELS, "password"), account=account, status=status)
    return go(f"/accounts/{account_id}", say=f"Saved: {changed.name}.")


@pages.post("/accounts/<id:account_id>/resume", role=Role.ADMIN)
def resume(account_id: int) -> Response:
    """Use an account again that was failing or paused."""
    account = deeds.resume(account_id)
    where = "/accounts" if forms.text("from") == "list" else f"/accounts/{account_id}"
    return go(where, say=f"{account.name} is used again.")


@pages.get("/accounts/<id:account_id>/delete", role=Role.ADMIN)
def ask_delete(account_id: int) -> Response:
    """Say what goes."""
    return _show_delete(get(account_id), Filled(values={}))


@pages.post("/accounts/<id:account_id>/delete", role=Role.ADMIN)
def delete(account_id: int) -> Response:
    """Delete an account that nothing uses."""
    account = get(account_id)
    try:
        delete_unused(account_id, expected_version=forms.version())
    except (Conflict, Stale) as error:
        return _show_delete(account, forms.as_typed(error, {}), status=409)
    return go("/accounts", say=f"The account {account.name} is deleted.")


def get(account_id: int) -> Account:
    """Return the account. Raises NotFound."""
    house = the_house()
    with house.database.read() as tx:
        return store.get(tx, account_id, house.key)


def _given() -> dict[str, object]:
    """Return what was typed, but for the password."""
    return {
        "name": forms.text("name").strip(),
        "host": forms.text("host").strip(),
        "port": forms.whole("port"),
        "security": forms.text("security"),
        # A box to tick for leaving it out: a form that lacks the field keeps the check.
        "verify_tls": not forms.ticked("unverified_tls"),
        "username": forms.text_or_none("username"),
        "from_email": forms.text("from_email").strip(),
        "from_name": forms.text_or_none("from_name"),
        "reply_to": forms.text_or_none("reply_to"),
        "max_connections": forms.whole("max_connections"),
        "pipelining": forms.ticked("pipelining"),
        "rate_per_second": forms.decimal("rate_per_second"),
        "limit_per_hour": forms.whole("limit_per_hour"),
        "limit_per_day": forms.whole("limit_per_day"),
    }


def _changes(account: Account) -> Mapping[str, object]:
    given = _given()
    if account.kind is Kind.SANDBOX:
        return {name: value for name, value in given.items() if name not in _CONNECTION}
    if forms.text("password"):
        given["password"] = forms.text("password")
    elif forms.ticked("remove_password"):
        given["password"] = None
    return given


def _values_of(account: Account) -> dict[str, object]:
    """Return what stands in the form; the password never does."""
    names = [name for name in _LABELS if name != "password"]
    values = {name: getattr(account, name) for name in names}
    return values | {"version": account.version, "unverified_tls": not account.verify_tls}


def _show(
    form: Filled,
    *,
    account: Account | None = None,
    preset: Preset | None = None,
    status: int = 200,
) -> Response:
    page = AccountFormPage(
        form=form,
        account_id=account.id if account else None,
        name=account.name if account else "",
        is_sandbox=account is not None and account.kind is Kind.SANDBOX,
        has_password=account is not None and account.password is not None,
        securities=_SECURITIES,
        presets=PRESETS,
        preset=preset,
        sandbox_id=_sandbox_id(),
    )
    return show("account_form.html", status=status, page=page, section=SECTION)


def _sandbox_id() -> int:
    house = the_house()
    with house.database.read() as tx:
        return store.sandbox(tx, house.key).id


def _show_delete(account: Account, form: Filled, *, status: int = 200) -> Response:
    page = DeletePage(form=form, account_id=account.id, version=account.version, name=account.name)
    return show("account_delete.html", status=status, page=page, section=SECTION)
