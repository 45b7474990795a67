"""One connection, one message at a time: fence, content, reply, outcome, and only then the next."""

import asyncio
import random

from campaigns.render import RenderError
from delivery.lane import Lane, Work
from delivery.outcome import AccountFault, Failed, NotBegun, Outcome, judge
from mail.message import Message
from mail.reply import Broken, Reply, Stage, Withdrawn
from mail.transport import Transport

# The dice for the jitter of retries; nothing secret hangs on it.
_dice = random.Random()  # noqa: S311


async def send_all(lane: Lane) -> None:
    """Send what the lane has, until it has nothing more or its account is at fault."""
    task = asyncio.current_task()
    assert task is not None
    transport: Transport | None = None
    try:
        while (work := await lane.next()) is not None:
            fresh = transport is None or not transport.usable
            if fresh:
                opened = await lane.office.connect(lane.account)
                if isinstance(opened, Reply | Broken):
                    outcome = _judge(lane, work, opened)
                    assert isinstance(outcome, AccountFault)
                    lane.fault(opened, pause=outcome.pause)
                    await lane.record(work, outcome, begun=False)
                    return
                transport = opened
                lane.holds(task, transport)
            assert transport is not None
            if not await _send_one(lane, work, transport, fresh=fresh):
                return
    finally:
        if transport is not None:
            await transport.close()


async def _send_one(lane: Lane, work: Work, transport: Transport, *, fresh: bool) -> bool:
    """Send one message and write what came of it; return False when the account is at fault."""
    await lane.wait_for_rate()
    office = lane.office
    try:
        message = office.composer.compose(work.item, work.content, lane.account, office.clock.now())
    except RenderError as error:
        await lane.record(work, Failed(None, error.message), begun=False)
        return True
    answer, begun = await _hand_over(lane, work, transport, message)
    outcome = _judge(lane, work, answer)
    if isinstance(outcome, AccountFault) and isinstance(answer, Broken) and not fresh:
        # A connection that was kept open and is closed now: servers do that, it is nobody's fault.
        outcome = NotBegun()
    if isinstance(outcome, AccountFault):
        lane.fault(outcome.answer, pause=outcome.pause)
    elif not isinstance(answer, Withdrawn):
        lane.well()
    await lane.record(work, outcome, begun=begun)
    return not isinstance(outcome, AccountFault)


async def _hand_over(
    lane: Lane, work: Work, transport: Transport, message: Message
) -> tuple[Reply | Broken | Withdrawn, bool]:
    begun = False

    async def before_content() -> bool:
        nonlocal begun
        if lane.office.stopping.is_set():
            return False
        # Committed before the first byte of content goes out: from here on a crash is "in doubt", never "unsent".
        begun = await lane.office.commits.intend(
            work.item,
            account_id=lane.account.id,
            message_id=lane.office.composer.message_id(work.item, lane.account),
        )
        return begun

    answer = await transport.send(message, before_content)
    return answer, begun


def _judge(lane: Lane, work: Work, answer: Reply | Broken | Withdrawn) -> Outcome:
    now = lane.office.clock.now()
    if (
        isinstance(answer, Broken)
        and answer.stage == Stage.END_GIVEN
        and lane.office.stopping.is_set()
    ):
        answer = Broken(stage=answer.stage, detail="the server had not answered when we stopped")
    return judge(
        answer,
        attempts=work.item.attempts + 1,
        first_attempt_at=work.item.first_attempt_at or now,
        now=now,
        patience=lane.office.patience,
        roll=_dice.random(),
    )
