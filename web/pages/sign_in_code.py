"""/login/code: the second step of signing in, for who has a second factor. Before it nobody is signed in."""

from flask import Response

from foundation.errors import TooMany
from foundation.log import log_for
from identity import recovery_codes, second_factor, tries, users
from identity.model import User
from web import forms, half_way, known_browsers, sessions
from web.current import the_house
from web.half_way import HalfWay
from web.page import Pages, go, show
from web.pages.sign_in import note_sign_in
from web.shown import many

pages = Pages("sign-in-code")

log = log_for(__name__)

_WRONG = forms.Mistake(
    field="code",
    label="Code",
    message="This is not the code that the app shows now, or it was used already. Wait for the next one.",
)


@pages.get("/login/code", role=None)
def ask() -> Response:
    """Ask for the code, of who has just given the right password."""
    if half_way.current(the_house().clock.unchecked()) is None:
        return _from_the_start()
    return _ask()


@pages.post("/login/code", role=None)
def sign_in() -> Response:
    """Let in who has the code too."""
    sessions.refuse_forged()
    house = the_house()
    now = house.clock.unchecked()
    half = half_way.current(now)
    user = _still_the_same(half)
    if half is None or user is None:
        return _from_the_start()
    who = tries.of_codes(house.key, user.id, known_browsers.known_by_code_as(user))
    try:
        # Committed before the code is looked at: a hundred tries at once are a hundred tries.
        with house.database.write(durable=False) as tx:
            tries.begin(tx, who, now)
    except TooMany as error:
        log.warning("sign-in put off", user_id=user.id)
        return _put_off(error)
    code = forms.text("code")
    with house.database.write(durable=True) as tx:
        is_right = second_factor.take(tx, user.id, code, key=house.key, now=now)
        if is_right:
            tries.forget(tx, who)
            sessions.begin(tx, user, now)
            note_sign_in(tx, user)
    if not is_right:
        log.warning("second factor refused", user_id=user.id)
        return _ask(forms.Filled(values={}, mistakes=[_WRONG]), status=401)
    log.info("signed in", user_id=user.id)
    say = _codes_left(user) if second_factor.is_recovery_code(code) else None
    return known_browsers.remember(go(half.where, say=say), user.id, by_code=True)


def _still_the_same(half: HalfWay | None) -> User | None:
    """Return who is half-way in; None where there is nobody, or the user has changed since the password was right."""
    if half is None:
        return None
    with the_house().database.read() as tx:
        user = users.find_by_id(tx, half.user_id)
    if user is None or user.disabled or user.version != half.user_version:
        return None
    return user


def _from_the_start() -> Response:
    half_way.end()
    return go("/login", say="Begin again: the password and then the code, within five minutes.")


def _codes_left(user: User) -> str:
    with the_house().database.read() as tx:
        left = recovery_codes.left(tx, user.id)
    return f"That recovery code is used up. You have {many(left, 'recovery code')} left."


def _put_off(error: TooMany) -> Response:
    seconds = error.extra["wait_seconds"]
    answer = _ask(status=429, wait_seconds=seconds)
    answer.headers["Retry-After"] = str(seconds)
    return answer


def _ask(
    form: forms.Filled | None = None, *, status: int = 200, wait_seconds: object = None
) -> Response:
    form = form or forms.Filled(values={})
    return show("login_code.html", status=status, form=form, wait_seconds=wait_seconds)
