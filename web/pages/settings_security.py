"""/settings/security: the second factor, and where one is signed in; one session can be ended, or all others."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response

from foundation.errors import Conflict, NotFound
from identity import recovery_codes, users
from identity import sessions as kept_sessions
from identity.model import Role, User
from identity.sessions import OwnSession
from web import audited, browsers, proven, sessions
from web.current import the_house
from web.page import Pages, go, show
from web.pages.settings import SECTION, tabs

pages = Pages("settings-security")

HERE = "/settings/security"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A session, and its browser in words."""

    session: OwnSession
    browser: str
    is_this: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityPage:
    """What the page shows. user: None where it is nobody's session: a token's, or the link of the first start."""

    tabs: Sequence[dict[str, object]]
    user: User | None
    codes_left: int
    rows: Sequence[SessionRow]


@pages.get("/settings/security")
def security() -> Response:
    """Show the second factor and the sessions of who asks."""
    session = sessions.current()
    if session is None or session.user_id is None:
        page = SecurityPage(tabs=tabs("Security"), user=None, codes_left=0, rows=[])
        return show("settings_security.html", page=page, section=SECTION)
    house = the_house()
    with house.database.read() as tx:
        user = users.get(tx, session.user_id)
        left = recovery_codes.left(tx, user.id)
        found = kept_sessions.of_user(tx, user.id, house.clock.unchecked())
    rows = [
        SessionRow(
            session=one, browser=browsers.in_words(one.place.agent), is_this=one.id == session.id
        )
        for one in found
    ]
    page = SecurityPage(tabs=tabs("Security"), user=user, codes_left=left, rows=rows)
    return show("settings_security.html", page=page, section=SECTION)


@pages.post("/settings/security/sessions/<id:session_id>/end", role=Role.VIEWER)
def end_session(session_id: int) -> Response:
    """End one of the own sessions: that browser has to sign in again."""
    user, session = proven.the_user(), sessions.current()
    if session is not None and session.id == session_id:
        raise Conflict("This is the session that you are in. Sign out instead.")
    with the_house().database.write(durable=True) as tx:
        if not kept_sessions.end_one(tx, user.id, session_id):
            raise NotFound("This session of yours has ended already.")
        audited.note(tx, "end", f"session:{session_id}", label=user.email)
    return go(HERE, say="That browser is signed out.")


@pages.post("/settings/security/sessions/end-others", role=Role.VIEWER)
def end_others() -> Response:
    """End all of the own sessions but this one."""
    user, session = proven.the_user(), sessions.current()
    if session is not None:
        with the_house().database.write(durable=True) as tx:
            kept_sessions.end_others(tx, user.id, session.id)
            audited.note(tx, "end other sessions", f"user:{user.id}", label=user.email)
    return go(HERE, say="Every other browser is signed out.")
