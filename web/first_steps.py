"""The first steps of a new installation: what is done and what comes next, asked of what there is.

Nothing is kept about them, so a step that was done elsewhere counts as well. What the sample letter made does not count
for the steps that are about one's own people and campaigns.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from flask import Response, request

from accounts import store as accounts
from assembly import Sendonce, sample
from delivery import outlines
from identity.model import Role
from identity.roles import may
from scheduler.model import Schedule
from web import looks
from web.current import the_caller
from web.schedule_rows import OVER, Names
from web.shown import duration

COOKIE = "first_steps"
HIDDEN = "hidden"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. path: where it is done, on a button called action; None where the caller can't do it, or it waits.

    in_dialog: the button opens a dialog where there is a script.
    """

    title: str
    says: str
    done: bool
    path: str | None = None
    action: str = ""
    in_dialog: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstSteps:
    """All of them, in order."""

    steps: Sequence[Step]

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps)

    @property
    def are_over(self) -> bool:
        return self.done == len(self.steps)

    @property
    def next(self) -> Step | None:
        """Return the first one that the caller can do now."""
        return next((step for step in self.steps if not step.done and step.path), None)


def first_steps(house: Sendonce, names: Names, schedules: Collection[Schedule]) -> FirstSteps:
    """Return how far this installation has come."""
    samples = [i for i, one in names.campaigns.items() if one.name == sample.CAMPAIGN]
    with house.database.read() as tx:
        has_sent = outlines.any_sent(tx)
        has_account = len(accounts.names(tx)) > 1
        has_run = outlines.any_but_of(tx, samples)
    own_people = [a for a in names.audiences.values() if a.name != sample.AUDIENCE and a.recipients]
    own_campaign = len(names.campaigns) > len(samples)
    is_on_its_way = any(s.campaign_id in samples and s.status not in OVER for s in schedules)
    return FirstSteps(
        steps=[
            _demo(house, done=has_sent, is_on_its_way=is_on_its_way),
            _account(done=has_account),
            Step(
                title="Import people",
                says="From a CSV file, or pasted. A trial shows what becomes of each row first.",
                done=bool(own_people),
                path="/audiences/new",
                action="Add people",
                in_dialog=True,
            ),
            Step(
                title="Write a campaign",
                says="With a preview for any recipient, and hints before anybody gets it.",
                done=own_campaign,
                path="/campaigns/new",
                action="Write your first campaign",
            ),
            Step(
                title="Schedule it",
                says="Choose when it goes: once, or again and again. Until it is due, and in the undo window, it can be"
                " stopped.",
                done=has_run or any(s.campaign_id not in samples for s in schedules),
                path="/automation/new" if own_campaign else None,
                action="Choose when",
                in_dialog=True,
            ),
        ]
    )


def are_hidden() -> bool:
    """Say whether this browser is not to show them on the home page."""
    return request.cookies.get(COOKIE) == HIDDEN


def remember(answer: Response, *, hidden: bool) -> Response:
    """Let the answer tell the browser whether to show them."""
    return looks.keep(answer, COOKIE, HIDDEN if hidden else None)


def _demo(house: Sendonce, *, done: bool, is_on_its_way: bool) -> Step:
    window = house.settings.execution_buffer.total_seconds()
    if is_on_its_way and not done:
        says = "It is on its way: when the undo window is over, it is sent."
        return Step(title="Send the demo into the sandbox", says=says, done=False)
    return Step(
        title="Send the demo into the sandbox",
        says=f"See a whole run{f', {duration(window)} of undo window included' if window else ''}. It is safe: nothing"
        " leaves this machine.",
        done=done,
        path="/first-steps/demo",
        action="Send the demo…",
        in_dialog=True,
    )


def _account(*, done: bool) -> Step:
    if not may(the_caller(), Role.ADMIN):
        says = "Until an admin does, e-mails stay on this machine, in the Outbox."
        return Step(title="Connect your mail account", says=says, done=done)
    return Step(
        title="Connect your mail account",
        says="Gmail, Microsoft 365, Amazon SES, a server of your own. A test tells step by step whether it works.",
        done=done,
        path="/accounts/new",
        action="Connect an account",
    )
