"""/first-steps: sending the sample letter into the sandbox; hiding the list on the home page, and showing it again."""

from dataclasses import dataclass

from flask import Response

from accounts import store as accounts
from assembly import sample
from identity.model import Role
from scheduler import desk
from web import audited, first_steps
from web.current import the_house
from web.forms import Filled
from web.page import Pages, go, show

pages = Pages("first-steps")

READERS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPage:
    """What is about to be made. buffer: seconds in which it can be taken back."""

    form: Filled
    audience: str
    campaign: str
    readers: int
    buffer: float


@pages.get("/first-steps/demo", role=Role.EDITOR)
def ask_demo() -> Response:
    """Say what the demo makes."""
    page = DemoPage(
        form=Filled(values={}),
        audience=sample.AUDIENCE,
        campaign=sample.CAMPAIGN,
        readers=READERS,
        buffer=the_house().settings.execution_buffer.total_seconds(),
    )
    return show("first_steps_demo.html", page=page, section="Automation")


@pages.post("/first-steps/demo")
def send_demo() -> Response:
    """Make the sample letter to invented people through the Sandbox account, due at once."""
    house = the_house()
    with house.database.write(durable=True) as tx:
        account = accounts.sandbox(tx, house.key)
        letter = sample.write(tx, READERS, account_id=account.id, now=house.clock.now())
        audited.note(tx, "create", f"audience:{letter.audience.id}", label=letter.audience.name)
        audited.note(tx, "create", f"campaign:{letter.campaign.id}", label=letter.campaign.name)
    due = sample.due_at_once(letter.campaign.id, house.clock.now())
    schedule = desk.create(house.scheduler, due, by=audited.author())
    return go(f"/automation#s{schedule.id}", say="The demo is due. Its e-mails go to the Outbox.")


@pages.post("/first-steps/hide", shows_only=True)
def hide() -> Response:
    """Show the first steps no more on the home page, in this browser."""
    said = "Hidden. Settings, General has the first steps."
    return first_steps.remember(go("/automation", say=said), hidden=True)


@pages.post("/first-steps/show", shows_only=True)
def show_again() -> Response:
    """Show the first steps on the home page again, in this browser."""
    return first_steps.remember(go("/automation"), hidden=False)
