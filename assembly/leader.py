"""What leading means: raise the epoch, settle what the last leader left, send; and letting go of all that."""

import os
from datetime import datetime, timedelta

from delivery import recovery
from delivery.dispatcher import Dispatcher
from foundation.errors import SendonceError
from foundation.log import log_for
from scheduler.model import CatchUp
from scheduler.steady_clock import SteadyClock
from scheduler.store import ScheduleStore
from storage import aliveness, installation, rollback
from storage.database import Database, Tx
from storage.rollback import Doubt, Evidence
from storage.witness import Witness

log = log_for(__name__)

_BEAT_EVERY = timedelta(seconds=1)


class Leader:
    """This process's leadership. Only the scheduler's thread changes it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: SteadyClock,
        store: ScheduleStore,
        dispatcher: Dispatcher,
        witness: Witness,
        retry_delay: timedelta,
        window: timedelta,
    ) -> None:
        self._database = database
        self._clock = clock
        self._store = store
        self._dispatcher = dispatcher
        self._witness = witness
        self._retry_delay = retry_delay
        self._window = window
        self._epoch: int | None = None
        self._next_beat = timedelta(0)
        self._copy: str | None = None

    @property
    def epoch(self) -> int | None:
        return self._epoch

    @property
    def copy_that_leads(self) -> str | None:
        """The directory of a copy of this one that a process on this machine leads; None where there is none."""
        return self._copy

    def take_over(self) -> bool:
        """Lead, where the store's leadership is held already; return False when a copy of the directory is led here."""
        copy = self._witness.hold()
        if copy is not None:
            if self._copy != copy:
                log.error("a copy of this data directory is led on this machine", directory=copy)
            self._copy = copy
            return False
        self._copy = None
        boot_id, now = aliveness.boot_id(), self._clock.now()
        spared = {s.id for s in self._store.read() if s.catch_up is CatchUp.SEND}
        with self._database.write(durable=True) as tx:
            evidence = self._evidence(tx, boot_id)
            doubt = rollback.doubt_about(evidence)
            known = rollback.highest(evidence)
            aliveness.go_beyond(tx, known)
            epoch = aliveness.raise_epoch(
                tx,
                boot_id=boot_id,
                machine_id=evidence.machine_id,
                pid=os.getpid(),
                now=now,
                elapsed=self._clock.elapsed(),
                beyond=known.starts,
            )
            if doubt is not None:
                self._hold(tx, doubt, spared if doubt.spares_send else set(), now)
            recovery.recover(
                tx,
                epoch=epoch,
                same_boot=[] if doubt else _trusted_epochs(tx, evidence, epoch),
                retry_delay=self._retry_delay,
                now=now,
            )
            counts = aliveness.counts(tx)
        self._witness.write(counts, boot_id=boot_id)
        self._dispatcher.start(epoch)
        self._epoch = epoch
        self._next_beat = timedelta(0)
        log.info("this process leads", epoch=epoch)
        return True

    def _evidence(self, tx: Tx, boot_id: str | None) -> Evidence:
        outer, inner = self._witness.testimonies()
        return Evidence(
            ledger=aliveness.counts(tx),
            last=aliveness.newest_leader(tx),
            outer=outer,
            inner=inner,
            backed_up_at=installation.read(tx).backed_up_at,
            boot_id=boot_id,
            machine_id=aliveness.machine_id(),
            now=self._clock.unchecked(),
            window=self._window,
        )

    def _hold(self, tx: Tx, doubt: Doubt, spared: set[int], now: datetime) -> None:
        log.error("this data directory is in doubt, a person has to say go on", reason=doubt.reason)
        installation.doubt(tx, doubt.reason, spares_send=doubt.spares_send, now=now)
        # Before the leases are settled: what the ledger does not know of may have been sent.
        recovery.hold(tx, doubt.reason, spared=spared)

    def step_down(self) -> None:
        """Stop sending, mark the clean stop, and let another process lead, whatever goes wrong on the way."""
        epoch, self._epoch = self._epoch, None
        try:
            if epoch is not None:
                self._dispatcher.stop()
                with self._database.write(durable=True) as tx:
                    aliveness.mark_clean_stop(
                        tx, epoch, now=self._clock.now(), elapsed=self._clock.elapsed()
                    )
                log.info("this process does not lead any more", epoch=epoch)
        except SendonceError as error:
            log.error("the clean stop could not be marked", reason=error.message)
        finally:
            self._witness.release()
            self._store.resign()

    def look_after_sending(self) -> None:
        """Step down where sending has ended: the next step leads anew, and recovers."""
        if self._epoch is not None and not self._dispatcher.is_alive:
            log.error("sending has ended, this process lets go of the leadership")
            self.step_down()

    def ticked(self) -> None:
        """Write, once a second, when the last tick was: readiness looks at it in every process."""
        elapsed = self._clock.elapsed()
        if self._epoch is None or elapsed < self._next_beat:
            return
        self._next_beat = elapsed + _BEAT_EVERY
        now = self._clock.now()
        with self._database.write(durable=False) as tx:
            aliveness.note_tick(tx, self._epoch, now)


def _trusted_epochs(tx: Tx, evidence: Evidence, epoch: int) -> list[int]:
    """Return the epochs whose every commit is here: they ran on this boot, and no disk had failed them."""
    if any(t.was_hurt for t in (evidence.outer, evidence.inner) if t):
        log.warning("the disk failed the last leader: what it had leased is in doubt")
        return []
    return aliveness.epochs_of_boot(tx, evidence.boot_id, before=epoch)
