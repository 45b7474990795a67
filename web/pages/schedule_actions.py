"""What the buttons of a schedule do: pause, resume, skip, decide about missed slots, run now, delete, bring back."""

from dataclasses import dataclass

from flask import Response, request

from audience import store as audiences
from audience import suppressions
from delivery import outlines
from delivery.outlines import RunOutline
from identity.model import Role
from scheduler import desk
from scheduler.model import Schedule
from web import audited, forms
from web.api.schedules import Missed, NoteIn, SkipNext
from web.current import the_house
from web.page import Pages, go, is_ours, show
from web.replays import may_repeat, request_key
from web.schedule_rows import names_of
from web.shown import in_words

pages = Pages("schedule-actions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """What is about to be done, to how many people, and what stays. last: when it went out last, and to how many."""

    schedule: Schedule
    last: RunOutline | None
    campaign: str
    people: int
    suppressed: int


@pages.get("/automation/<id:schedule_id>/run-now", role=Role.EDITOR)
def ask_run_now(schedule_id: int) -> Response:
    """Say what running now means, before it is done: there is no window in which it could be taken back."""
    return show("schedule_run_now.html", page=_confirm(schedule_id), section="Automation")


@pages.post("/automation/<id:schedule_id>/run-now")
@may_repeat
def run_now(schedule_id: int) -> Response:
    """Send the campaign now, once."""
    run = desk.run_now(
        the_house().scheduler, schedule_id, request_key=request_key(), by=audited.author()
    )
    return go(f"/runs/{run.id}")


@pages.post("/automation/<id:schedule_id>/pause")
def pause(schedule_id: int) -> Response:
    """Let no slot run until it is resumed."""
    body = forms.checked(NoteIn, {"note": forms.text_or_none("note")})
    desk.pause(the_house().scheduler, schedule_id, note=body.note, by=audited.author())
    return _back(
        schedule_id, f"{_called(schedule_id)} is paused. Nothing of it is sent until you resume it."
    )


@pages.post("/automation/<id:schedule_id>/resume")
def resume(schedule_id: int) -> Response:
    """Let the slots from now on run again."""
    resumed = desk.resume(the_house().scheduler, schedule_id, note=None, by=audited.author())
    return _back(schedule_id, f"{_called(schedule_id)} is resumed. {_next(resumed)}")


@pages.post("/automation/<id:schedule_id>/skip-next")
def skip_next(schedule_id: int) -> Response:
    """Leave the slot that the button named out: pressed twice, it does not skip two."""
    body = forms.checked(SkipNext, {"slot": forms.text("slot")})
    after = desk.skip_next(the_house().scheduler, schedule_id, slot=body.slot, by=audited.author())
    when = in_words(body.slot, after.timezone)
    return _back(
        schedule_id, f"Not sent: {_called(schedule_id)}, {when}, is skipped. {_next(after)}"
    )


@pages.post("/automation/<id:schedule_id>/missed")
def decide_missed(schedule_id: int) -> Response:
    """Send one mail for the slots that were missed, or none."""
    through = forms.text_or_none("through")
    given = {"action": forms.text("action")} | ({"through": through} if through else {})
    body = forms.checked(Missed, given)
    desk.missed(
        the_house().scheduler,
        schedule_id,
        action=body.action,
        through=body.through,
        by=audited.author(),
    )
    said = (
        "Sending, one mail for all of them."
        if body.action == "send"
        else "Skipped. Nothing was sent."
    )
    return _back(schedule_id, said)


@pages.post("/automation/<id:schedule_id>/bring-back")
def bring_back(schedule_id: int) -> Response:
    """Bring back a schedule whose entry somebody took out of the file."""
    back = desk.edit(
        the_house().scheduler,
        schedule_id,
        {"enabled": True},
        expected_version=None,
        again_today=False,
        by=audited.author(),
    )
    return _back(schedule_id, f"{_called(schedule_id)} is back. {_next(back)}")


@pages.get("/automation/<id:schedule_id>/delete", role=Role.EDITOR)
def ask_delete(schedule_id: int) -> Response:
    """Say what goes and what stays."""
    return show("schedule_delete.html", page=_confirm(schedule_id), section="Automation")


@pages.post("/automation/<id:schedule_id>/delete")
def delete(schedule_id: int) -> Response:
    """Delete the schedule; its runs stay."""
    called = _called(schedule_id)
    desk.delete(
        the_house().scheduler, schedule_id, expected_version=forms.version(), by=audited.author()
    )
    return go("/automation", say=f"The schedule of {called} is deleted. Its runs stay in Runs.")


def _confirm(schedule_id: int) -> Confirm:
    house = the_house()
    schedule = desk.get(house.scheduler, schedule_id)
    names = names_of(house)
    ids = [audience.id for audience in names.of_audiences(schedule.campaign_id)]
    with house.database.read() as tx:
        suppressed = suppressions.count_suppressed(tx, ids) if ids else 0
        people = audiences.count_people(tx, ids) - suppressed if ids else 0
        last = outlines.newest_of(tx, [schedule_id]).get(schedule_id)
    return Confirm(
        schedule=schedule,
        last=last if last and last.counts.sent else None,
        campaign=names.campaign(schedule.campaign_id),
        people=people,
        suppressed=suppressed,
    )


def _called(schedule_id: int) -> str:
    house = the_house()
    schedule = desk.get(house.scheduler, schedule_id)
    return names_of(house).campaign(schedule.campaign_id)


def _next(schedule: Schedule) -> str:
    if schedule.next_run is None or not schedule.enabled:
        return "No slot is left."
    return f"Next: {in_words(schedule.next_run, schedule.timezone)}."


def _back(schedule_id: int, say: str) -> Response:
    """Lead to where the button was: the list, the schedule's own page, or the days of the calendar."""
    back = forms.text("back")
    if is_ours(back) and back.startswith("/calendar?"):
        return go(back, say=say)
    if request.form.get("from") == "detail":
        return go(f"/automation/{schedule_id}", say=say)
    return go(f"/automation#s{schedule_id}", say=say)
