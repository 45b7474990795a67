"""One connection, one message at a time: fence, content, reply, outcome, and only then the next one's content.

The next one's envelope travels behind the content of this one, where the server pipelines.
"""

import asyncio
import contextlib
import random

from campaigns.render import RenderError
from delivery.lane import Connection, Lane, Made, Ready, Work, work_of
from delivery.outcome import AccountFault, Failed, InDoubt, NotBegun, Outcome, judge
from foundation.errors import SendonceError
from foundation.log import log_for
from mail.message import Message
from mail.reply import Broken, Reply, Stage, Withdrawn
from mail.transport import Transport

log = log_for(__name__)

# The dice for the jitter of retries; nothing secret hangs on it.
_dice = random.Random()  # noqa: S311


async def send_all(lane: Lane, connection: Connection) -> None:
    """Send what the lane has, until it has nothing more or its account is at fault."""
    try:
        while (given := await lane.next(connection)) is not None:
            if not await _send_one(lane, connection, given):
                return
    finally:
        if connection.ahead is not None:
            lane.give_back(work_of(connection.ahead))
        await connection.leave()
        if connection.written is not None:
            await connection.written


async def _send_one(lane: Lane, connection: Connection, given: Work | Ready) -> bool:
    """See one delivery to its outcome, and write that; return False when this connection must not go on."""
    outcome: Outcome
    work = work_of(given)
    try:
        outcome = await _attempt(lane, connection, given)
        goes_on = not isinstance(outcome, AccountFault)
    except Exception as error:
        log.exception("sending an email met a bug", delivery_id=work.item.id)
        outcome, goes_on = _after_a_bug(error, begun=connection.begun), False
    await lane.record(connection, work, outcome)
    return goes_on


def _after_a_bug(error: Exception, *, begun: bool) -> Outcome:
    """Say what is known of a delivery whose sending raised.

    Failed, not queued: else it would be first in the queue for ever. A bug that meets everybody pauses the run after
    twenty, and they can be queued again.
    """
    if begun:
        return InDoubt("an error of our own while the email was on its way, the log says more")
    return Failed(
        None, f"an error of our own ({type(error).__name__}), nothing was sent; the log says more"
    )


async def _attempt(lane: Lane, connection: Connection, given: Work | Ready) -> Outcome:
    """Try to hand one message over; return what that means."""
    office = lane.office
    if not isinstance(given, Ready):
        # Before the connection is opened: a server does not wait long for a first message.
        await lane.wait_for_rate(connection)
    if office.stopping.is_set():
        return NotBegun()
    is_fresh = not connection.is_usable
    if is_fresh:
        fault = await _open(lane, connection)
        if fault is not None:
            return _conclude(lane, work_of(given), fault, is_fresh=True)
    if connection.transport is None:  # stopped meanwhile
        return NotBegun()
    try:
        ready = given if isinstance(given, Ready) else _make(lane, given)
    except RenderError as error:
        return Failed(None, f"{error.field}: {error.message}")

    async def fence() -> bool:
        if office.stopping.is_set():
            return False
        # Committed before the first byte of content goes out: from here on a crash is "in doubt", never "unsent".
        connection.begun = await office.commits.intend(
            ready.work.item, account_id=lane.account.id, message_id=ready.message_id
        )
        # When this one's content has been written: while its reply is on the way there is nothing else to do.
        asyncio.get_running_loop().call_soon(_make_early, lane)
        return connection.begun

    def look_ahead() -> Message | None:
        ahead = connection.ahead
        return ahead.message if isinstance(ahead, Ready) and lane.may_go_on(connection) else None

    _make_ahead(lane, connection)
    answer = await connection.transport.send(ready.message, fence, look_ahead)
    return _conclude(lane, ready.work, answer, is_fresh=is_fresh)


def _make(lane: Lane, work: Work) -> Ready:
    """Return the work with its message. Raises RenderError where its template fails for this recipient."""
    made = work.made
    if made is None or made.version != lane.account.version:
        made = _compose(lane, work)
    return Ready(work, made.message, made.message_id)


def _compose(lane: Lane, work: Work) -> Made:
    composer, account = lane.office.composer, lane.account
    message_id = composer.message_id(work.item, account)
    message = composer.compose(
        work.item,
        work.content,
        account,
        message_id=message_id,
        now=lane.office.clock.now(),
    )
    return Made(message, message_id, account.version)


def _make_early(lane: Lane) -> None:
    """Make a message that is not wanted yet."""
    work = lane.first_unmade()
    if work is not None:
        # What fails does so again when its turn comes, and that is told.
        with contextlib.suppress(Exception):
            work.made = _compose(lane, work)


def _make_ahead(lane: Lane, connection: Connection) -> None:
    """Make the message after this one, if it may go at once and can be made."""
    work = lane.look_ahead(connection)
    if work is None:
        return
    try:
        connection.ahead = _make(lane, work)
    except Exception:
        # It fails again when its turn comes, and that is told.
        connection.ahead = work


async def _open(lane: Lane, connection: Connection) -> Reply | Broken | None:
    """Open the connection; return what stands against it. A stop ends the attempt, with nothing against it."""
    await connection.leave()
    connection.opening = asyncio.ensure_future(_connect(lane))
    try:
        opened = await connection.opening
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return None
    finally:
        connection.opening = None
    if isinstance(opened, Reply | Broken):
        return opened
    lane.holds(connection, opened)
    return None


async def _connect(lane: Lane) -> Transport | Reply | Broken:
    try:
        return await lane.office.connect(lane.account)
    except SendonceError as error:
        return Broken(stage=Stage.CONNECT, detail=error.message)
    except Exception as error:
        log.exception("connecting met a bug", account_id=lane.account.id)
        detail = f"An error of our own ({type(error).__name__}), the log says more"
        return Broken(stage=Stage.CONNECT, detail=detail)


def _conclude(
    lane: Lane, work: Work, answer: Reply | Broken | Withdrawn, *, is_fresh: bool
) -> Outcome:
    """Return what the answer means, and tell the lane what it says of the account."""
    stopping = lane.office.stopping.is_set()
    if isinstance(answer, Broken) and answer.stage == Stage.END_GIVEN and stopping:
        answer = Broken(stage=answer.stage, detail="the server had not answered when we stopped")
    now = lane.office.clock.now()
    outcome = judge(
        answer,
        attempts=work.item.attempts + 1,
        first_attempt_at=work.item.first_attempt_at or now,
        now=now,
        patience=lane.office.patience,
        roll=_dice.random(),
    )
    if isinstance(answer, Broken) and not isinstance(outcome, InDoubt) and stopping:
        return NotBegun()  # cut by ourselves
    if isinstance(outcome, AccountFault):
        if isinstance(answer, Broken) and not is_fresh:
            # A connection that was kept open and is closed now: servers do that, it is nobody's fault.
            return NotBegun()
        lane.fault(outcome.answer, pause=outcome.pause)
    elif isinstance(answer, Reply):
        lane.well()
    return outcome
