"""A house with a campaign in it, led by the test, whose schedules tick when the test says so."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import text

from accounts import store as account_store
from assembly import Sendonce
from audience import store as audience_store
from audience.model import NewRecipient
from campaigns import store as campaign_store
from campaigns.model import InDoubtRule
from campaigns.store import CampaignFields
from delivery import ledger, reads
from delivery.model import Run, SlotRow
from scheduler import desk
from scheduler.fields import ScheduleFields
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType
from scheduler.tick import check_and_execute_scheduled_campaigns
from storage.aliveness import raise_epoch
from tests.fake_clock import FakeClock
from tests.house import a_house

BERLIN = ZoneInfo("Europe/Berlin")


class Office:
    """What a test does with schedules, in its words. The dispatcher does not run: runs end when the test says so."""

    def __init__(
        self, house: Sendonce, clock: FakeClock, *, campaign_id: int | None = None
    ) -> None:
        self.house = house
        self.clock = clock
        self.campaign_id = campaign_id or _a_campaign(house)

    def lead(self) -> None:
        """Let this process lead, without a dispatcher."""
        assert self.house.store.lead()
        with self.house.database.write(durable=True) as tx:
            epoch = raise_epoch(
                tx, boot_id="boot", machine_id="machine", pid=1, now=self.clock.now()
            )
        self.house.leader._epoch = epoch

    def tick(self) -> list[Run]:
        made = check_and_execute_scheduled_campaigns(self.house.scheduler)
        with self.house.database.read() as tx:
            return [reads.run(tx, run_id) for run_id in made]

    def schedule(self, local: str, zone: str = "Europe/Berlin", **changes: Any) -> Schedule:
        """Make a schedule through the desk: daily at the local time unless said otherwise."""
        fields: dict[str, Any] = {
            "campaign_id": self.campaign_id,
            "schedule_time": datetime.fromisoformat(local),
            "schedule_type": ScheduleType.DAILY,
            "repeat_interval": None,
            "rrule": None,
            "timezone": zone,
            "enabled": True,
            "ends_at": None,
            "max_runs": None,
            "catch_up": CatchUp.HOLD,
            "overlap": Overlap.WAIT,
            "note": None,
        }
        return desk.create(self.house.scheduler, ScheduleFields(**(fields | changes)))

    def edit(self, schedule: Schedule, *, again_today: bool = False, **changes: Any) -> Schedule:
        return desk.edit(
            self.house.scheduler,
            schedule.id,
            changes,
            expected_version=None,
            again_today=again_today,
        )

    def at(self, local: str) -> None:
        """Set both clocks on to a wall-clock time in Berlin."""
        moment = datetime.fromisoformat(local).replace(tzinfo=BERLIN)
        self.clock.advance(seconds=(moment - self.clock.now()).total_seconds())

    def runs(self, schedule: Schedule) -> list[Run]:
        """Return the schedule's runs, oldest first."""
        with self.house.database.read() as tx:
            found = reads.list_runs(
                tx, schedule_id=schedule.id, status=None, before=None, limit=500
            )
        return found[::-1]

    def decided(self, schedule: Schedule) -> list[tuple[str, str, str | None]]:
        """Return the decided slots, oldest first: local time, decision, reason."""
        return [(r.local[:16], str(r.decision), r.reason) for r in self.slot_rows(schedule)]

    def slot_rows(self, schedule: Schedule) -> list[SlotRow]:
        with self.house.database.read() as tx:
            return reads.past_slots(tx, schedule.id, before=None, limit=500)[::-1]

    def end(self, run: Run) -> None:
        """Let a run have come to its end, everybody written to."""
        now = self.clock.now()
        with self.house.database.write(durable=True) as tx:
            while not ledger.materialise(tx, run.id, rows=1000, now=now):
                pass
            ledger.start(tx, run.id, now)
            ledger.skip_unsent(tx, run.id, reason="for the test", now=now)
            assert ledger.finish(tx, run.id, now)

    def waits_for(self, run: Run) -> int | None:
        """Return the run that this one waits for."""
        with self.house.database.read() as tx:
            return tx.execute(text(f"SELECT waits_for FROM runs WHERE id = {run.id}")).scalar_one()

    def get(self, schedule: Schedule) -> Schedule:
        return desk.get(self.house.scheduler, schedule.id)

    def entry(self, schedule: Schedule) -> dict[str, Any]:
        """Return the schedule's entry as it stands in the file."""
        return next(e for e in self.entries() if e["id"] == schedule.id)

    def entries(self) -> list[dict[str, Any]]:
        return json.loads(self.file.read_text())

    def write_entries(self, entries: list[dict[str, Any]]) -> None:
        """Write the file as a person's editor does."""
        self.file.write_text(json.dumps(entries, indent=4))

    @property
    def file(self) -> Path:
        return self.house.settings.data_dir / "scheduled_campaigns.json"


@contextmanager
def an_office(
    folder: Path, now: str = "2026-03-02T08:00", *, leads: bool = True, **settings: str
) -> Iterator[Office]:
    """Give an office whose clock stands at a wall-clock time in Berlin."""
    clock = FakeClock(
        datetime.fromisoformat(now).replace(tzinfo=BERLIN).astimezone(ZoneInfo("UTC"))
    )
    with a_house(folder, clock=clock, **settings) as house:
        office = Office(house, clock)
        if leads:
            office.lead()
            office.tick()
        yield office
        house.leader._epoch = None
        house.store.resign()


def _a_campaign(house: Sendonce) -> int:
    now = house.clock.now()
    with house.database.write(durable=True) as tx:
        account = account_store.sandbox(tx, house.key)
        audience = audience_store.create_audience(tx, "people", now)
        people = [
            NewRecipient(row=i, email=f"p{i}@example.com", name=f"P {i}", attributes={})
            for i in (1, 2, 3)
        ]
        audience_store.add_recipients(tx, audience.id, people, now)
        campaign = campaign_store.create(
            tx,
            CampaignFields(
                name="News",
                subject="Hello",
                html="<p>Hello {{ name }}</p>",
                text=None,
                audience_ids=(audience.id,),
                account_ids=(account.id,),
                from_name=None,
                reply_to=None,
                in_doubt=InDoubtRule.HOLD,
            ),
            now,
        )
    return campaign.id
