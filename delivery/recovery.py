"""What a restart does, before the new leader leases anything: settle what the last one left, by the boot it ran on."""

from datetime import datetime, timedelta

from delivery import leases, ledger
from foundation.log import log_for
from storage import aliveness
from storage.database import Database

log = log_for(__name__)


def recover(
    database: Database, *, epoch: int, boot_id: str | None, retry_delay: timedelta, now: datetime
) -> None:
    """Settle the leases and intents of older epochs, durably.

    Only the process that holds scheduler.lock calls this, after it raised the epoch: the kernel frees that lock when
    its holder dies and never before, so no living holder's lease is touched.
    """
    with database.write(durable=True) as tx:
        ledger.must_lead(tx, epoch)
        same_boot = aliveness.epochs_of_boot(tx, boot_id, before=epoch)
        went = leases.take_over(
            tx, same_boot=same_boot, epoch=epoch, retry_delay=retry_delay, now=now
        )
    if went:
        log.warning("settled what the last leader left", **went)
