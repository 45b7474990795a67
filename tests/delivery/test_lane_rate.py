"""What of an account's work is left for others while its rate is in the way."""

from pathlib import Path
from typing import Any

from delivery.lane import Connection, Lane
from delivery.outcome import NotBegun
from tests.delivery.test_lane import Desk, at_a_desk, turns


def test_what_an_account_may_not_send_soon_stays_in_the_ledger(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        rooms = [desk.lane.room(desk.account)]
        desk.behaves = paced
        desk.give(1)
        await turns()
        rooms.append(desk.lane.room(desk.account))
        desk.books.later(seconds=9)
        rooms.append(desk.lane.room(desk.account))
        desk.books.later(seconds=0.5)
        rooms.append(desk.lane.room(desk.account))

        assert rooms == [1, 0, 0, 1]

    at_a_desk(tmp_path, test, rate_per_second=0.1)


async def paced(lane: Lane, connection: Connection) -> None:
    """Let each go as the rate says, and say that nothing came of it."""
    while (given := await lane.next(connection)) is not None:
        work: Any = given
        await lane.wait_for_rate(connection)
        await lane.record(connection, work, NotBegun())


def test_nobody_looks_ahead_to_what_the_rate_does_not_let_go_yet(tmp_path: Path) -> None:
    async def test(desk: Desk) -> None:
        ahead: list[bool] = []

        async def looking_ahead(lane: Lane, connection: Connection) -> None:
            work: Any = await lane.next(connection)
            await lane.wait_for_rate(connection)
            for seconds in (0, 0.4, 0.2, 0.2):
                desk.books.later(seconds=seconds)
                found = lane.look_ahead(connection)
                ahead.append(found is not None)
                if found is not None:
                    lane.give_back(found)
            await lane.record(connection, work, NotBegun())

        desk.behaves = looking_ahead
        desk.give(5)
        await turns()

        # A burst of two, and then one each half a second.
        assert ahead == [True, False, True, False]

    at_a_desk(tmp_path, test, rate_per_second=2, max_connections=1)
