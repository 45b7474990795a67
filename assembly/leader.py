"""What leading means: raise the epoch, settle what the last leader left, send; and letting go of all that."""

import os
from datetime import timedelta

from delivery.dispatcher import Dispatcher
from delivery.recovery import recover
from foundation.clock import Clock
from foundation.errors import SendonceError
from foundation.log import log_for
from scheduler.store import ScheduleStore
from storage import aliveness
from storage.database import Database

log = log_for(__name__)

_BEAT_EVERY = timedelta(seconds=1)


class Leader:
    """This process's leadership. Only the scheduler's thread changes it."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        store: ScheduleStore,
        dispatcher: Dispatcher,
        retry_delay: timedelta,
    ) -> None:
        self._database = database
        self._clock = clock
        self._store = store
        self._dispatcher = dispatcher
        self._retry_delay = retry_delay
        self._epoch: int | None = None
        self._next_beat = timedelta(0)

    @property
    def epoch(self) -> int | None:
        return self._epoch

    def take_over(self) -> None:
        """Lead: the store's leadership is held already."""
        boot_id, now = aliveness.boot_id(), self._clock.now()
        with self._database.write(durable=True) as tx:
            epoch = aliveness.raise_epoch(
                tx, boot_id=boot_id, machine_id=aliveness.machine_id(), pid=os.getpid(), now=now
            )
        recover(
            self._database, epoch=epoch, boot_id=boot_id, retry_delay=self._retry_delay, now=now
        )
        self._dispatcher.start(epoch)
        self._epoch = epoch
        self._next_beat = timedelta(0)
        log.info("this process leads", epoch=epoch)

    def step_down(self) -> None:
        """Stop sending, mark the clean stop, and let another process lead, whatever goes wrong on the way."""
        epoch, self._epoch = self._epoch, None
        try:
            if epoch is not None:
                self._dispatcher.stop()
                with self._database.write(durable=True) as tx:
                    aliveness.mark_clean_stop(tx, epoch, self._clock.now())
                log.info("this process does not lead any more", epoch=epoch)
        except SendonceError as error:
            log.error("the clean stop could not be marked", reason=error.message)
        finally:
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
            aliveness.beat(tx, self._epoch, now=now, last_tick=now)
