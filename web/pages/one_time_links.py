"""/join/… and /reset/…: where links lead that work once. Looking changes nothing; sending the form uses one up."""

from dataclasses import dataclass

from flask import Response, request

from foundation.errors import Conflict, Invalid, NotFound
from foundation.log import log_for
from identity import one_time_links, tries, users
from identity.model import Principal, User
from identity.one_time_links import Link, Purpose
from identity.passwords import SHORTEST
from storage.database import Tx
from web import audited, forms, known_browsers, sessions
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.typed_passwords import as_typed

pages = Pages("one-time-links")

log = log_for(__name__)

_LABELS = {"password": "Password", "role": "Role", "email": "E-mail"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkPage:
    """The form for a password. path: where it is sent; signed_in_as: who this browser is now."""

    link: Link
    form: Filled
    path: str
    shortest: int
    signed_in_as: str | None


@pages.get("/join/<token>", role=None)
def look_at_invitation(token: str) -> Response:
    """Show who is invited, and ask for a password."""
    return _look(Purpose.INVITATION, token)


@pages.post("/join/<token>", role=None)
def join(token: str) -> Response:
    """Make the user, use the invitation up, and let this browser in."""
    sessions.refuse_forged()
    _refuse_wrong(Purpose.INVITATION, token)
    house = the_house()
    now = house.clock.unchecked()
    try:
        with house.database.write(durable=True) as tx:
            link = _used(tx, Purpose.INVITATION, token)
            if link.role is None:
                raise AssertionError("an invitation names a role")
            user = users.create(tx, link.email, forms.text("password"), link.role, now)
            audited.note_as(
                tx,
                _as_principal(user),
                "join",
                f"user:{user.id}",
                label=user.email,
                after={"role": user.role, "invited_by": link.made_by},
            )
            sessions.begin(tx, user, now)
    except (Invalid, Conflict) as error:
        return _refused(error, Purpose.INVITATION, token)
    log.info("joined by an invitation", user_id=user.id)
    answer = go("/automation", say=f"Welcome. You are {user.email}, with the role {user.role}.")
    return known_browsers.remember(answer, user.id)


@pages.get("/reset/<token>", role=None)
def look_at_reset(token: str) -> Response:
    """Ask for the new password."""
    return _look(Purpose.PASSWORD, token)


@pages.post("/reset/<token>", role=None)
def reset(token: str) -> Response:
    """Set the new password, use the link up, and end the user's sessions. Signing in is still to come."""
    sessions.refuse_forged()
    _refuse_wrong(Purpose.PASSWORD, token)
    try:
        with the_house().database.write(durable=True) as tx:
            link = _used(tx, Purpose.PASSWORD, token)
            if link.user_id is None:
                raise AssertionError("a link to a new password names a user")
            changes = {"password": forms.text("password")}
            user = users.change(tx, link.user_id, changes, expected_version=None)
            audited.note_as(
                tx, _as_principal(user), "reset password", f"user:{user.id}", label=user.email
            )
    except Invalid as error:
        return _refused(error, Purpose.PASSWORD, token)
    log.info("password reset by a link", user_id=user.id)
    return go("/login", say="Your new password is set. Sign in with it.")


def _look(purpose: Purpose, token: str) -> Response:
    link = _found(purpose, token)
    if link is None:
        _refuse_guessing()
        return show("one_time_link_over.html", status=404, purpose=purpose)
    return _ask(link, Filled(values={}))


def _refuse_wrong(purpose: Purpose, token: str) -> None:
    """Raise NotFound where the link is not good (any more), TooMany where too many of them were not."""
    link = _found(purpose, token)
    if link is None:
        _refuse_guessing()
        raise NotFound(
            "This link was used, or is over. Nothing was changed. Ask an admin for a new one."
        )


def _refuse_guessing() -> None:
    """Note a wrong link. Raises TooMany where too many were tried from this address.

    Nobody guesses 256 bits; but who tries should not be answered as fast as they ask. Who has a right link never
    waits: behind a proxy all come from one address, and a stranger's guesses would shut the others out.
    """
    house = the_house()
    who, now = tries.of_links(house.key, request.remote_addr), house.clock.unchecked()
    with house.database.write(durable=False) as tx:
        tries.begin(tx, who, now)


def _found(purpose: Purpose, token: str) -> Link | None:
    house = the_house()
    with house.database.read() as tx:
        return one_time_links.find(tx, purpose, token, now=house.clock.unchecked())


def _used(tx: Tx, purpose: Purpose, token: str) -> Link:
    """Use the link up; where something is refused after all, so is this, with the transaction."""
    link = one_time_links.use(tx, purpose, token, now=the_house().clock.unchecked())
    if link is None:
        raise NotFound("This link has just been used. Nothing was changed.")
    return link


def _refused(error: Invalid | Conflict, purpose: Purpose, token: str) -> Response:
    link = _found(purpose, token)
    if link is None:
        raise error
    return _ask(
        link, as_typed(error, _LABELS, "password"), 422 if isinstance(error, Invalid) else 409
    )


def _ask(link: Link, form: Filled, status: int = 200) -> Response:
    session = sessions.current()
    page = LinkPage(
        link=link,
        form=form,
        path=request.path,
        shortest=SHORTEST,
        signed_in_as=session.principal.label or session.principal.name if session else None,
    )
    return show("one_time_link.html", status=status, page=page)


def _as_principal(user: User) -> Principal:
    return Principal(name=f"user:{user.id}", role=user.role, label=user.email)
