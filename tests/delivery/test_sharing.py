"""Who gets what an account has room for, where several runs share it."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from accounts import store as account_store
from accounts import usage
from accounts.model import Account
from delivery.leasing import Leasing
from tests.delivery.builders import Books, a_dispatcher, books


class Lanes:
    """Lanes that have room when the test says so, and send at once what they get."""

    def __init__(self) -> None:
        self.rooms: dict[int, int] = {}
        self.got: dict[int, list[int]] = {}

    def lane(self, account: Account) -> Any:
        return _Lane(self, account.id)

    @property
    def lanes(self) -> Sequence[Any]:
        return ()

    unsynced_since = None

    def call(self, function: Callable[[], None]) -> None:
        function()


class _Lane:
    outstanding = 0

    def __init__(self, lanes: Lanes, account_id: int) -> None:
        self._lanes = lanes
        self._account_id = account_id

    def room(self, account: Account) -> int:
        return self._lanes.rooms.pop(self._account_id, 0)

    def promise(self, deliveries: int) -> None:
        """Count nothing: it is sent at once."""

    def take(self, account: Account, works: Sequence[Any]) -> None:
        runs = [work.item.run_id for work in works]
        self._lanes.got.setdefault(self._account_id, []).extend(runs)


def leasing_of(b: Books) -> tuple[Leasing, Lanes]:
    lanes: Any = Lanes()
    return Leasing(a_dispatcher(b, clock=b.clock), b.epoch, lanes), lanes


@pytest.mark.parametrize("idle_steps", [0, 1, 2, 3])
def test_runs_take_turns_where_an_account_takes_one_mail_at_a_time(
    tmp_path: Path, idle_steps: int
) -> None:
    with books(tmp_path) as b:
        account = b.account()
        runs = [b.running(people=10, account_ids=(account.id,)) for _ in range(2)]
        leasing, lanes = leasing_of(b)

        for _ in range(6):
            lanes.rooms = {account.id: 1}
            leasing._step()
            for _ in range(idle_steps):
                leasing._step()

        assert Counter(lanes.got[account.id]) == dict.fromkeys(runs, 3)


def test_runs_that_go_through_another_account_do_not_change_whose_turn_it_is(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        shared, other = b.account(), b.account(name="Other")
        first = b.running(people=10, account_ids=(shared.id,))
        b.running(people=10, account_ids=(other.id,))
        last = b.running(people=10, account_ids=(shared.id,))
        leasing, lanes = leasing_of(b)

        for _ in range(6):
            lanes.rooms = {shared.id: 1}
            leasing._step()

        assert Counter(lanes.got[shared.id]) == {first: 3, last: 3}


def test_a_small_run_gets_as_much_as_a_large_one_until_it_is_through(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        large = b.running(people=400, account_ids=(account.id,))
        leasing, lanes = leasing_of(b)
        for _ in range(5):
            lanes.rooms = {account.id: 25}
            leasing._step()
        before = len(lanes.got[account.id])
        small = b.running(*(f"q{i}@example.com" for i in range(50)), account_ids=(account.id,))

        while lanes.got[account.id].count(small) < 50:
            lanes.rooms = {account.id: 25}
            leasing._step()

        meanwhile = Counter(lanes.got[account.id][before:])
        assert meanwhile[small] == 50
        assert 50 <= meanwhile[large] <= 75


def test_an_account_gets_nothing_before_its_rest_is_over(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(people=10, account_ids=(account.id,))
        leasing, lanes = leasing_of(b)
        with b.database.write(durable=True) as tx:
            account_store.rest(tx, account.id, "connect: refused", b.now + timedelta(seconds=30))
        lanes.rooms = {account.id: 1}

        leasing._step()
        b.later(seconds=29)
        leasing._step()
        before = dict(lanes.got)
        b.later(seconds=1)
        leasing._step()

        assert before == {}
        assert lanes.got == {account.id: [run_id]}


def test_an_account_that_is_paused_gets_nothing_until_a_person_has_looked(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        account = b.account()
        run_id = b.running(people=10, account_ids=(account.id,))
        leasing, lanes = leasing_of(b)
        with b.database.write(durable=True) as tx:
            account_store.pause(tx, account.id, "auth: 535 no")
        lanes.rooms = {account.id: 1}

        b.later(days=1)
        leasing._step()
        before = dict(lanes.got)
        b.revive(account)
        leasing._step()

        assert before == {}
        assert lanes.got == {account.id: [run_id]}


def test_what_is_settled_while_the_room_is_worked_out_counts_for_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with books(tmp_path) as b:
        account = b.account(limit_per_hour=5)
        b.running(people=10, account_ids=(account.id,))
        leasing, lanes = leasing_of(b)
        lane = Settling(lanes, account)
        monkeypatch.setattr(Lanes, "lanes", [lane])
        monkeypatch.setattr(Lanes, "lane", lambda self, account: lane)
        get = account_store.get

        def get_and_settle(*args: Any) -> Account:
            found = get(*args)  # the view has begun here
            if lane.outstanding:
                with b.database.write(durable=False) as tx:
                    usage.count(tx, account.id, 5, b.clock.now())
                lane.outstanding = 0
            return found

        monkeypatch.setattr(account_store, "get", get_and_settle)
        lanes.rooms = {account.id: 5}

        leasing._step()

        assert lane.outstanding == 0
        assert lanes.got == {}


class Settling(_Lane):
    """A lane that has five messages under way, as many as its account may send in an hour."""

    def __init__(self, lanes: Lanes, account: Account) -> None:
        super().__init__(lanes, account.id)
        self.account = account
        self.outstanding = 5

    def keep_only(self, running: Any) -> None:
        """Keep all of them."""
