"""One recipient's message: the run's content rendered for them, and what every message of ours carries."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from zoneinfo import ZoneInfo

from accounts.model import Account
from audience.unsubscribe import make_token
from campaigns import files
from campaigns.model import Snapshot
from campaigns.render import Compiled, RecipientView, compile_content
from delivery.leases import Leased
from delivery.model import Run
from mail.address import normalise
from mail.attached import encode
from mail.message import Attached, Message, Parts, build
from mail.outbox import RUN_HEADER
from storage.database import Tx
from storage.sealed import SecretKey


@dataclass(frozen=True, slots=True)
class RunContent:
    """What all messages of a run share: its frozen content, compiled once, and its slot in the schedule's zone.

    attached: its files, read and encoded once; they are in memory once, however many connections send them.
    """

    snapshot: Snapshot
    compiled: Compiled
    slot: datetime
    attached: Attached | None = None

    @classmethod
    def of(cls, tx: Tx, run: Run) -> "RunContent":
        """Raises Invalid when the content can't be compiled, or a file is not the one that was frozen."""
        return cls.made(tx, run.content, run.slot.astimezone(ZoneInfo(run.zone)))

    @classmethod
    def made(cls, tx: Tx, snapshot: Snapshot, slot: datetime) -> "RunContent":
        """Return what messages of this content share. Raises Invalid, as of does."""
        attached = encode(files.contents(tx, snapshot.attachments))
        return cls(snapshot, compile_content(snapshot), slot, attached)


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
        # With the moment of the claim: a ledger that was put back gives the numbers of its runs and rows once more.
        named = f"{item.run_id}:{item.claimed_at.isoformat()}:{item.address_key}"
        mark = blake2b(named.encode(), key=secret, digest_size=10).hexdigest()
        return f"<{item.run_id}.{item.id}.{mark}@{domain_of(account.from_email)}>"

    def compose(
        self,
        item: Leased,
        content: RunContent,
        account: Account,
        *,
        message_id: str,
        now: datetime,
    ) -> Message:
        """Return the message for one delivery. Raises RenderError when the template fails for this recipient."""
        token = make_token(self.key, delivery_id=item.id, email=item.email)
        return make_message(
            content,
            account,
            RecipientView(email=item.email, name=item.name, attributes=item.attributes),
            unsubscribe_url=f"{self.public_url}/u/{token}",
            message_id=message_id,
            now=now,
            headers=((RUN_HEADER, str(item.run_id)),),
        )


def make_message(
    content: RunContent,
    account: Account,
    recipient: RecipientView,
    *,
    unsubscribe_url: str,
    message_id: str,
    now: datetime,
    headers: tuple[tuple[str, str], ...],
    before_subject: str = "",
) -> Message:
    """Return the content rendered for one recipient, as the account sends it. Raises RenderError."""
    rendered = content.compiled.render(recipient, content.slot, unsubscribe_url)
    return build(
        Parts(
            from_email=account.from_email,
            from_name=content.snapshot.from_name or account.from_name or "",
            to_email=recipient.email,
            to_name=recipient.name,
            reply_to=content.snapshot.reply_to or account.reply_to,
            subject=before_subject + rendered.subject,
            text=rendered.text,
            html=rendered.html,
            date=now,
            message_id=message_id,
            unsubscribe_url=unsubscribe_url,
            headers=headers,
            attached=content.attached,
        )
    )


@lru_cache(maxsize=64)
def domain_of(email: str) -> str:
    """Return the domain of an address as headers carry it."""
    return normalise(email).domain
