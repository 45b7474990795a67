"""Makes runs: a campaign as it is now, frozen into the run of a slot."""

from dataclasses import dataclass
from datetime import datetime

from audience import store as audience_store
from campaigns import store as campaign_store
from campaigns.model import Snapshot
from delivery import ledger
from delivery.ledger import NewRun
from delivery.model import Origin
from foundation.errors import NotFound
from scheduler.model import Schedule
from storage.database import Tx


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A campaign's content and audience as they are in one transaction. snapshot None: it is gone, reason says so."""

    snapshot: Snapshot | None
    reason: str | None
    recipient_ceiling: int


def freeze(tx: Tx, campaign_id: int) -> Frozen:
    """Freeze a campaign: what comes back is good for all runs of it that are made in this transaction."""
    try:
        snapshot = campaign_store.freeze(tx, campaign_id)
    except NotFound as error:
        return Frozen(
            snapshot=None,
            reason=f"could not be carried out: {error.message}",
            recipient_ceiling=0,
        )
    ceiling = audience_store.highest_recipient_id(tx, snapshot.audience_ids)
    return Frozen(snapshot=snapshot, reason=None, recipient_ceiling=ceiling)


def make_run(
    tx: Tx,
    schedule: Schedule,
    *,
    frozen: Frozen,
    slot: datetime,
    origin: Origin,
    request_key: str | None,
    waits_for: int | None,
    epoch: int,
    now: datetime,
) -> int:
    """Make a run of the schedule's campaign, which was frozen in this transaction; return its id.

    A campaign that is gone makes a run that has failed, with the reason.
    """
    return ledger.claim(
        tx,
        NewRun(
            schedule_id=schedule.id,
            campaign_id=schedule.campaign_id,
            slot=slot,
            zone=schedule.timezone,
            origin=origin,
            request_key=request_key,
            snapshot=frozen.snapshot,
            reason=frozen.reason,
            recipient_ceiling=frozen.recipient_ceiling,
            waits_for=waits_for,
        ),
        epoch=epoch,
        now=now,
    )
