"""Send a test: a campaign as it is now, to a few addresses of one's own.

Not a delivery: the ledger knows nothing of it.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounts import store as account_store
from accounts.model import Account, State
from audience import store as audience_store
from campaigns import store as campaign_store
from campaigns.model import Snapshot
from campaigns.render import Compiled, RecipientView, RenderError, compile_content
from delivery.lane import Connect
from foundation.errors import Conflict, FieldError, Invalid
from mail.address import normalise
from mail.message import Message, Parts, build
from mail.reply import Broken, Reply, Stage
from storage.database import Database, Tx
from storage.sealed import SecretKey


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
    compiled = compile_content(snapshot)
    messages = [_message(compiled, snapshot, account, r, public_url, now) for r in recipients]
    return asyncio.run(_send_all(connect, account, messages, to))


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
    compiled: Compiled,
    snapshot: Snapshot,
    account: Account,
    recipient: RecipientView,
    public_url: str,
    now: datetime,
) -> Message:
    try:
        # This link changes nothing: who clicks it in a test does not unsubscribe themselves.
        content = compiled.render(recipient, now.astimezone(UTC), f"{public_url}/u/test")
    except RenderError as error:
        raise Invalid.field(error.field, error.message) from None
    return build(
        Parts(
            from_email=account.from_email,
            from_name=snapshot.from_name or account.from_name or "",
            to_email=recipient.email,
            to_name=recipient.name,
            reply_to=snapshot.reply_to or account.reply_to,
            subject=content.subject,
            text=content.text,
            html=content.html,
            date=now,
            message_id=f"<test.{secrets.token_hex(10)}@{normalise(account.from_email).domain}>",
            unsubscribe_url=None,
        )
    )


async def _send_all(
    connect: Connect, account: Account, messages: Sequence[Message], to: Sequence[str]
) -> list[TrialResult]:
    results = []
    transport = None
    for message, email in zip(messages, to, strict=True):
        if transport is None or not transport.usable:
            opened = await connect(account)
            if isinstance(opened, Reply | Broken):
                results.append(_result(email, opened))
                continue
            transport = opened
        answer = await transport.send(message, _yes)
        assert isinstance(answer, Reply | Broken)  # nobody withdraws a test
        results.append(_result(email, answer))
    if transport is not None:
        await transport.close()
    return results


def _result(email: str, answer: Reply | Broken) -> TrialResult:
    if isinstance(answer, Broken):
        return TrialResult(email=email, ok=False, smtp_code=None, smtp_reply=answer.detail)
    ok = answer.stage == Stage.END_GIVEN and 200 <= answer.code < 300
    return TrialResult(email=email, ok=ok, smtp_code=answer.code, smtp_reply=answer.text)


async def _yes() -> bool:
    return True
