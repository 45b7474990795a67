"""/settings: leads to the profile; its other parts, and what is set from outside."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Response

from assembly import Sendonce
from foundation.settings import PREFIX, Settings
from foundation.version import VERSION
from identity.model import Role
from identity.roles import may
from scheduler import desk
from web.current import the_caller, the_house
from web.first_steps import FirstSteps, are_hidden, first_steps
from web.looks import attributes
from web.page import Pages, go, show
from web.schedule_rows import names_of
from web.shown import duration

pages = Pages("settings")
pages.blueprint.add_app_template_global(attributes, "the_looks")

SECTION = "Settings"

THIS_MACHINE = ("127.0.0.1", "localhost", "::1")

_TABS = (
    ("Profile", "/settings/profile", Role.VIEWER),
    ("Security", "/settings/security", Role.VIEWER),
    ("Tokens", "/settings/tokens", Role.ADMIN),
    ("Users", "/settings/users", Role.ADMIN),
    ("General", "/settings/general", Role.VIEWER),
)

ROLES = (
    (Role.VIEWER, "Viewer: looks at everything, changes nothing"),
    (Role.EDITOR, "Editor: writes campaigns, schedules and sends them"),
    (Role.ADMIN, "Admin: manages accounts, users and tokens too"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A setting as it is now, and the environment variable that sets it."""

    name: str
    value: str
    variable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralPage:
    """What is set. public_url_warning: why the address is not as it should be. steps: for who can take them."""

    tabs: Sequence[dict[str, object]]
    version: str
    facts: Sequence[Fact]
    public_url_warning: str | None
    steps: FirstSteps | None
    steps_are_hidden: bool


@pages.get("/settings")
def settings() -> Response:
    """Lead to the part that everybody has."""
    return go("/settings/profile")


@pages.get("/settings/general")
def general() -> Response:
    """Show what is set from outside."""
    house = the_house()
    is_admin = may(the_caller(), Role.ADMIN)
    page = GeneralPage(
        tabs=tabs("General"),
        version=VERSION,
        facts=[
            fact
            for fact, only_admins in _facts(house.settings, house.public_url)
            if is_admin or not only_admins
        ],
        public_url_warning=_public_url_warning(house.public_url),
        steps=_steps(house),
        steps_are_hidden=are_hidden(),
    )
    return show("settings_general.html", page=page, section=SECTION)


def _steps(house: Sendonce) -> FirstSteps | None:
    if not may(the_caller(), Role.EDITOR):
        return None
    return first_steps(house, names_of(house), desk.list_schedules(house.scheduler))


def tabs(current: str) -> list[dict[str, object]]:
    """Return the parts of the settings that the caller may see, as chips."""
    caller = the_caller()
    return [
        {"path": path, "text": text, "count": None, "current": text == current}
        for text, path, role in _TABS
        if may(caller, role)
    ]


def _facts(settings: Settings, public_url: str) -> list[tuple[Fact, bool]]:
    """Return the settings, and of each whether only admins see it; no secret is among them."""
    told = (
        ("Public address", public_url, "public_url", False),
        (
            "Undo window",
            _time(settings.execution_buffer.total_seconds()),
            "execution_buffer",
            False,
        ),
        (
            "Catch-up window",
            _time(settings.catch_up_window.total_seconds()),
            "catch_up_window",
            False,
        ),
        (
            "Scheduler looks every",
            _time(settings.scheduler_check_interval.total_seconds()),
            "scheduler_check_interval",
            False,
        ),
        ("First retry after", _time(settings.retry_delay.total_seconds()), "retry_delay", False),
        ("Gives up after", _time(settings.give_up_after.total_seconds()), "give_up_after", False),
        ("Data directory", str(settings.data_dir), "data_dir", True),
        ("State directory", str(settings.state_dir), "state_dir", True),
        ("Log format", settings.log_format, "log_format", True),
        (
            "Secret key",
            "from the variable" if settings.secret_key else "in the data directory",
            "secret_key",
            True,
        ),
        (
            "Bootstrap token",
            "set: whoever has it is admin" if settings.bootstrap_token else "not set",
            "bootstrap_token",
            True,
        ),
    )
    return [
        (Fact(name=name, value=value, variable=PREFIX + field.upper()), only_admins)
        for name, value, field, only_admins in told
    ]


def _time(seconds: float) -> str:
    if 0 < seconds < 60:
        return f"{seconds:g} s"
    return duration(seconds) if seconds else "none"


def _public_url_warning(url: str) -> str | None:
    if urlsplit(url).hostname in THIS_MACHINE:
        return (
            f"Links in e-mails begin with {url}, which leads to this machine only: recipients can't unsubscribe."
            f" Set {PREFIX}PUBLIC_URL to an address that they reach before you send to anybody else."
        )
    if not url.startswith("https://"):
        return (
            "The public address is not https: mail programs offer one-click unsubscribe only over https, and sessions"
            " travel in clear."
        )
    return None
