import os
from pathlib import Path

from audience import csv_import, store
from audience.model import ImportStatus
from storage import aliveness
from tests.house import a_house


def test_an_import_that_died_with_its_process_is_failed_from_the_start_on(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        now = house.clock.now()
        with house.database.write(durable=False) as tx:
            audience = store.create_audience(tx, "Readers", now)
            died, lives = (
                csv_import.start_import(
                    tx, audience.id, dry_run=False, boot_id=aliveness.boot_id(), pid=pid, now=now
                )
                for pid in (os.getpid(), os.getppid())
            )

        house.start()

        with house.database.read() as tx:
            found = [csv_import.get_import(tx, begun.id).status for begun in (died, lives)]
        house.thread.stop()
    assert found == [ImportStatus.FAILED, ImportStatus.RUNNING]
