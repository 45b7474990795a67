"""Two processes on one data directory: one leads, the other stands by and takes over."""

from pathlib import Path

from scheduler.thread import step
from storage.aliveness import newest_leader
from tests.house import a_house


def test_one_leads_and_the_other_takes_over_when_it_is_gone(tmp_path: Path) -> None:
    with a_house(tmp_path) as first, a_house(tmp_path) as second:
        step(first.scheduler, first.leader)
        step(second.scheduler, second.leader)
        assert (first.leader.epoch, second.leader.epoch) == (1, None)

        first.leader.step_down()
        step(second.scheduler, second.leader)

        assert (first.leader.epoch, second.leader.epoch) == (None, 2)


def test_a_leader_whose_epoch_is_old_steps_down(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        step(house.scheduler, house.leader)
        from storage.aliveness import raise_epoch

        with house.database.write(durable=True) as tx:
            raise_epoch(tx, boot_id=None, machine_id=None, pid=0, now=house.clock.now())
        house.scheduler.agenda.stamp = None

        step(house.scheduler, house.leader)

        assert house.leader.epoch is None


def test_a_tick_and_a_clean_stop_are_written_down(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        step(house.scheduler, house.leader)
        with house.database.read() as tx:
            leading = newest_leader(tx)
        house.leader.step_down()
        with house.database.read() as tx:
            stopped = newest_leader(tx)

    assert leading is not None
    assert leading.last_tick is not None
    assert leading.stopped_cleanly is False
    assert stopped is not None
    assert stopped.stopped_cleanly is True


def test_a_tick_that_fails_does_not_end_the_scheduler(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        step(house.scheduler, house.leader)
        (tmp_path / "data" / "scheduled_campaigns.json").write_text("{ not json")

        step(house.scheduler, house.leader)

        assert house.leader.epoch == 1
