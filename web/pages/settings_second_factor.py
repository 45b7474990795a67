"""/settings/security/second-factor: switched on with a code of the app, off with password and code; recovery codes.

Everything here wants the password once more: a browser that was left open is not enough to shut its owner out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flask import Response

from foundation.errors import Conflict, Invalid, SendonceError, Stale, TooMany
from identity import recovery_codes, second_factor, tries, users
from identity.model import Role, User
from storage.database import Tx
from web import audited, forms, proven, sessions
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.pages.settings import SECTION
from web.pages.settings_security import HERE
from web.qr import Qr, qr
from web.typed_passwords import as_typed

pages = Pages("settings-second-factor")

Done = TypeVar("Done")

_LABELS = {proven.PASSWORD: "Current password", proven.CODE: "Code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpPage:
    """What the app has to learn: the secret as a picture and as text. sealed: the same, for the form to carry."""

    user: User
    form: Filled
    qr: Qr
    secret: str
    sealed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmPage:
    """The form that asks for password and code. does: what it is for, "off" or "codes"."""

    user: User
    form: Filled
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodesPage:
    """Recovery codes, shown this once."""

    codes: list[str]


@pages.get("/settings/security/second-factor")
def set_up() -> Response:
    """Show what the app has to learn."""
    user = proven.the_user()
    if user.second_factor:
        return go(HERE)
    return _show_set_up(user, second_factor.new_secret(the_house().key, user.id))


@pages.post("/settings/security/second-factor", role=Role.VIEWER)
def switch_on() -> Response:
    """Switch it on once a code shows that the app has learnt it; show the recovery codes."""
    house = the_house()
    user = proven.the_user()
    sealed = forms.text("sealed")
    secret = second_factor.from_form(house.key, user.id, sealed)

    def switch(tx: Tx) -> list[str]:
        code, now = forms.text(proven.CODE), house.clock.unchecked()
        codes = second_factor.switch_on(tx, user, secret, code, key=house.key, now=now)
        audited.note(tx, "switch on the second factor", f"user:{user.id}", label=user.email)
        return codes

    try:
        codes = _proven(user, switch)
    except (Invalid, TooMany) as error:
        return _show_set_up(user, sealed, error)
    return show("settings_recovery_codes.html", page=CodesPage(codes=codes), section=SECTION)


@pages.get("/settings/security/second-factor/off")
def ask_off() -> Response:
    """Ask for password and code."""
    return _ask(proven.the_user(), "off")


@pages.post("/settings/security/second-factor/off", role=Role.VIEWER)
def switch_off() -> Response:
    """Switch it off."""
    user = proven.the_user()

    def switch(tx: Tx) -> None:
        proven.code_of(tx, user)
        second_factor.switch_off(tx, user.id)
        audited.note(tx, "switch off the second factor", f"user:{user.id}", label=user.email)

    try:
        _proven(user, switch)
    except (Invalid, TooMany) as error:
        return _ask(user, "off", error)
    return go(HERE, say="The second factor is switched off: the password alone lets you in.")


@pages.get("/settings/security/recovery-codes")
def ask_codes() -> Response:
    """Ask for password and code."""
    return _ask(proven.the_user(), "codes")


@pages.post("/settings/security/recovery-codes", role=Role.VIEWER)
def renew_codes() -> Response:
    """Make new recovery codes, which end the old ones, and show them."""
    user = proven.the_user()

    def renew(tx: Tx) -> list[str]:
        proven.code_of(tx, user)
        audited.note(tx, "renew recovery codes", f"user:{user.id}", label=user.email)
        return recovery_codes.renew(tx, user.id)

    try:
        codes = _proven(user, renew)
    except (Invalid, TooMany) as error:
        return _ask(user, "codes", error)
    return show("settings_recovery_codes.html", page=CodesPage(codes=codes), section=SECTION)


def _proven(user: User, deed: Callable[[Tx], Done]) -> Done:
    """Do it for who knows the password; where it changes the user, this session goes on and every other one ends.

    The password's tries are forgotten only once the code was right as well.
    """
    house = the_house()
    who = proven.password_of(user)
    with house.database.write(durable=True) as tx:
        before = users.get(tx, user.id)
        if before.version != user.version:
            raise Stale("You were changed meanwhile. Load the page again.")
        done = deed(tx)
        tries.forget(tx, who)
        after = users.get(tx, user.id)
        if after.version != before.version:
            sessions.begin(tx, after, house.clock.unchecked())
    return done


def _show_set_up(user: User, sealed: str, error: SendonceError | None = None) -> Response:
    secret = second_factor.from_form(the_house().key, user.id, sealed)
    page = SetUpPage(
        user=user,
        form=_typed(error),
        qr=qr(second_factor.address(secret, user.email)),
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        sealed=sealed,
    )
    return show("settings_second_factor.html", status=_status(error), page=page, section=SECTION)


def _ask(user: User, does: str, error: SendonceError | None = None) -> Response:
    if not user.second_factor:
        raise Conflict("The second factor is switched off already.")
    page = ConfirmPage(user=user, form=_typed(error), does=does)
    return show(
        "settings_second_factor_ask.html", status=_status(error), page=page, section=SECTION
    )


def _typed(error: SendonceError | None) -> Filled:
    if error is None:
        return Filled(values={})
    return as_typed(error, _LABELS, proven.PASSWORD)


def _status(error: SendonceError | None) -> int:
    return 200 if error is None else 429 if isinstance(error, TooMany) else 422
