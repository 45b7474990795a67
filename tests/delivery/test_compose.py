"""One recipient's message: what it says, and what every try of it has in common."""

from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

import pytest

from audience.unsubscribe import read_token
from campaigns.render import RenderError, compile_content
from delivery.compose import Composer, RunContent
from delivery.leases import Leased
from mail.message import Message
from tests.accounts.builders import an_account
from tests.builders import NOON
from tests.delivery.builders import KEY, a_snapshot

COMPOSER = Composer(key=KEY, public_url="https://news.example.com")


def an_item(**changes: Any) -> Leased:
    fields: dict[str, Any] = {
        "id": 7,
        "run_id": 3,
        "lease": 1,
        "email": "Ann@example.com",
        "address_key": "ann@example.com",
        "attempts": 0,
        "first_attempt_at": None,
        "message_id": None,
        "claimed_at": datetime(2026, 3, 2, 8, tzinfo=UTC),
        "is_repeat": False,
        "name": "Ann Ångström",
        "attributes": {"city": "Köln"},
    }
    return Leased(**(fields | changes))


def content(**changes: Any) -> RunContent:
    snapshot = a_snapshot(**changes)
    return RunContent(snapshot, compile_content(snapshot), datetime(2026, 3, 2, 9, tzinfo=UTC))


def composed(item: Leased | None = None, account: Any = None, **changes: Any) -> Message:
    item = item or an_item()
    account = account or an_account()
    return COMPOSER.compose(
        item,
        content(**changes),
        account,
        message_id=COMPOSER.message_id(item, account),
        now=NOON,
    )


def parsed(message: Message) -> EmailMessage:
    return cast(EmailMessage, message_from_bytes(message.content, policy=policy.default))


def test_a_message_is_rendered_for_its_recipient() -> None:
    mail = parsed(
        composed(
            subject="Hello {{ name }}",
            text="{{ recipient.attributes.city }} at {{ slot.strftime('%H:%M') }}",
        )
    )

    assert mail["Subject"] == "Hello Ann Ångström"
    assert mail["To"] == "Ann Ångström <Ann@example.com>"
    assert mail.get_content().strip() == "Köln at 09:00"


def test_the_envelope_is_the_account_s_address_and_the_recipient_s() -> None:
    message = composed()

    assert (message.mail_from, message.rcpt_to) == ("news@example.com", "Ann@example.com")


@pytest.mark.parametrize(
    ("of_campaign", "of_account", "shown"),
    [
        ("Campaign", "Account", "Campaign <news@example.com>"),
        (None, "Account", "Account <news@example.com>"),
        (None, None, "news@example.com"),
    ],
)
def test_the_sender_s_name_is_the_campaign_s_or_else_the_account_s(
    of_campaign: str | None, of_account: str | None, shown: str
) -> None:
    mail = parsed(composed(account=an_account(from_name=of_account), from_name=of_campaign))

    assert mail["From"] == shown


@pytest.mark.parametrize(
    ("of_campaign", "of_account", "shown"),
    [
        ("c@example.com", "a@example.com", "c@example.com"),
        (None, "a@example.com", "a@example.com"),
        (None, None, None),
    ],
)
def test_replies_go_where_the_campaign_or_else_the_account_says(
    of_campaign: str | None, of_account: str | None, shown: str | None
) -> None:
    mail = parsed(composed(account=an_account(reply_to=of_account), reply_to=of_campaign))

    assert mail["Reply-To"] == shown


def test_every_message_can_be_unsubscribed_with_one_click() -> None:
    mail = parsed(composed(text="{{ unsubscribe_url }}"))

    url = mail["List-Unsubscribe"].strip("<>")
    assert url.startswith("https://news.example.com/u/")
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail.get_content().strip() == url
    assert read_token(KEY, url.removeprefix("https://news.example.com/u/")) == (
        7,
        "Ann@example.com",
    )


def test_every_message_names_its_run() -> None:
    assert parsed(composed())["X-Sendonce-Run"] == "3"


def test_a_message_id_is_the_same_for_the_same_run_and_recipient() -> None:
    account = an_account()

    ids = {COMPOSER.message_id(an_item(attempts=n, lease=n), account) for n in range(5)}

    assert len(ids) == 1
    [message_id] = ids
    assert message_id.endswith("@example.com>")


def test_a_message_id_is_another_for_another_run_or_recipient() -> None:
    account = an_account()

    ids = {
        COMPOSER.message_id(item, account)
        for item in (an_item(), an_item(run_id=4), an_item(id=8, address_key="bob@example.com"))
    }

    assert len(ids) == 3


def test_a_message_id_that_was_given_stays_whatever_account_sends() -> None:
    item = an_item(message_id="<3.7.abc@first.example>")
    other = an_account(from_email="news@other.example")

    assert parsed(composed(item, other))["Message-ID"] == "<3.7.abc@first.example>"


def test_a_message_id_tells_nobody_the_address() -> None:
    message_id = COMPOSER.message_id(an_item(), an_account())

    assert "ann" not in message_id.casefold()


def test_a_sender_beyond_ascii_has_a_message_id_all_the_same() -> None:
    message_id = COMPOSER.message_id(an_item(), an_account(from_email="news@bücher.example"))

    assert message_id.endswith("@xn--bcher-kva.example>")


def test_a_template_that_fails_for_one_recipient_says_so() -> None:
    with pytest.raises(RenderError, match="divides by zero"):
        composed(an_item(attributes={"n": 0}), text="{{ 1 / (recipient.attributes.n|int) }}")
