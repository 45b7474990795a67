"""One account's lane: how much it wants, how many connections it opens, and that nothing in it is ever forgotten."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from accounts.model import Account, State
from campaigns.render import compile_content
from delivery.compose import Composer, RunContent
from delivery.group_commit import GroupCommit
from delivery.lane import LARGEST_LEASE, Connection, Lane, Office, Pace, Work
from delivery.outcome import NotBegun, Patience
from delivery.sender import send_all
from mail.reply import Answer, Broken, Reply, Stage
from mail.transport import Transport
from tests.delivery.builders import (
    KEY,
    RETRY_DELAY,
    SLOT,
    Books,
    a_reply,
    a_snapshot,
    books,
)

Behaviour = Callable[[Lane, Connection], Coroutine[Any, Any, None]]


class Desk:
    """A lane over real books, whose connections do what the test lets them do."""

    def __init__(self, b: Books, **account: Any) -> None:
        self.books = b
        self.account = b.account(**account)
        self.run_id = b.running(people=60, account_ids=(self.account.id,))
        self.woken = 0
        self.behaves: Behaviour = self.greeted_and_busy
        self.answers: Answer = a_reply(250)
        self.let_go = asyncio.Event()
        self.commits = GroupCommit(
            b.database,
            b.clock,
            epoch=b.epoch,
            loop=asyncio.get_running_loop(),
            on_commit=lambda: None,
        )
        self.office = Office(
            clock=b.clock,
            commits=self.commits,
            composer=Composer(key=KEY, public_url="https://news.example.com"),
            connect=self.connect,
            send_all=lambda lane, connection: self.behaves(lane, connection),
            patience=Patience(retry_delay=RETRY_DELAY, give_up_after=RETRY_DELAY),
            wake=self._wake,
            stopping=asyncio.Event(),
        )
        self.lane = Lane(self.account, self.office)

    def give(self, deliveries: int) -> None:
        """Lease so many for the lane and hand them over, as the leasing thread does."""
        items = self.books.lease(self.run_id, self.account, limit=deliveries)
        snapshot = a_snapshot()
        content = RunContent(snapshot, compile_content(snapshot), SLOT)
        self.lane.promise(len(items))
        self.lane.take(self.account, [Work(item, content) for item in items])

    async def connect(self, account: Account) -> Transport:
        return Answering(self.answers)

    async def greeted_and_busy(self, lane: Lane, connection: Connection) -> None:
        """Take one delivery, be greeted, and hold it until the test lets go."""
        work = await lane.next(connection)
        lane.holds(connection, Greeted())
        await self.let_go.wait()
        while work is not None:
            await lane.record(connection, work, NotBegun())
            work = await lane.next(connection)

    async def not_greeted(self, lane: Lane, connection: Connection) -> None:
        work = await lane.next(connection)
        await self.let_go.wait()
        assert work is not None
        await lane.record(connection, work, NotBegun())

    async def end(self) -> None:
        """Let everything come to its end."""
        self.office.stopping.set()
        self.lane.close()
        self.let_go.set()
        while self.lane.tasks:
            await asyncio.sleep(0)
        await self.commits.drained()

    def _wake(self) -> None:
        self.woken += 1


class Answering:
    """A transport on which one message is answered as the test has it."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.usable = True

    async def send(self, message: Any, before_content: Any, look_ahead: Any) -> Answer:
        self.usable = False
        return self.answer

    async def close(self) -> None:
        self.usable = False

    def abort(self) -> None:
        self.usable = False


class Greeted:
    """A transport that is always busy with a message."""

    usable = False

    async def send(self, message: Any, before_content: Any, look_ahead: Any) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        return

    def abort(self) -> None:
        return


def at_a_desk(
    folder: Path, test: Callable[[Desk], Coroutine[Any, Any, None]], **account: Any
) -> None:
    """Run the test at a desk; whatever it did, nothing is left leased in the end."""

    async def main(b: Books) -> None:
        desk = Desk(b, **account)
        await test(desk)
        await desk.end()
        assert desk.lane.outstanding == 0
        assert b.statuses(desk.run_id) == {"queued": 60}

    with books(folder) as b:
        asyncio.run(main(b))


