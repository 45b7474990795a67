"""What happens in one history: people, processes and the machine act, as chance has it; then all may run to its end."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from typing import Any

from accounts import store as account_store
from accounts.model import AccountFields
from assembly import Sendonce
from audience import store as audience_store
from audience.model import NewRecipient, SuppressionReason
from audience.suppressions import add as suppress
from campaigns import store as campaign_store
from campaigns.model import InDoubtRule
from campaigns.store import CampaignFields
from delivery import control, doubts, missing, reads, recovery
from delivery.decisions import Action
from foundation.errors import Conflict, SendonceError
from scheduler import desk
from scheduler.fields import ScheduleFields
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType
from storage import installation
from storage.aliveness import current_epoch
from tests.simulation.process import Process
from tests.simulation.world import World

A_DAY = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
A_GAP_DAY = datetime(2026, 3, 29, 0, 45, tzinfo=UTC)  # in a quarter of an hour Berlin has no 02:00
ADA = "ada@example.com"
MISCHIEF = (0, 4, 10, 25)
DEATHS = (0, 60, 200)
_ENOUGH = 3_000
_ACTS = 25
_CALM = timedelta(minutes=2)

Person = Callable[[Sendonce], Any]


class History:
    """One history of a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = world.dice
        self._people = [f"p{n}@example.com" for n in range(self._between(1, 6))]
        world.promise.people = frozenset(self._people)
        self._acts: list[Callable[[], None]] = [
            self.a_little_happens,
            self.much_happens,
            self.time_passes,
            self.much_happens,
            self.time_passes,
            self.much_happens,
            self.somebody_acts,
            self.somebody_acts,
            self.a_process_comes,
            self.a_process_goes,
            self.a_process_freezes,
            self.the_machine_acts,
            self.somebody_looks_after_doubts,
            self.the_directory_is_put_back,
        ]
        if world.odds(6):
            world.clock.begin(A_GAP_DAY)
        self._today = world.clock.now().date()

    def run(self) -> None:
        """Let it happen; raises Broken where the promise is broken."""
        self._begin()
        for _ in range(_ACTS):
            if not self.world.processes:
                self.world.start()
            self._one_of(self._acts)()
            if self.world.odds(30):
                break
        self.let_all_end()

    # the beginning

    def _begin(self) -> None:
        process = self.world.start()
        connections = [self._between(1, 3) for _ in range(self._between(1, 2))]
        self.world.promise.most_connections = sum(connections)
        with process.house.database.write(durable=True) as tx:
            accounts = [self._account(process.house, tx, n, c) for n, c in enumerate(connections)]
            audience = audience_store.create_audience(tx, "people", process.house.clock.now())
            rows = [
                NewRecipient(row=n, email=email, name="", attributes={})
                for n, email in enumerate(self._people)
            ]
            audience_store.add_recipients(tx, audience.id, rows, process.house.clock.now())
            campaign = campaign_store.create(
                tx, self._campaign(audience.id, accounts), process.house.clock.now()
            )
        for _ in range(self._between(1, 2)):
            desk.create(process.house.scheduler, self._schedule(campaign.id))
        self.world.be_nasty(
            mischief_every=self._one_of(MISCHIEF), deaths_within=self._one_of(DEATHS)
        )
        process.dies_after = self._between(0, self.world.deaths_within)
        # Now the first slot has waited for the buffer.
        self.world.sleep(timedelta(seconds=95))

    def _account(self, house: Sendonce, tx: Any, number: int, connections: int) -> int:
        fields = AccountFields(
            name=f"account {number}",
            host="127.0.0.1",
            port=25,
            from_email="news@sendonce.test",
            max_connections=connections,
        )
        return account_store.create(tx, fields, key=house.key, now=house.clock.now()).id

    def _campaign(self, audience_id: int, account_ids: list[int]) -> CampaignFields:
        is_long = self.world.odds(12)
        return CampaignFields(
            name="News",
            subject="Hello",
            html="",
            text="Hello\n" * (12_000 if is_long else 1),
            audience_ids=(audience_id,),
            account_ids=tuple(account_ids),
            from_name=None,
            reply_to=None,
            in_doubt=self._one_of([InDoubtRule.HOLD, InDoubtRule.RESEND]),
        )

    def _schedule(self, campaign_id: int) -> ScheduleFields:
        kind, minutes, rule = self._one_of(
            [
                (ScheduleType.HOURLY, None, None),
                (ScheduleType.DAILY, None, None),
                (ScheduleType.CUSTOM, 7, None),
                (ScheduleType.ONCE, None, None),
                (ScheduleType.RRULE, None, "FREQ=DAILY;BYHOUR=2,3,9;BYMINUTE=30"),
            ]
        )
        return ScheduleFields(
            campaign_id=campaign_id,
            schedule_time=self._soon(1),
            schedule_type=kind,
            repeat_interval=minutes,
            rrule=rule,
            timezone="Europe/Berlin",
            enabled=True,
            ends_at=None,
            max_runs=None,
            catch_up=self._one_of([CatchUp.HOLD, CatchUp.SEND, CatchUp.SKIP]),
            overlap=self._one_of([Overlap.WAIT, Overlap.SKIP]),
            note=None,
        )

    def _soon(self, minutes: int) -> datetime:
        """Return the wall-clock time in Berlin so many minutes after the world's begin."""
        begin = time(9, 0) if self.world.clock.begins_at == A_DAY else time(2, 15)
        return datetime.combine(self._today, begin) + timedelta(minutes=minutes)

    # time, processes, the machine

    def a_little_happens(self) -> None:
        self.world.go_on(self._between(1, 12))

    def much_happens(self) -> None:
        self.world.go_on(self._between(10, 120))

    def time_passes(self) -> None:
        seconds = self._one_of([31, 61, 2, 5, 301, 700, 3500, 4000, 26 * 3600])
        self.world.sleep(timedelta(seconds=seconds))

    def a_process_comes(self) -> None:
        if len(self.world.processes) < 3:
            self.world.start()

    def a_process_goes(self) -> None:
        process = self._one_of(self.world.processes)
        if self.dice.randint(0, 1):
            self.world.kill(process)
        else:
            self.world.tell(process.name, "stops")
            process.is_frozen = False
            self.world.attempt(process.stop)

    def a_process_freezes(self) -> None:
        process = self._one_of(self.world.processes)
        process.is_frozen = not process.is_frozen
        self.world.tell(process.name, "freezes" if process.is_frozen else "thaws")

    def the_machine_acts(self) -> None:
        match self.dice.randint(0, 5):
            case 5:
                step = timedelta(seconds=self._one_of([30, -30, -90, 90, 7200, -7200, 26 * 3600]))
                self.world.tell("clock", f"steps by {step}")
                self.world.clock.step(step)
            case 0:
                self.world.disk.is_full = not self.world.disk.is_full
                self.world.tell("disk", "full" if self.world.disk.is_full else "free")
            case 1 | 2:
                self.world.cut_the_power()
            case 3:
                self._let_two_lead()
            case 4:
                self.world.be_nasty(
                    mischief_every=self._one_of(MISCHIEF), deaths_within=self._one_of(DEATHS)
                )

    def _let_two_lead(self) -> None:
        """Let the leader stand still, take its lock away, let another one lead, and let the first go on."""
        leaders = [process for process in self.world.processes if process.sends]
        self.world.tell("somebody", "removes both locks")
        for process in leaders:
            process.is_frozen = True
        (self.world.folder / "data" / "scheduler.lock").unlink(missing_ok=True)
        for lock in self.world.settings.state_dir.glob("*.lock"):
            lock.unlink()
        self.a_process_comes()
        self.world.go_on(self._between(10, 60))
        for process in leaders:
            process.is_frozen = False

    def the_directory_is_put_back(self) -> None:
        """Somebody makes a copy of the data directory, or stops everything and puts the last one back."""
        if self.world.has_copy and self.dice.randint(0, 1):
            self.world.put_back()
        else:
            self.world.copy()

    # people

    def somebody_acts(self) -> None:
        what: Person = self._one_of(
            [
                self.run_now,
                self.pause_run,
                self.resume_run,
                self.cancel_run,
                self.unsubscribe,
                self.pause_schedule,
                self.resume_schedule,
                self.skip_next,
                self.edit_schedule,
                self.missed,
                self.revive_accounts,
                self.accept_clock,
                self.trust,
            ]
        )
        self._ask(self._one_of(self.world.processes), what)

    def somebody_looks_after_doubts(self) -> None:
        ways: list[Person] = []
        if self.world.ask("SELECT 1 FROM deliveries WHERE status = 'in_doubt' LIMIT 1"):
            ways += [self.resolve, self.resolve]
        if self.world.ask("SELECT 1 FROM runs WHERE finished_at IS NOT NULL LIMIT 1"):
            ways += [self.send_missing]
        what: Person = self._one_of(ways or [self.run_now])
        self._ask(self._one_of(self.world.processes), what)

    def _ask(self, process: Process, what: Person) -> None:
        """Let somebody ask a process for something; it may say no, or die of it."""
        self.world.tell("somebody", f"{what.__name__} at {process.name}")
        process.is_frozen = False

        def asked() -> None:
            try:
                what(process.house)
            except SendonceError as error:
                self.world.tell(process.name, f"says no: {error}")

        self.world.attempt(asked)

    def _a_run(self, house: Sendonce) -> int:
        with house.database.read() as tx:
            runs = reads.unfinished(tx)
        if not runs:
            raise Conflict("there is no run")
        return self._one_of(runs).id

    def _a_schedule(self, house: Sendonce) -> Schedule:
        return self._one_of(house.store.read())

    def run_now(self, house: Sendonce) -> None:
        self.world.promise.somebody_said_go_on()
        run = desk.run_now(house.scheduler, self._a_schedule(house).id, request_key=None)
        self.world.promise.told_runs.add(run.id)

    def pause_run(self, house: Sendonce) -> None:
        run_id = self._a_run(house)
        with house.database.write(durable=True) as tx:
            control.pause(tx, run_id, house.clock.now(), by=ADA)
        self.world.promise.stopped.add(run_id)

    def resume_run(self, house: Sendonce) -> None:
        run_id = self._a_run(house)
        self.world.promise.may_go_on(run_id)
        with house.database.write(durable=True) as tx:
            control.resume(tx, run_id, house.clock.now(), retry_refused=True, by=ADA)

    def cancel_run(self, house: Sendonce) -> None:
        run_id = self._a_run(house)
        with house.database.write(durable=True) as tx:
            control.cancel(tx, run_id, house.clock.now(), by=ADA)
        self.world.promise.stopped.add(run_id)

    def unsubscribe(self, house: Sendonce) -> None:
        email = self._one_of(self._people)
        with house.database.write(durable=True) as tx:
            suppress(tx, email, SuppressionReason.UNSUBSCRIBED, house.clock.now())
        self.world.promise.suppressed.add(email)

    def pause_schedule(self, house: Sendonce) -> None:
        desk.pause(house.scheduler, self._a_schedule(house).id, note=None)

    def resume_schedule(self, house: Sendonce) -> None:
        desk.resume(house.scheduler, self._a_schedule(house).id, note=None)

    def skip_next(self, house: Sendonce) -> None:
        schedule = self._a_schedule(house)
        if schedule.next_run is not None:
            desk.skip_next(house.scheduler, schedule.id, slot=schedule.next_run)

    def edit_schedule(self, house: Sendonce) -> None:
        schedule = self._a_schedule(house)
        changes = self._one_of(
            [
                {"schedule_time": self._soon(1)},
                {"schedule_time": self._soon(4)},
                {"schedule_time": self._soon(-30)},
                {"schedule_type": ScheduleType.HOURLY, "repeat_interval": None, "rrule": None},
                {"schedule_type": ScheduleType.DAILY, "repeat_interval": None, "rrule": None},
                {"timezone": "UTC"},
                {"timezone": "Europe/Berlin"},
            ]
        )
        desk.edit(house.scheduler, schedule.id, changes, expected_version=None, again_today=False)

    def missed(self, house: Sendonce) -> None:
        action = self._one_of(["send", "skip"])
        self.world.promise.somebody_said_go_on()
        desk.missed(house.scheduler, self._a_schedule(house).id, action=action, through=None)

    def revive_accounts(self, house: Sendonce) -> None:
        with house.database.write(durable=True) as tx:
            for account in account_store.list_(tx, house.key, after=None, limit=9):
                account_store.revive(tx, account.id)

    def accept_clock(self, house: Sendonce) -> None:
        with house.database.write(durable=True) as tx:
            installation.accept_clock(tx)

    def trust(self, house: Sendonce) -> None:
        self.world.promise.somebody_said_go_on()
        with house.database.write(durable=True) as tx:
            recovery.trust(tx, by=ADA, now=house.clock.now())

    def resolve(self, house: Sendonce) -> None:
        found = self.world.ask("SELECT DISTINCT run_id FROM deliveries WHERE status = 'in_doubt'")
        run_id = self._one_of(found)[0]
        action = self._one_of([Action.RESEND, Action.RESEND, Action.MARK_SENT, Action.MARK_FAILED])
        if action is Action.RESEND:
            self.world.promise.may_go_on(run_id)
        now = house.clock.now()
        with house.database.write(durable=True) as tx:
            doubts.resolve(tx, run_id, action, emails=None, before=None, by=ADA, now=now)

    def send_missing(self, house: Sendonce) -> None:
        found = self.world.ask("SELECT id FROM runs WHERE finished_at IS NOT NULL")
        self.world.promise.somebody_said_go_on()
        run_id, now = self._one_of(found)[0], house.clock.now()
        with house.database.write(durable=True) as tx:
            missing.send_missing(tx, run_id, by=ADA, epoch=current_epoch(tx), now=now)

    # the end

    def let_all_end(self) -> None:
        """Let a mail server, a disk and people that mean well see everything to its end."""
        world = self.world
        world.tell("world", "is calm")
        world.is_calm = True
        world.disk.is_full = False
        for process in world.processes:
            process.is_frozen = False
        if not world.processes:
            world.start()
        since = world.clock.true
        for _ in range(_ENOUGH):
            if world.go_on_once():
                continue
            if not self._is_over():
                since = world.clock.true
                self._say_go_on()
            elif world.clock.true - since > _CALM:
                break
        world.promise.check_the_end(world.processes[0])

    def _is_over(self) -> bool:
        left = self.world.ask("SELECT count(*) FROM runs WHERE finished_at IS NULL OR NOT told")
        behind = self.world.ask("SELECT count(*) FROM watermarks WHERE behind")
        doubts = self.world.ask(
            "SELECT count(*) FROM installation"
            " WHERE clock_step_seconds IS NOT NULL OR doubted_reason IS NOT NULL"
        )
        leads = any(p.sends for p in self.world.processes)
        return leads and not any(found[0][0] for found in (left, behind, doubts))

    def _say_go_on(self) -> None:
        """What waits for a person gets its answer."""
        house = self.world.processes[0].house
        waiting = self.world.ask(
            "SELECT id FROM runs WHERE status IN ('paused', 'held') AND finished_at IS NULL"
        )
        for (run_id,) in waiting:
            self.world.promise.may_go_on(run_id)
            with house.database.write(durable=True) as tx:
                control.resume(tx, run_id, house.clock.now(), retry_refused=False, by=ADA)
        if self.world.ask("SELECT count(*) FROM installation WHERE doubted_reason IS NOT NULL")[0][
            0
        ]:
            self.trust(house)
        if self.world.ask("SELECT count(*) FROM installation WHERE clock_step_seconds IS NOT NULL")[
            0
        ][0]:
            self.accept_clock(house)

    # chance

    def _between(self, least: int, most: int) -> int:
        return self.dice.randint(least, most)

    def _one_of(self, choices: Any) -> Any:
        return choices[self.dice.randint(0, len(choices) - 1)]
