"""Tests an account: connects, secures, signs in, and hands over one mail if asked to."""

import asyncio
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from queue import SimpleQueue

from accounts.endpoint import endpoint_of
from accounts.model import Account, Step
from foundation.errors import Invalid
from mail import opening
from mail.address import normalise
from mail.message import Message, Parts, build
from mail.opening import Endpoint, ProbeStep


def probe(account: Account, *, sandbox_port: int, to: str | None, now: datetime) -> list[Step]:
    """Return the steps of the test, as probing() yields them at last."""
    *_, steps = probing(account, sandbox_port=sandbox_port, to=to, now=now)
    return steps


def probing(
    account: Account, *, sandbox_port: int, to: str | None, now: datetime
) -> Iterator[list[Step]]:
    """Test an account: yields the steps so far whenever one has ended, at last the whole test.

    The last step is the one that failed, if one did. Waits for the server, so it is read outside of transactions and of
    any event loop. Raises Invalid, before anything is tried, when to is not an address.
    """
    message = _test_message(account, to=to, now=now) if to is not None else None
    return _as_they_come(endpoint_of(account, sandbox_port=sandbox_port), message)


def _as_they_come(endpoint: Endpoint, message: Message | None) -> Iterator[list[Step]]:
    told: SimpleQueue[list[ProbeStep] | None] = SimpleQueue()

    def converse() -> list[ProbeStep]:
        try:
            return asyncio.run(opening.probe(endpoint, message=message, tell=told.put))
        finally:
            told.put(None)

    with ThreadPoolExecutor(1, thread_name_prefix="account-test") as pool:
        conversation = pool.submit(converse)
        while (steps := told.get()) is not None:
            yield _steps(steps)
        yield _steps(conversation.result())


def _steps(steps: list[ProbeStep]) -> list[Step]:
    return [Step(step=str(s.step), ok=s.ok, detail=s.detail, ms=s.ms) for s in steps]


def is_ok(steps: list[Step]) -> bool:
    """Say whether the test went well."""
    return bool(steps) and all(step.ok for step in steps)


def _test_message(account: Account, *, to: str, now: datetime) -> Message:
    try:
        recipient = normalise(to)
    except Invalid as error:
        raise Invalid.field("to", error.errors[0].message) from None
    domain = normalise(account.from_email).domain
    return build(
        Parts(
            from_email=account.from_email,
            from_name=account.from_name or "",
            to_email=recipient.written,
            to_name="",
            reply_to=account.reply_to,
            subject="Test from Sendonce",
            text=(
                f'This is a test of the account "{account.name}".\n\n'
                "You can read it, so the account can send.\n"
            ),
            html=None,
            date=now,
            message_id=f"<test.{secrets.token_hex(10)}@{domain}>",
            unsubscribe_url=None,
        )
    )
