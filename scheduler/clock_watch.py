"""What a step of the clock means here: claims stop while it is doubted, and go back with it where it goes back."""

from accounts import store as account_store
from accounts import usage
from delivery import ledger, slots
from delivery.ledger import must_lead
from foundation.log import log_for
from foundation.machine import clock_is_synchronised
from scheduler.parts import SchedulerParts
from scheduler.steady_clock import Found
from storage import installation
from storage.aliveness import Leader, newest_leader
from storage.installation import Installation

log = log_for(__name__)


def look_at_clock(parts: SchedulerParts) -> None:
    """Look whether the clock has jumped. The leader writes down what follows; every process looks for itself."""
    clock = parts.clock
    epoch = parts.epoch()
    here, leader = _what_is_told(parts, leads=epoch is not None)
    found = clock.look(
        accepts=here.clock_accepts,
        leaders=leader.heartbeat_at if leader else None,
        window=parts.catch_up_window,
        is_synchronised=lambda: clock_is_synchronised() is True,
    )
    if found is Found.JUMPED and clock.step is not None:
        log.error(
            "the clock has jumped, nothing is claimed until it is right or accepted",
            seconds=round(clock.step.total_seconds()),
        )
    elif found is not Found.NOTHING_NEW:
        log.warning("the clock is believed again", went_back=found is Found.WENT_BACK)
    if found is Found.WENT_BACK:
        parts.agenda.goes_back = True
    if epoch is not None:
        _follow(parts, epoch, told_seconds=here.clock_step_seconds)


def _what_is_told(parts: SchedulerParts, *, leads: bool) -> tuple[Installation, Leader | None]:
    """Return what the database says about the clock and, to a process that stands by, about who leads."""
    known = parts.agenda.installation
    if leads and known is not None and parts.is_fresh(known[0]):
        return known[1], None
    seen = parts.look()
    with parts.database.read() as tx:
        here = installation.read(tx)
        leader = None if leads else newest_leader(tx)
    parts.agenda.installation = (seen, here)
    return here, leader


def _follow(parts: SchedulerParts, epoch: int, *, told_seconds: float | None) -> None:
    step = parts.clock.step
    seconds = None if step is None else step.total_seconds()
    is_told = (told_seconds is None) == (seconds is None)
    goes_back = parts.agenda.goes_back and step is None
    if is_told and not goes_back:
        return
    now = parts.clock.now()
    with parts.database.write(durable=True) as tx:
        must_lead(tx, epoch)
        installation.note_clock(tx, seconds)
        if goes_back:
            # What was decided stays decided, by its key. What lies ahead of the clock now was never in the future.
            slots.go_back(tx, now)
            ledger.go_back(tx, now)
            account_store.go_back(tx, now)
            usage.go_back(tx, now)
    if goes_back:
        parts.agenda.goes_back = False
    parts.agenda.look_at = now
