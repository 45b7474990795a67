"""Tests an account: connects, secures, signs in, and hands over one mail if asked to."""

import asyncio
import secrets
from datetime import datetime

from accounts.endpoint import endpoint_of
from accounts.model import Account, Step
from foundation.errors import Invalid
from mail import opening
from mail.address import normalise
from mail.message import Message, Parts, build


def probe(account: Account, *, sandbox_port: int, to: str | None, now: datetime) -> list[Step]:
    """Return the steps of the test; the last is the one that failed, if one did.

    Waits for the server, so it is called outside of transactions and of any event loop. Raises Invalid when to is not
    an address.
    """
    message = _test_message(account, to=to, now=now) if to is not None else None
    endpoint = endpoint_of(account, sandbox_port=sandbox_port)
    steps = asyncio.run(opening.probe(endpoint, message=message))
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
