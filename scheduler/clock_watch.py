"""What a step of the clock means here: claims stop while it is doubted, and go back with it where it goes back."""

from accounts import store as account_store
from delivery import ledger, slots
from delivery.ledger import must_lead
from foundation.log import log_for
from foundation.machine import clock_is_synchronised
from scheduler.parts import SchedulerParts
from scheduler.steady_clock import Found
from storage import installation

log = log_for(__name__)


def look_at_clock(parts: SchedulerParts) -> None:
    """Look whether the clock has jumped. The leader writes down what follows; every process looks for itself."""
    clock = parts.clock
    with parts.database.read() as tx:
        accepts = installation.read(tx).clock_accepts
    found = clock.look(
        accepts=accepts,
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
    epoch = parts.epoch()
    if epoch is not None:
        _follow(parts, epoch, found)


def _follow(parts: SchedulerParts, epoch: int, found: Found) -> None:
    step = parts.clock.step
    seconds = None if step is None else step.total_seconds()
    with parts.database.read() as tx:
        is_told = (installation.read(tx).clock_step_seconds is None) == (seconds is None)
    if is_told and found is not Found.WENT_BACK:
        return
    now = parts.clock.now()
    with parts.database.write(durable=True) as tx:
        must_lead(tx, epoch)
        installation.note_clock(tx, seconds)
        if found is Found.WENT_BACK:
            # What was decided stays decided, by its key. What lies ahead of the clock now was never in the future.
            slots.go_back(tx, now)
            ledger.go_back(tx, now)
            account_store.go_back(tx, now)
    parts.agenda.look_at = now
