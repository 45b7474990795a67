"""What a restart does, before the new leader leases anything: settle what the last one left, or hold it for a person.

In the one transaction that raises the epoch, so that no crash parts the two, and durable.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from accounts import usage
from delivery import control, leases, ledger, reads
from delivery.model import RunStatus
from foundation.log import log_for
from storage import installation
from storage.database import Tx

log = log_for(__name__)

_ON_THEIR_WAY = (RunStatus.CLAIMED, RunStatus.RUNNING)


def recover(
    tx: Tx, *, epoch: int, same_boot: Sequence[int], retry_delay: timedelta, now: datetime
) -> None:
    """Settle the leases and intents of older epochs.

    same_boot: those of which nothing that was committed can be lost (see leases.take_over). Only the process that holds
    scheduler.lock calls this: the kernel frees that lock when its holder dies and never before, so no living holder's
    lease is touched.
    """
    # Each is counted as its content begins, in a commit that a machine's death can lose: what may have gone counts, or
    # an account's limit would let it through twice.
    lost = reads.leased_through(tx, before=epoch, but_of=same_boot)
    for account_id, messages in lost.items():
        usage.count(tx, account_id, messages, now)
    went = leases.take_over(tx, same_boot=same_boot, epoch=epoch, retry_delay=retry_delay, now=now)
    if went:
        log.warning("settled what the last leader left", **went)


def hold(tx: Tx, reason: str, *, spared: Collection[int]) -> None:
    """Hold every run that is on its way, but for those of the schedules that are spared. Paused ones wait already."""
    held = [
        run.id
        for run in reads.unfinished(tx)
        if run.schedule_id not in spared
        and ledger.set_status(tx, run.id, _ON_THEIR_WAY, to=RunStatus.HELD, reason=reason)
    ]
    if held:
        log.warning("runs held", run_ids=held, reason=reason)


def trust(tx: Tx, *, by: str, now: datetime) -> list[int]:
    """Say that this directory is the one that goes on; return the runs that were held and go on now.

    Slots that were held keep their question. Raises Conflict when it was not in doubt.
    """
    installation.trust(tx)
    held = [run.id for run in reads.unfinished(tx) if run.status is RunStatus.HELD]
    log.warning("a person said that this data directory goes on", by=by, run_ids=held)
    for run_id in held:
        control.resume(tx, run_id, now, retry_refused=False, by=by)
    return held
