"""Builders for accounts; every argument is optional."""

from dataclasses import replace
from typing import Any

from accounts.model import Account, AccountFields, Kind, Security, State
from storage.sealed import SecretKey
from tests.builders import NOON

KEY = SecretKey(b"a key of the tests")
OTHER_KEY = SecretKey(b"another key")


def some_fields(**changes: Any) -> AccountFields:
    """Return what a person writes for an ordinary account."""
    fields = AccountFields(
        name="Main",
        host="mail.example.com",
        port=587,
        security=Security.STARTTLS,
        username="news",
        password="correct horse",
        from_email="news@example.com",
    )
    return replace(fields, **changes)


def an_account(**changes: Any) -> Account:
    """Return an ordinary account that is well."""
    account = Account(
        id=7,
        version=1,
        name="Main",
        kind=Kind.SMTP,
        host="mail.example.com",
        port=587,
        security=Security.STARTTLS,
        username="news",
        password="correct horse",
        from_email="news@example.com",
        from_name=None,
        reply_to=None,
        max_connections=4,
        pipelining=True,
        rate_per_second=None,
        limit_per_hour=None,
        limit_per_day=None,
        state=State.OK,
        state_reason=None,
        rest_until=None,
        created_at=NOON,
    )
    return replace(account, **changes)