async def turns(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def test_one_connection_is_tried_first(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.behaves = desk.not_greeted
        desk.give(8)
        await turns()

        assert len(desk.lane.tasks) == 1

    at_a_desk(tmp_path, test, max_connections=8)


def test_more_are_opened_when_the_server_has_taken_it(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.give(20)
        await turns()

        assert len(desk.lane.tasks) == 6

    at_a_desk(tmp_path, test, max_connections=6)


def test_no_more_are_opened_than_there_is_work(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.give(3)
        await turns()

        assert len(desk.lane.tasks) == 3

    at_a_desk(tmp_path, test, max_connections=8)


def test_an_idle_connection_takes_the_work_before_another_is_opened(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.let_go.set()
        desk.give(1)
        await turns()
        desk.give(1)
        await turns()

        assert len(desk.lane.tasks) == 1
        assert desk.lane.outstanding == 0

    at_a_desk(tmp_path, test, max_connections=8)


def test_work_that_comes_while_the_only_connection_takes_leave_is_taken_up(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        leaving = asyncio.Event()

        async def take_leave(lane: Lane, connection: Connection) -> None:
            work = await lane.next(connection)
            assert work is not None
            await lane.record(connection, work, NotBegun())
            await leaving.wait()
            desk.behaves = desk.greeted_and_busy

        desk.behaves = take_leave
        desk.give(1)
        await turns()
        desk.give(1)
        await turns()
        assert desk.lane.outstanding == 1

        leaving.set()
        desk.let_go.set()
        await turns(40)

        assert desk.lane.outstanding == 0

    at_a_desk(tmp_path, test, max_connections=1)


def test_a_connection_that_ends_in_a_bug_gives_everything_back(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        async def broken(lane: Lane, connection: Connection) -> None:
            raise ZeroDivisionError

        desk.behaves = broken
        desk.give(5)
        await turns()

        assert desk.lane.outstanding == 0
        assert desk.lane.tasks == []
        assert desk.lane.room(desk.account) == 0  # not at once again

    at_a_desk(tmp_path, test)


def test_what_was_promised_counts_before_it_is_taken(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        before = desk.lane.room(desk.account)
        desk.lane.promise(before)

        assert (before, desk.lane.room(desk.account), desk.lane.outstanding) == (4, 0, 4)
        desk.lane._promised -= before

    at_a_desk(tmp_path, test, max_connections=4)


def test_a_lane_asks_for_more_when_half_of_it_has_begun(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        wanted = desk.lane.room(desk.account)
        desk.give(wanted)
        rooms = [desk.lane.room(desk.account)]
        await turns()
        rooms.append(desk.lane.room(desk.account))

        assert rooms == [0, 4]
        assert desk.woken > 0

    at_a_desk(tmp_path, test, max_connections=4)


@pytest.mark.parametrize(
    ("rate", "pace", "wanted"),
    [
        (None, 0.0, 4),
        (None, 100.0, 50),
        (None, 1e6, LARGEST_LEASE),
        (0.1, 0.0, 1),
        (5, 1e6, 2),
        (40, 1e6, 20),
    ],
)
def test_a_lease_is_half_a_second_of_work(
    tmp_path: Path, rate: float | None, pace: float, wanted: int
) -> None:
    async def test(desk: Desk) -> None:
        desk.lane._pace = Pace(pace)

        assert desk.lane.room(desk.account) == wanted

    at_a_desk(tmp_path, test, max_connections=4, rate_per_second=rate)


def test_an_account_that_fails_is_tried_with_one_message(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        failing = replace(desk.account, state=State.FAILING)
        rooms = [desk.lane.room(failing)]
        desk.give(1)
        rooms.append(desk.lane.room(failing))

        assert rooms == [1, 0]

    at_a_desk(tmp_path, test)


class TestFaults:
    @pytest.mark.parametrize(
        "answer",
        [
            Broken(stage=Stage.CONNECT, detail="refused"),
            a_reply(421, "busy", Stage.BANNER),
            a_reply(454, "later", Stage.AUTH),
            a_reply(550, "not you", Stage.MAIL),
        ],
    )
    def test_the_account_rests_and_everything_is_given_back(
        self, tmp_path: Path, answer: Reply | Broken
    ) -> None:
        async def test(desk: Desk) -> None:
            desk.behaves = desk.not_greeted
            desk.give(5)
            await turns()

            desk.lane.fault(answer, pause=False)
            await turns()

            account = now(desk)
            assert account.state == State.FAILING
            assert account.rest_until is not None
            assert (account.rest_until - desk.books.now).total_seconds() == 1
            assert desk.lane.outstanding == 1  # the one in hand
            assert desk.lane.room(account) == 0

        at_a_desk(tmp_path, test, max_connections=8)

    def test_a_rest_is_twice_as_long_each_time_until_the_server_is_well(
        self, tmp_path: Path
    ) -> None:
        async def test(desk: Desk) -> None:
            rests = []
            for well in (False, False, True, False):
                desk.lane.fault(Broken(stage=Stage.CONNECT, detail="refused"), pause=False)
                await turns()
                rest_until = now(desk).rest_until
                assert rest_until is not None
                rests.append((rest_until - desk.books.now).total_seconds())
                desk.books.later(minutes=1)
                if well:
                    desk.lane.well()

            assert rests == [1, 2, 4, 1]

        at_a_desk(tmp_path, test)

    def test_a_connection_that_breaks_does_not_make_the_account_well(self, tmp_path: Path) -> None:
        async def test(desk: Desk) -> None:
            rests = []
            for breaks_at in (Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.MAIL):
                desk.behaves = send_all
                desk.answers = Broken(stage=breaks_at, detail="gone")
                desk.give(1)
                await turns(40)
                rests.append(now(desk).rest_until)
                assert now(desk).state == State.FAILING
                desk.books.later(minutes=1)

            first, at_rcpt, at_data, second = rests
            assert first == at_rcpt == at_data
            assert second is not None
            assert (second - desk.books.now).total_seconds() == 2 - 60

        at_a_desk(tmp_path, test)

    def test_many_connections_that_fail_at_once_are_one_fault(self, tmp_path: Path) -> None:
        async def test(desk: Desk) -> None:
            for _ in range(5):
                desk.lane.fault(a_reply(421, "busy", Stage.MAIL), pause=False)
            await turns()

            rest_until = now(desk).rest_until
            assert rest_until is not None
            assert (rest_until - desk.books.now).total_seconds() == 1

        at_a_desk(tmp_path, test)

    def test_a_lease_made_before_the_fault_was_known_is_given_back(self, tmp_path: Path) -> None:
        async def test(desk: Desk) -> None:
            desk.lane.fault(Broken(stage=Stage.CONNECT, detail="refused"), pause=False)
            desk.give(5)

            assert desk.lane.outstanding == 0
            assert desk.lane.tasks == []

        at_a_desk(tmp_path, test)

    def test_a_refused_password_pauses_the_account_even_while_it_rests(
        self, tmp_path: Path
    ) -> None:
        async def test(desk: Desk) -> None:
            desk.lane.fault(Broken(stage=Stage.CONNECT, detail="refused"), pause=False)
            desk.lane.fault(a_reply(535, "wrong", Stage.AUTH), pause=True)
            await turns()

            assert (now(desk).state, now(desk).state_reason) == ("paused", "auth: 535 wrong")

        at_a_desk(tmp_path, test)

    def test_a_server_that_takes_no_more_connections_is_not_at_fault(self, tmp_path: Path) -> None:
        async def test(desk: Desk) -> None:
            desk.give(2)
            await turns()
            desk.lane.fault(a_reply(421, "too many", Stage.BANNER), pause=False)
            desk.give(20)
            await turns()

            assert now(desk).state == State.OK
            assert len(desk.lane.tasks) == 2

        at_a_desk(tmp_path, test, max_connections=8)


def test_only_what_belongs_to_runs_on_their_way_is_kept(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.behaves = desk.not_greeted
        desk.give(5)
        await turns()

        desk.lane.keep_only({desk.run_id})
        kept = desk.lane.outstanding
        desk.lane.keep_only({99})

        assert (kept, desk.lane.outstanding) == (5, 1)

    at_a_desk(tmp_path, test)


def test_a_lane_that_is_closed_takes_nothing_any_more(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.office.stopping.set()
        desk.lane.close()
        desk.give(5)

        assert desk.lane.outstanding == 0
        assert desk.lane.tasks == []

    at_a_desk(tmp_path, test)


def test_connections_that_an_edit_has_made_too_many_or_out_of_date_end(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        desk.let_go.set()
        desk.give(4)
        await turns(40)
        before = set(desk.lane.tasks)

        desk.account = replace(desk.account, version=2)
        desk.give(1)
        await turns(40)

        assert before
        assert not before & set(desk.lane.tasks)
        assert desk.lane.outstanding == 0

    at_a_desk(tmp_path, test, max_connections=4)


def now(desk: Desk) -> Account:
    return desk.books.account_by_id(desk.account.id)
