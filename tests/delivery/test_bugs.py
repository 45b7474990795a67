"""Whatever raises where nothing should: no delivery stays leased for ever, and no run hangs silently."""

from pathlib import Path
from typing import Any

from accounts.model import Account
from foundation.clock import SystemClock
from mail.reply import Broken, Reply
from mail.transport import Transport
from tests.delivery.builders import (
    a_dispatcher,
    books,
    connect_quickly,
    everybody,
    receivers,
    run_through,
    sending,
    until,
    until_finished,
)
from tests.mail.scripted_server import ScriptedServer


def test_a_mail_that_can_not_be_made_fails_alone(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        dispatcher = a_dispatcher(b)
        dispatcher.composer = BrokenFor("p1@example.com", dispatcher.composer)
        run_id = run_through(b, server)
        dispatcher.start(b.epoch)
        run = until_finished(b, run_id)
        dispatcher.stop()

        assert (run.counts.sent, run.counts.failed) == (2, 1)
        reason = b.delivery(run_id, "p1@example.com").reason or ""
        assert reason.startswith("an error of our own (ZeroDivisionError)")


def test_a_bug_that_meets_everybody_pauses_the_run(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        dispatcher = a_dispatcher(b)
        dispatcher.composer = BrokenFor("", dispatcher.composer)
        run_id = run_through(b, server, people=60)
        dispatcher.start(b.epoch)
        until(lambda: b.run(run_id).status == "paused")
        dispatcher.stop()

        assert set(b.statuses(run_id)) == {"queued", "failed"}
        assert b.run(run_id).counts.failed < 30


def test_a_bug_in_connecting_rests_the_account(tmp_path: Path) -> None:
    broken = [True]

    async def connect(account: Account) -> Transport | Reply | Broken:
        if broken:
            raise ValueError("not this time")
        return await connect_quickly(account)

    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server)
        with sending(b, connect=connect):
            until(lambda: "ValueError" in (b.first_account().state_reason or ""))
            broken.clear()
            run = until_finished(b, run_id)

        assert run.counts.sent == 3
        assert {d.attempts for d in b.deliveries(run_id)} == {1}


def test_a_bug_in_sending_leaves_a_doubt_and_the_others_go_on(tmp_path: Path) -> None:
    async def connect(account: Account) -> Transport | Reply | Broken:
        opened = await connect_quickly(account)
        return opened if isinstance(opened, Reply | Broken) else Forgetful(opened)

    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        run_id = run_through(b, server, people=5)
        with sending(b, connect=connect):
            run = until_finished(b, run_id)

        assert (run.counts.sent, run.counts.in_doubt) == (4, 1)
        assert receivers(server.messages) == everybody(5)


def test_a_run_that_can_not_be_brought_further_is_paused_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        account = b.account(port=server.port)
        broken = b.claim(b.audience("broken@example.com"), account_ids=(account.id,))
        well = b.claim(b.audience(people=3), account_ids=(account.id,))
        b.trigger("BEFORE INSERT ON deliveries WHEN NEW.email = 'broken@example.com'")
        with sending(b):
            until_finished(b, well)
            until(lambda: b.run(broken).status == "paused")

        assert (b.run(broken).reason or "").startswith("an error of our own (IntegrityError)")
        assert receivers(server.messages) == everybody()


def test_a_dispatcher_whose_sending_has_died_says_so(tmp_path: Path) -> None:
    with books(tmp_path, SystemClock()) as b, ScriptedServer() as server:
        dispatcher = a_dispatcher(b)
        del dispatcher.patience
        run_id = run_through(b, server)
        dispatcher.start(b.epoch)
        until(lambda: not any(thread.is_alive() for thread in dispatcher._threads))

        assert not dispatcher.is_alive
        assert b.statuses(run_id) == {"queued": 3}
        dispatcher.stop()


class BrokenFor:
    """A composer that raises for whose address ends so."""

    def __init__(self, email: str, composer: Any) -> None:
        self._email = email
        self._composer = composer

    def message_id(self, item: Any, account: Any) -> str:
        return str(self._composer.message_id(item, account))

    def compose(self, item: Any, *args: Any, **options: Any) -> Any:
        if item.email.endswith(self._email):
            raise ZeroDivisionError
        return self._composer.compose(item, *args, **options)


class Forgetful:
    """A transport that raises after it has handed over the mail to p2."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    @property
    def usable(self) -> bool:
        return bool(self._transport.usable)

    async def send(self, message: Any, before_content: Any, look_ahead: Any) -> Any:
        answer = await self._transport.send(message, before_content, look_ahead)
        if message.rcpt_to == "p2@example.com":
            raise KeyError(message.rcpt_to)
        return answer

    async def close(self) -> None:
        await self._transport.close()

    def abort(self) -> None:
        self._transport.abort()
