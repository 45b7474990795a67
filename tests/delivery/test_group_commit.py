"""Intents and outcomes of all connections, in one commit; and what happens when that can't be made."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import event

from accounts import store as account_store
from accounts import usage
from delivery import control
from delivery.group_commit import GroupCommit
from delivery.leases import Leased
from delivery.outcome import Failed, NotBegun, Sent
from storage.database import Database
from tests.delivery.builders import RETRY_DELAY, Books, a_reply, books, somebody_else_writes

SENT = Sent(a_reply(250))


def with_commits(b: Books, test: Callable[[GroupCommit], Coroutine[Any, Any, None]]) -> None:
    """Run the test in an event loop with a writer over these books."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await test(
            GroupCommit(b.database, b.clock, epoch=b.epoch, loop=loop, on_commit=lambda: None)
        )

    asyncio.run(main())


def leased(b: Books, people: int) -> tuple[int, list[Leased]]:
    account = b.account()
    run_id = b.running(people=people)
    return run_id, b.lease(run_id, account)


def test_what_comes_in_one_turn_of_the_loop_is_one_commit(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, items = leased(b, 10)
        commits: list[object] = []
        event.listen(b.database._engine, "commit", commits.append)

        async def test(writer: GroupCommit) -> None:
            allowed = await asyncio.gather(*(intend(writer, i) for i in items))
            assert allowed == [True] * 10
            assert len(commits) == 1
            await asyncio.gather(*(record(writer, b, i) for i in items))

        with_commits(b, test)
        assert len(commits) == 2
        assert b.statuses(run_id) == {"sent": 10}


def test_the_cost_of_a_message_does_not_grow_with_the_run(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        _, items = leased(b, 50)
        statements: list[str] = []
        event.listen(
            b.database._engine,
            "before_cursor_execute",
            lambda *args: statements.append(args[2]),
        )

        async def test(writer: GroupCommit) -> None:
            await asyncio.gather(*(intend(writer, i) for i in items))
            await asyncio.gather(*(record(writer, b, i) for i in items))

        with_commits(b, test)
        changes = [s for s in statements if not s.startswith(("PRAGMA", "BEGIN"))]
        # The fence and the outcome of each; counters, and usage with its tidying up, for all.
        assert len(changes) <= 2 * len(items) + 6


def test_an_intent_is_counted_in_the_account_s_usage_once_it_is_allowed(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, items = leased(b, 3)
        b.suppress(items[0].email)

        async def test(writer: GroupCommit) -> None:
            allowed = await asyncio.gather(*(intend(writer, i) for i in items))
            assert allowed == [False, True, True]

        with_commits(b, test)
        with b.database.read() as tx:
            assert usage.used(tx, b.first_account().id, b.now).hour == 2
        assert b.statuses(run_id) == {"leased": 1, "sending": 2}


def test_a_pause_that_follows_from_an_outcome_comes_before_the_next_intent(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, [one, other] = leased(b, 2)

        async def test(writer: GroupCommit) -> None:
            waiting = asyncio.gather(record(writer, b, one, begun=False), intend(writer, other))
            writer.note(lambda tx: control.pause(tx, run_id, b.now, by="ann"))
            assert await waiting == [True, False]

        with_commits(b, test)
        assert b.statuses(run_id) == {"failed": 1, "leased": 1}


def test_what_is_given_back_is_queued(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, items = leased(b, 3)

        async def test(writer: GroupCommit) -> None:
            for item in items:
                writer.give_back(item)
            await writer.drained()

        with_commits(b, test)
        assert b.statuses(run_id) == {"queued": 3}


def test_while_the_ledger_can_not_be_written_nothing_is_allowed_and_nothing_known_is_lost(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id, [sent, other, third] = leased(b, 3)
        assert b.begin(sent)
        b.database.close()
        b.database = Database(tmp_path / "sendonce.db", busy=timedelta(milliseconds=50))

        async def test(writer: GroupCommit) -> None:
            with somebody_else_writes(tmp_path):
                known = asyncio.ensure_future(record(writer, b, sent))
                assert not await intend(writer, other)
                writer.give_back(third)
                assert not known.done()
            assert await known
            await writer.drained()

        with_commits(b, test)
        assert b.statuses(run_id) == {"sent": 1, "leased": 1, "queued": 1}


def test_while_another_program_writes_intents_wait_and_the_event_loop_does_not(
    tmp_path: Path,
) -> None:
    with books(tmp_path) as b:
        run_id, [item] = leased(b, 1)

        async def test(writer: GroupCommit) -> None:
            loop = asyncio.get_running_loop()
            with somebody_else_writes(tmp_path):
                before = loop.time()
                waiting = asyncio.ensure_future(intend(writer, item))
                for _ in range(3):
                    await asyncio.sleep(0.05)
                assert loop.time() - before < 3
                assert not waiting.done()
            assert await waiting

        with_commits(b, test)
        assert b.statuses(run_id) == {"sending": 1}


def test_one_whose_state_can_not_be_written_does_no_harm_to_the_others(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, items = leased(b, 4)
        b.trigger(f"BEFORE UPDATE ON deliveries WHEN OLD.id = {items[1].id}")

        async def test(writer: GroupCommit) -> None:
            allowed = await asyncio.gather(*(intend(writer, i) for i in items))
            assert allowed == [True, False, True, True]
            await asyncio.gather(*(record(writer, b, i) for i in (items[0], items[2], items[3])))
            writer.note(lambda tx: account_store.get(tx, 99, None))  # type: ignore[arg-type]
            await writer.drained()

        with_commits(b, test)
        assert b.statuses(run_id) == {"sent": 3, "leased": 1}


def test_an_outcome_that_is_not_ours_any_more_is_told_so(tmp_path: Path) -> None:
    with books(tmp_path) as b:
        run_id, [item] = leased(b, 1)
        b.lead(boot_id="boot 1")
        b.recover(boot_id="boot 1")

        async def test(writer: GroupCommit) -> None:
            assert not await writer.record(
                item, NotBegun(), begun=False, retry_at=b.now + RETRY_DELAY
            )

        with_commits(b, test)
        assert b.statuses(run_id) == {"queued": 1}


async def intend(writer: GroupCommit, item: Leased) -> bool:
    return await writer.intend(item, account_id=1, message_id=f"<{item.id}@test>")


async def record(writer: GroupCommit, b: Books, item: Leased, *, begun: bool = True) -> bool:
    outcome = SENT if begun else Failed(a_reply(550), "refused")
    return await writer.record(item, outcome, begun=begun, retry_at=b.now + RETRY_DELAY)
