"""/setup, /login and /logout: how a browser gets in, and out again. Who has a second factor goes on to /login/code."""

import os

from flask import Response, request

from foundation.errors import TooMany
from foundation.log import log_for
from identity import first_link, tries, users
from identity.model import Principal, Role, User
from identity.passwords import verify
from storage.aliveness import boot_id, process_lives
from storage.database import Tx
from web import audited, forms, half_way, known_browsers, sessions
from web.current import the_house
from web.page import Pages, go, is_ours, show

pages = Pages("sign-in")
pages.blueprint.add_app_template_filter(tries.in_words, "wait")

log = log_for(__name__)

HOME = "/automation"

_WRONG = "There is no user with this e-mail and password. Check both, or ask an admin for a new password."
_FIRST_LINK = "The link of the first start"
_LOOKS_AHEAD = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")
"""Headers of a browser that loads a page before anybody wants it."""


@pages.get("/setup", role=None)
def set_up() -> Response:
    """Let in whoever opens the link that the terminal printed: once, and only while there is no user."""
    if sessions.current() is not None:
        return go(HOME)
    secret = request.args.get("token", "")
    if not secret or request.method == "HEAD" or any(h in request.headers for h in _LOOKS_AHEAD):
        # Not somebody who wants in: what looks ahead must not use the link up.
        return show("setup.html", status=404)
    house = the_house()
    with house.database.write(durable=True) as tx:
        is_good = first_link.use(tx, secret, boot_id=boot_id(), alive=process_lives)
        if is_good:
            sessions.begin(tx, None, house.clock.unchecked())
            first = Principal(name="first start", role=Role.ADMIN)
            audited.note_as(tx, first, "sign in", "installation:first start", label=_FIRST_LINK)
    if not is_good:
        return show("setup.html", status=404)
    log.info("signed in with the link of the first start", pid=os.getpid())
    return go(HOME)


@pages.get("/login", role=None)
def ask() -> Response:
    """Show the form; who is signed in already is led on."""
    if sessions.current() is not None:
        return go(_next())
    return _ask(forms.Filled(values={"next": _next()}))


@pages.post("/login", role=None)
def sign_in() -> Response:
    """Let in who has an e-mail and its password."""
    sessions.refuse_forged()
    house = the_house()
    email = forms.text("email")
    with house.database.read() as tx:
        user, password_hash = users.find_to_sign_in(tx, email)
    who = _who_tries(user, email)
    try:
        # Committed before the password is looked at: a hundred tries at once are a hundred tries.
        with house.database.write(durable=False) as tx:
            tries.begin(tx, who, house.clock.unchecked())
    except TooMany as error:
        log.warning("sign-in put off")
        return _put_off(error)
    # Outside of any transaction: it takes as long for an e-mail that nobody has.
    if not verify(password_hash, forms.text("password")) or user is None:
        log.warning("sign-in refused")
        return _ask(_typed(forms.Mistake(field="", label=None, message=_WRONG)), status=401)
    now, where = house.clock.unchecked(), _next()
    with house.database.write(durable=True) as tx:
        tries.forget(tx, who)
        if user.second_factor:
            sessions.end(tx)
            half_way.begin(user, where, now)
        else:
            sessions.begin(tx, user, now)
            note_sign_in(tx, user)
    if user.second_factor:
        return go("/login/code")
    log.info("signed in", user_id=user.id)
    return known_browsers.remember(go(where), user.id)


@pages.post("/logout", role=None)
def sign_out() -> Response:
    """End this browser's session."""
    sessions.refuse_forged()
    found = sessions.current()
    with the_house().database.write(durable=True) as tx:
        sessions.end(tx)
        if found is not None:
            who = found.principal
            audited.note_as(tx, who, "sign out", who.name, label=who.label or who.name)
    return go("/login", say="You are signed out.")


def note_sign_in(tx: Tx, user: User) -> None:
    """Note that somebody is let in: no guard has yet."""
    who = Principal(name=f"user:{user.id}", role=user.role, label=user.email)
    audited.note_as(tx, who, "sign in", who.name, label=user.email)


def _who_tries(user: User | None, email: str) -> tries.Subject:
    key = the_house().key
    browser = known_browsers.known_as(user) if user else None
    return tries.of_browser(key, browser) if browser else tries.of_address(key, email)


def _put_off(error: TooMany) -> Response:
    seconds = error.extra["wait_seconds"]
    answer = _ask(_typed(), status=429, wait_seconds=seconds)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _typed(*mistakes: forms.Mistake) -> forms.Filled:
    """Return the form as it was sent, but for the password."""
    return forms.Filled(
        values={"email": forms.text("email"), "next": _next()}, mistakes=list(mistakes)
    )


def _ask(form: forms.Filled, status: int = 200, wait_seconds: object = None) -> Response:
    with the_house().database.read() as tx:
        has_users = users.any_user(tx)
    return show(
        "login.html", status=status, form=form, has_users=has_users, wait_seconds=wait_seconds
    )


def _next() -> str:
    """Return where to go once signed in: a path of ours, whatever the address says."""
    where = request.values.get("next")
    return str(where) if is_ours(where) else HOME
