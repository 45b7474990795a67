"""What a person does to a run: pause, resume, cancel. Written to the run, where each message's fence looks at it.

by: who does it; noted with the run, unless there was nothing to change.
"""

from datetime import datetime, timedelta

from delivery import decisions, ledger, reads
from delivery.decisions import Action
from delivery.model import Run, RunStatus
from foundation.errors import Conflict
from storage.database import Tx

REQUEST_KEYS_KEPT = timedelta(hours=24)


def run_of_request(tx: Tx, schedule_id: int, request_key: str | None, now: datetime) -> Run | None:
    """Return the run that was made under this Idempotency-Key; one that is older than 24 hours sets its key free."""
    if request_key is None:
        return None
    earlier = reads.run_of_request(tx, schedule_id, request_key)
    if earlier is not None and now - earlier.claimed_at > REQUEST_KEYS_KEPT:
        ledger.free_request_key(tx, earlier.id)
        return None
    return earlier


def pause(tx: Tx, run_id: int, now: datetime, *, by: str) -> Run:
    """Begin no new message of this run. Pausing a paused run changes nothing. Raises NotFound, Conflict."""
    run = reads.run(tx, run_id)
    if run.status == RunStatus.PAUSED:
        return run
    leaves = [RunStatus.CLAIMED, RunStatus.RUNNING]
    if not ledger.set_status(tx, run_id, leaves, to=RunStatus.PAUSED, reason="paused by a person"):
        raise Conflict(f"Run {run_id} is {run.status}: only one that is on its way can be paused.")
    decisions.note(tx, run_id, Action.PAUSE, by=by, now=now)
    return reads.run(tx, run_id)


def resume(tx: Tx, run_id: int, now: datetime, *, retry_refused: bool, by: str) -> Run:
    """Let a paused or held run go on; retry_refused also queues the refusals that paused it.

    Resuming one that is on its way changes nothing. Raises NotFound, Conflict.
    """
    run = reads.run(tx, run_id)
    if run.status in (RunStatus.CLAIMED, RunStatus.RUNNING):
        return run
    again = ledger.requeue_refused(tx, run_id, now) if retry_refused else 0
    leaves = [RunStatus.PAUSED, RunStatus.HELD]
    to = RunStatus.CLAIMED if run.started_at is None else RunStatus.RUNNING
    if not ledger.set_status(tx, run_id, leaves, to=to, reason=None):
        raise Conflict(
            f"Run {run_id} is {run.status}: only one that is paused or held can be resumed."
        )
    decisions.note(tx, run_id, Action.RESUME, by=by, now=now, detail=run.reason)
    if again:
        many = f"{again} refused queued again"
        decisions.note(tx, run_id, Action.RETRY_REFUSED, by=by, now=now, detail=many)
    return reads.run(tx, run_id)


def cancel(tx: Tx, run_id: int, now: datetime, *, by: str) -> Run:
    """Send nothing more of this run: what was not sent becomes skipped. Cancelling twice changes nothing.

    A message whose content is on its way goes on; its outcome is recorded as it comes. Raises NotFound, Conflict.
    """
    run = reads.run(tx, run_id)
    if run.status == RunStatus.CANCELLED:
        return run
    leaves = [RunStatus.CLAIMED, RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.HELD]
    if not ledger.set_status(tx, run_id, leaves, to=RunStatus.CANCELLED, reason=ledger.CANCELLED):
        raise Conflict(f"Run {run_id} is {run.status}: there is nothing left to cancel.")
    decisions.note(tx, run_id, Action.CANCEL, by=by, now=now, detail=run.reason)
    ledger.skip_unsent(tx, run_id, reason="cancelled", now=now)
    ledger.finish(tx, run_id, now)
    return reads.run(tx, run_id)
