"""One recipient's message: the run's content rendered for them, and what every message of ours carries."""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from accounts.model import Account
from audience.unsubscribe import make_token
from campaigns.model import Snapshot
from campaigns.render import Compiled, RecipientView, compile_content
from delivery.ledger import Leased
from delivery.model import Run
from mail.address import normalise
from mail.message import Message, Parts, build
from storage.sealed import SecretKey

RUN_HEADER = "X-Sendonce-Run"


@dataclass(frozen=True, slots=True)
class RunContent:
    """What all messages of a run share: its frozen content, compiled once. Raises Invalid when it can't be compiled."""

    run_id: int
    snapshot: Snapshot
    compiled: Compiled
    slot: datetime

    @classmethod
    def of(cls, run: Run) -> "RunContent":
        return cls(
            run.id,
            run.content,
            compile_content(run.content),
            run.slot.astimezone(ZoneInfo(run.zone)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Makes messages: public_url is what links in emails begin with."""

    key: SecretKey
    public_url: str

    def message_id(self, item: Leased, account: Account) -> str:
        """Return the Message-ID: the same for the same run and recipient, whatever happens between two tries.

        One that was given before stays, so that a second try through another account has it too.
        """
        if item.message_id is not None:
            return item.message_id
        secret = self.key.derive("message ids")
        mark = hmac.digest(secret, f"{item.run_id}:{item.address_key}".encode(), hashlib.sha256)
        domain = normalise(account.from_email).domain
        return f"<{item.run_id}.{item.id}.{mark.hex()[:20]}@{domain}>"

    def compose(
        self, item: Leased, content: RunContent, account: Account, now: datetime
    ) -> Message:
        """Return the message for one delivery. Raises RenderError when the template fails for this recipient."""
        token = make_token(self.key, delivery_id=item.id, email=item.email)
        unsubscribe_url = f"{self.public_url}/u/{token}"
        recipient = RecipientView(email=item.email, name=item.name, attributes=item.attributes)
        rendered = content.compiled.render(recipient, content.slot, unsubscribe_url)
        return build(
            Parts(
                from_email=account.from_email,
                from_name=content.snapshot.from_name or account.from_name or "",
                to_email=item.email,
                to_name=item.name,
                reply_to=content.snapshot.reply_to or account.reply_to,
                subject=rendered.subject,
                text=rendered.text,
                html=rendered.html,
                date=now,
                message_id=self.message_id(item, account),
                unsubscribe_url=unsubscribe_url,
                headers=((RUN_HEADER, str(item.run_id)),),
            )
        )
