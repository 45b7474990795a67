"""/setup, /login and /logout: how a browser gets in, and out again."""

import os

from flask import Response, request

from foundation.log import log_for
from identity import first_link, users
from identity.passwords import verify
from storage.aliveness import boot_id, process_lives
from web import forms, sessions
from web.current import the_house
from web.page import Pages, go, is_ours, show

pages = Pages("sign-in")

log = log_for(__name__)

HOME = "/automation"

_WRONG = "There is no user with this e-mail and password. Check both, or ask an admin for a new password."


@pages.get("/setup", role=None)
def set_up() -> Response:
    """Let in whoever opens the link that the terminal printed: once, and only while there is no user."""
    if sessions.current() is not None:
        return go(HOME)
    secret = request.args.get("token", "")
    if not secret or request.method == "HEAD" or "Sec-Purpose" in request.headers:
        # Not somebody who wants in: what looks ahead must not use the link up.
        return show("setup.html", status=404)
    house = the_house()
    with house.database.write(durable=True) as tx:
        is_good = first_link.use(tx, secret, boot_id=boot_id(), alive=process_lives)
        if is_good:
            sessions.begin(tx, None, house.clock.now())
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
    with house.database.read() as tx:
        user, password_hash = users.find_to_sign_in(tx, forms.text("email"))
    # Outside of any transaction: it takes as long for an e-mail that nobody has.
    if not verify(password_hash, forms.text("password")) or user is None:
        log.warning("sign-in refused")
        wrong = forms.Mistake(field="email", label=None, message=_WRONG)
        values = {"email": forms.text("email"), "next": _next()}
        return _ask(forms.Filled(values=values, mistakes=[wrong]), status=401)
    with house.database.write(durable=True) as tx:
        sessions.begin(tx, user, house.clock.now())
    log.info("signed in", user_id=user.id)
    return go(_next())


@pages.post("/logout", role=None)
def sign_out() -> Response:
    """End this browser's session."""
    sessions.refuse_forged()
    with the_house().database.write(durable=True) as tx:
        sessions.end(tx)
    return go("/login", say="You are signed out.")


def _ask(form: forms.Filled, status: int = 200) -> Response:
    with the_house().database.read() as tx:
        has_users = users.any_user(tx)
    return show("login.html", status=status, form=form, has_users=has_users)


def _next() -> str:
    """Return where to go once signed in: a path of ours, whatever the address says."""
    where = request.values.get("next")
    return str(where) if is_ours(where) else HOME
