"""/settings/profile: who is signed in, the password, and how this browser wants the dashboard.

Whoever came by the one-time link becomes the first user here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flask import Response, request

from foundation.errors import Conflict, Invalid, SendonceError, Stale, TooMany
from identity import passwords, tries, users
from identity.model import Principal, Role
from identity.passwords import SHORTEST
from scheduler.fields import is_zone, zone_names
from web import forms, known_browsers, looks, proven, sessions
from web.api.users import UserChanges, change, note_making
from web.current import the_caller, the_house
from web.forms import Filled
from web.page import Pages, go, show
from web.pages.settings import SECTION, tabs
from web.shown import CHOSEN_ZONE_COOKIE, ZONE_COOKIE, viewers_zone
from web.typed_passwords import as_typed

pages = Pages("settings-profile")

HERE = "/settings/profile"

_LABELS = {"current": "Current password", "password": "New password"}
_LABELS_OF_THE_FIRST = {"email": "E-mail", "password": "Password"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePage:
    """What the page shows. way_in: user, the link of the first start, or a token."""

    tabs: Sequence[dict[str, object]]
    principal: Principal
    way_in: str
    form: Filled
    looks: Filled
    themes: Sequence[tuple[str, str]]
    motions: Sequence[tuple[str, str]]
    rows: Sequence[tuple[str, str]]
    zones: Sequence[str]
    shortest: int
    zone: str
    zone_is_chosen: bool
    zone_is_known: bool


@pages.get("/settings/profile")
def profile() -> Response:
    """Show who is signed in."""
    return _show(Filled(values={}))


@pages.post("/settings/profile", role=Role.VIEWER)
def become_first_user() -> Response:
    """Make the first user, an admin: this session is theirs from now on, and no link lets anybody in any more."""
    house = the_house()
    session = sessions.current()
    if session is None or session.user_id is not None:
        raise Conflict("Only who came by the link of the first start becomes the first user.")
    try:
        with house.database.write(durable=True) as tx:
            user = users.create_first(
                tx, forms.text("email"), forms.text("password"), house.clock.now()
            )
            note_making(tx, user)
            sessions.begin(tx, user, house.clock.unchecked())
    except (Invalid, Conflict) as error:
        return _refused(error, _LABELS_OF_THE_FIRST, "password")
    said = f"You are {user.email}. Sign in with it from now on; the link has ended."
    return known_browsers.remember(go(HERE, say=said), user.id)


@pages.post("/settings/profile/password", role=Role.VIEWER)
def change_password() -> Response:
    """Give oneself another password: every other session ends, this one goes on with a new secret."""
    house = the_house()
    user = proven.the_user()
    try:
        passwords.check(forms.text("password"), email=user.email)
        who = proven.password_of(user)
        with house.database.write(durable=True) as tx:
            if not user.second_factor:
                # No code was asked for: else each change would give whoever guesses codes new tries.
                tries.forget(tx, who)
            body = forms.checked(UserChanges, {"password": forms.text("password")})
            changed = change(tx, user.id, body, expected_version=user.version)
            sessions.begin(tx, changed, house.clock.unchecked())
    except (Invalid, Stale, TooMany) as error:
        return _refused(error, _LABELS, "current", "password")
    return go(HERE, say="Your password is changed. Every other session of yours has ended.")


@pages.post("/settings/profile/looks", role=Role.VIEWER, shows_only=True)
def change_looks() -> Response:
    """Keep how this browser wants the dashboard, in the browser."""
    zone = forms.text("zone").strip()
    if zone and not is_zone(zone):
        wrong = Invalid.field("zone", f"“{zone}” is no zone that is known; Europe/Berlin is one")
        typed = forms.as_typed(wrong, {"zone": "Time zone"}, lists=("keys",))
        return _show(Filled(values={}), choices=typed, status=422)
    answer = go(f"{HERE}#looks", say="Saved, for this browser.")
    looks.keep(answer, CHOSEN_ZONE_COOKIE, zone or None)
    return looks.remember(
        answer,
        theme=forms.text("theme"),
        motion=forms.text("motion"),
        rows=forms.text("rows"),
        keys=forms.ticked("keys"),
    )


def _refused(error: SendonceError, labels: Mapping[str, str], *password_fields: str) -> Response:
    status = 422 if isinstance(error, Invalid) else 429 if isinstance(error, TooMany) else 409
    return _show(as_typed(error, labels, *password_fields), status=status)


def _show(form: Filled, *, choices: Filled | None = None, status: int = 200) -> Response:
    session = sessions.current()
    page = ProfilePage(
        tabs=tabs("Profile"),
        principal=the_caller(),
        way_in="token" if session is None else "link" if session.user_id is None else "user",
        form=form,
        looks=choices or _chosen(),
        themes=looks.THEMES,
        motions=looks.MOTIONS,
        rows=looks.ROWS,
        zones=zone_names(),
        shortest=SHORTEST,
        zone=viewers_zone(),
        zone_is_chosen=is_zone(request.cookies.get(CHOSEN_ZONE_COOKIE, "")),
        zone_is_known=ZONE_COOKIE in request.cookies,
    )
    return show("settings_profile.html", status=status, page=page, section=SECTION)


def _chosen() -> Filled:
    """Return how this browser has it now, as the form shows it."""
    return Filled(
        values={
            "theme": looks.chosen(looks.THEME_COOKIE) or "system",
            "motion": looks.chosen(looks.MOTION_COOKIE) or "system",
            "rows": looks.chosen(looks.ROWS_COOKIE) or "comfortable",
            "zone": request.cookies.get(CHOSEN_ZONE_COOKIE, ""),
            "keys": ["on"] if looks.keys_are_on() else [],
        }
    )
