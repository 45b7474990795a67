"""Send a test: a campaign as it is now, to a few addresses of one's own.

Not a delivery: the ledger knows nothing of it. It counts for the account's limits, and none holds it back.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts import store as account_store
from accounts import usage
from accounts.model import Account, State
from audience import store as audience_store
from campaigns import store as campaign_store
from campaigns.model import Snapshot
from campaigns.render import RecipientView, RenderError
from delivery.compose import RunContent, domain_of, make_message
from delivery.lane import Connect
from foundation.errors import Conflict, FieldError, Invalid
from mail.address import normalise
from mail.message import Message
from mail.reply import Answer, Broken, Reply, Stage
from mail.transport import Transport
from storage.database import Database, Tx
from storage.sealed import SecretKey

_BEFORE_SUBJECT = "[Test] "
# A person waits for all of it.
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """What the server said to one test mail; smtp_code None: no complete reply, and smtp_reply says why."""

    email: str
    ok: bool
    smtp_code: int | None
    smtp_reply: str | None


def send_test(
    database: Database,
    connect: Connect,
    *,
    key: SecretKey,
    public_url: str,
    campaign_id: int,
    to: Sequence[str],
    now: datetime,
) -> list[TrialResult]:
    """Send the campaign to these addresses, through the first of its accounts that is not paused.

    An address of the campaign's audiences gets what that recipient would get. Waits for the server, so it is called
    outside of transactions and of any event loop. Raises NotFound, Invalid (an address, a template that fails),
    Conflict when every account is paused.
    """
    _check(to)
    with database.read() as tx:
        snapshot = campaign_store.freeze(tx, campaign_id)
        account = _account(tx, snapshot, key)
        recipients = [_recipient(tx, snapshot, email) for email in to]
        content = RunContent.made(tx, snapshot, now.astimezone(UTC))
    messages = [_message(content, account, r, public_url, now) for r in recipients]
    # Before they go: what a run may send through this account's limits is so much less.
    with database.write(durable=False) as tx:
        usage.count(tx, account.id, len(messages), now)
    answers = asyncio.run(_send_all(connect, account, messages))
    return [_result(email, answer) for email, answer in zip(to, answers, strict=True)]


def _check(to: Sequence[str]) -> None:
    errors = []
    for position, email in enumerate(to):
        try:
            normalise(email)
        except Invalid as error:
            errors.append(FieldError(f"to[{position}]", error.errors[0].message))
    if errors:
        raise Invalid(errors)


def _account(tx: Tx, snapshot: Snapshot, key: SecretKey) -> Account:
    accounts = [account_store.get(tx, i, key) for i in snapshot.account_ids]
    usable = next((a for a in accounts if a.state != State.PAUSED), None)
    if usable is None:
        raise Conflict(
            "Every account of this campaign is paused. Test one of them, then send the test again."
        )
    return usable


def _recipient(tx: Tx, snapshot: Snapshot, email: str) -> RecipientView:
    found = audience_store.find(tx, snapshot.audience_ids, email)
    if found is None:
        return RecipientView(email=email, name="", attributes={})
    return RecipientView(email=found.email, name=found.name, attributes=found.attributes)


def _message(
    content: RunContent, account: Account, recipient: RecipientView, public_url: str, now: datetime
) -> Message:
    try:
        return make_message(
            content,
            account,
            recipient,
            # This link changes nothing: who clicks it in a test does not unsubscribe themselves.
            unsubscribe_url=f"{public_url}/u/test",
            message_id=f"<test.{secrets.token_hex(10)}@{domain_of(account.from_email)}>",
            now=now,
            headers=(),
            before_subject=_BEFORE_SUBJECT,
        )
    except RenderError as error:
        raise Invalid.field(error.field, error.message) from None


async def _send_all(
    connect: Connect, account: Account, messages: Sequence[Message]
) -> list[Answer]:
    """Hand the messages over, one after the other; what is not answered in time is broken."""
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await _hand_over(connect, account, messages, answers)
    except TimeoutError:
        late = Broken(
            stage=Stage.CONNECT,
            detail=f"The server was not through within {_PATIENCE_SECONDS:g} seconds",
        )
        answers += [late] * (len(messages) - len(answers))
    return answers


async def _hand_over(
    connect: Connect, account: Account, messages: Sequence[Message], answers: list[Answer]
) -> None:
    transport: Transport | None = None
    try:
        for message in messages:
            if transport is None or not transport.usable:
                opened = await connect(account)
                if isinstance(opened, Reply | Broken):
                    # The others would hear the same.
                    answers += [opened] * (len(messages) - len(answers))
                    return
                transport = opened
            answers.append(await transport.send(message, _yes))
    finally:
        if transport is not None:
            await transport.close()


def _result(email: str, answer: Answer) -> TrialResult:
    if isinstance(answer, Reply):
        ok = answer.stage == Stage.END_GIVEN and 200 <= answer.code < 300
        return TrialResult(email=email, ok=ok, smtp_code=answer.code, smtp_reply=answer.text)
    detail = answer.detail if isinstance(answer, Broken) else None
    return TrialResult(email=email, ok=False, smtp_code=None, smtp_reply=detail)


async def _yes() -> bool:
    return True
