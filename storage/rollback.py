"""Whether a data directory is the one that goes on, or an older copy of it. Pure: evidence in, a doubt out.

| at start | then |
| --- | --- |
| it carries the mark that a backup holds | doubted |
| the witness or high_water is above the ledger | doubted: it was rolled back |
| the machine is another one (ids that are absent are not compared) | doubted: it was moved or copied |
| the witness agrees with the ledger | the last state, however old: go on |
| nothing proves it, no clean stop, and the last sign of life is older than the window | doubted |
| otherwise (a crash, a power cut, a new container) | go on |
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from storage.aliveness import Counts, Leader
from storage.witness import Witnessed


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known at a start. now is what the machine's clock says, whether it is believed or not."""

    ledger: Counts
    last: Leader | None
    outer: Witnessed | None
    inner: Witnessed | None
    backed_up_at: datetime | None
    boot_id: str | None
    machine_id: str | None
    now: datetime
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """Why the directory is held. spares_send: schedules that say catch_up: send go on all the same."""

    reason: str
    spares_send: bool


def doubt_about(evidence: Evidence) -> Doubt | None:
    """Say why this directory may not be the one that goes on; None when it is."""
    if evidence.backed_up_at is not None:
        made = f"{evidence.backed_up_at:%Y-%m-%d %H:%M} UTC"
        return _firm(f"This data directory was restored from a backup of {made}.")
    if _is_above(evidence.outer, evidence) or _is_above(evidence.inner, evidence):
        return _firm(
            "This data directory is an older state of itself: it has gone on since, and what it did is not known here."
        )
    last = evidence.last
    if last is None:
        return None
    if last.machine_id and evidence.machine_id and last.machine_id != evidence.machine_id:
        return _firm("This data directory was moved or copied here from another machine.")
    silence = abs(evidence.now - last.heartbeat_at)
    if _agrees(evidence) or last.stopped_cleanly or silence <= evidence.window:
        return None
    return Doubt(
        reason=f"The server ended without a clean stop {_in_words(silence)} ago, and nothing proves that this data"
        " directory has not been put back from an older copy since.",
        spares_send=True,
    )


def highest(evidence: Evidence) -> Counts:
    """Return the highest counts that anybody knows of: numbers up to them were used."""
    known = [evidence.ledger, *(t.counts for t in (evidence.outer, evidence.inner) if t)]
    return Counts(
        starts=max(c.starts for c in known),
        leases=max(c.leases for c in known),
        minutes=max(c.minutes for c in known),
        heartbeats=max(c.heartbeats for c in known),
    )


def _firm(reason: str) -> Doubt:
    return Doubt(reason=reason, spares_send=False)


def _is_above(witness: Witnessed | None, evidence: Evidence) -> bool:
    if witness is None:
        return False
    seen, ledger = witness.counts, evidence.ledger
    if seen.starts > ledger.starts or seen.leases > ledger.leases or seen.minutes > ledger.minutes:
        return True
    # Heartbeats are not fsynced: after the machine's death the ledger may have lost some that the witness kept.
    on_this_boot = witness.boot_id is not None and witness.boot_id == evidence.boot_id
    return on_this_boot and seen.heartbeats > ledger.heartbeats


def _agrees(evidence: Evidence) -> bool:
    """Whether the witness outside knows this very state. The one inside is copied along with it, and proves nothing."""
    if evidence.outer is None:
        return False
    seen, ledger = evidence.outer.counts, evidence.ledger
    return (seen.starts, seen.leases) == (ledger.starts, ledger.leases)


def _in_words(time: timedelta) -> str:
    hours = time // timedelta(hours=1)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} hours" if hours > 1 else f"{time // timedelta(minutes=1)} minutes"
