"""The ledger's tables.

Written by ledger, leases, tally, slots, doubts, missing, decisions and erasure alone; read by those, reads, progress,
outlines, history and certificate. Nobody else knows them.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    exists,
    literal_column,
    or_,
    text,
)

from storage.metadata import Instant, metadata

slots = Table(
    "slots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schedule_id", Integer, nullable=False),
    # The nominal wall-clock time (daily and longer) or the UTC instant (shorter), with its kind.
    Column("key", String(60), nullable=False),
    Column("at", Instant, nullable=False),
    Column("local", String(40), nullable=False),  # the slot's wall-clock time with the offset
    # More than a hundred missed slots are one row: from `at` to `until`, so many.
    Column("until", Instant),
    Column("slots", Integer, nullable=False),
    Column("decision", String(10), nullable=False),
    Column("reason", String(200)),
    # It decided its day (the one in the key): an edit does not make that day run again.
    Column("whole_day", Boolean, nullable=False),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="RESTRICT")),
    Column("epoch", Integer, nullable=False),
    Column("decided_at", Instant, nullable=False),
    # One run for each slot: whoever comes second is refused.
    UniqueConstraint("schedule_id", "key"),
    Index(None, "schedule_id", "at"),  # serves: a schedule's past slots by page
    # Serves: the stretches in which many were decided at once.
    Index(
        "ix_slots_until",
        "until",
        sqlite_where=text("until IS NOT NULL"),
        postgresql_where=text("until IS NOT NULL"),
    ),
    Index(
        "ix_slots_held",
        "schedule_id",
        sqlite_where=text("decision = 'held'"),
        postgresql_where=text("decision = 'held'"),
    ),
    CheckConstraint("decision IN ('claimed', 'skipped', 'merged', 'held')", name="decision"),
    sqlite_autoincrement=True,
)

watermarks = Table(
    "watermarks",
    metadata,
    Column("schedule_id", Integer, primary_key=True, autoincrement=False),
    # The latest instant up to which the schedule has been decided.
    Column("watermark", Instant, nullable=False),
    # When it was made, enabled, resumed, or its times changed: slots at or before are not due.
    Column("floor", Instant, nullable=False),
    # The schedule store has not been told of what was decided last.
    Column("behind", Boolean, nullable=False),
    Column("claimed", Integer, nullable=False),  # slots, for max_runs
    # Serves: which are behind, asked at every tick, of ten thousand schedules too.
    Index(
        "ix_watermarks_behind",
        "schedule_id",
        sqlite_where=text("behind = 1"),
        postgresql_where=text("behind"),
    ),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schedule_id", Integer, nullable=False),
    Column("campaign_id", Integer, nullable=False),
    Column("slot", Instant, nullable=False),
    Column("zone", String(64), nullable=False),  # the schedule's, for {{ slot }}
    Column("origin", String(12), nullable=False),  # slot, run-now, missed, send-missing
    Column("request_key", String(255)),  # run-now's Idempotency-Key: its own key space
    # send-missing: the run whose missing recipients this one is for, and the first of them all.
    Column("made_from", Integer),
    Column("family", Integer),
    Column("status", String(10), nullable=False),
    Column("reason", String(1000)),
    Column("content", JSON, nullable=False),  # the campaign, frozen at the claim
    Column("content_sha256", String(64), nullable=False),
    Column("recipient_ceiling", Integer, nullable=False),  # the audience, frozen
    Column("cursor", Integer, nullable=False),  # the last recipient id that was materialised
    Column("materialised", Boolean, nullable=False),
    Column("waits_for", Integer),  # overlap: wait: the run that has to be through first
    Column("refused_ids", JSON),  # the refusals in a row that paused this run
    Column("epoch", Integer, nullable=False),
    Column("claimed_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("finished_at", Instant),
    Column("told", Boolean, nullable=False),  # its end has reached the schedule store
    # Counters, changed in the transaction that changes a delivery. Leased counts as queued.
    Column("recipients", Integer, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("sending", Integer, nullable=False),
    Column("sent", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("skipped", Integer, nullable=False),
    Column("in_doubt", Integer, nullable=False),
    UniqueConstraint("schedule_id", "request_key"),
    Index(None, "schedule_id", "id"),  # serves: a schedule's runs by page
    # Serves: the runs that were made from one run.
    Index(
        "ix_runs_family",
        "family",
        sqlite_where=text("family IS NOT NULL"),
        postgresql_where=text("family IS NOT NULL"),
    ),
    Index(
        "ix_runs_unfinished",
        "status",
        sqlite_where=text("finished_at IS NULL"),
        postgresql_where=text("finished_at IS NULL"),
    ),
    # Serves: what is in doubt, on every page. The rows themselves hold content and are large.
    Index(
        "ix_runs_in_doubt",
        "id",
        "in_doubt",
        sqlite_where=text("in_doubt > 0"),
        postgresql_where=text("in_doubt > 0"),
    ),
    Index(
        "ix_runs_untold",
        "schedule_id",
        sqlite_where=text("finished_at IS NOT NULL AND NOT told"),
        postgresql_where=text("finished_at IS NOT NULL AND NOT told"),
    ),
    CheckConstraint(
        "status IN ('claimed', 'running', 'paused', 'held', 'completed', 'failed', 'cancelled')",
        name="status",
    ),
    CheckConstraint(
        "recipients = queued + sending + sent + failed + skipped + in_doubt", name="adds_up"
    ),
    sqlite_autoincrement=True,
)

run_audiences = Table(
    "run_audiences",
    metadata,
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
    Column("audience_id", Integer, primary_key=True, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="RESTRICT"), nullable=False),
    Column("recipient_id", Integer, nullable=False),
    Column("email", String(320), nullable=False),
    Column("address_key", String(320), nullable=False),
    Column("status", String(10), nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("first_attempt_at", Instant),
    # Of one that was not touched yet: when its run was claimed, so that one index serves both kinds.
    Column("next_attempt_at", Instant, nullable=False),
    # By a person, or by the campaign's rule (once): each has its row in decisions.
    Column("resends", Integer, nullable=False),
    Column("account_id", Integer),
    Column("lease", Integer),
    Column("epoch", Integer),
    Column("smtp_code", Integer),
    Column("smtp_reply", Text),
    Column("message_id", String(255)),
    Column("updated_at", Instant, nullable=False),
    # One email for each address in a run.
    UniqueConstraint("run_id", "address_key"),
    Index(None, "run_id", "id"),  # serves: a run's deliveries by page
    # Serves: what can be leased. Partial, so that an outcome does not touch it a second time.
    Index(
        "ix_deliveries_queued",
        "run_id",
        "next_attempt_at",
        "id",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    # Serves: recovery, giving leases back, cancelling.
    Index(
        "ix_deliveries_taken",
        "run_id",
        "lease",
        sqlite_where=text("status IN ('leased', 'sending')"),
        postgresql_where=text("status IN ('leased', 'sending')"),
    ),
    CheckConstraint(
        "status IN ('queued', 'leased', 'sending', 'sent', 'failed', 'skipped', 'in_doubt')",
        name="status",
    ),
    sqlite_autoincrement=True,
)

NEW_DELIVERY = (
    "run_id",
    "recipient_id",
    "email",
    "address_key",
    "status",
    "reason",
    "attempts",
    "resends",
    "next_attempt_at",
    "updated_at",
)
"""The columns that a delivery is made with."""

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_id", Integer, ForeignKey("runs.id", ondelete="RESTRICT"), nullable=False),
    # None: it is about the whole run.
    Column("delivery_id", Integer, ForeignKey("deliveries.id", ondelete="RESTRICT")),
    Column("action", String(20), nullable=False),
    # Who decided: an e-mail address, a token's name, or the campaign's rule.
    Column("by", String(320), nullable=False),
    Column("detail", Text),  # what stood there before, in words
    Column("at", Instant, nullable=False),
    Index(None, "run_id", "id"),  # serves: the decisions about a run, in their order
    sqlite_autoincrement=True,
)

# SQLite takes a partial index only where its condition stands in the statement word by word: no bound values here.
is_queued: ColumnElement[bool] = deliveries.c.status == literal_column("'queued'")
is_leased: ColumnElement[bool] = deliveries.c.status == literal_column("'leased'")
is_behind: ColumnElement[bool] = watermarks.c.behind == literal_column("1")
has_doubts: ColumnElement[bool] = runs.c.in_doubt > literal_column("0")
is_taken: ColumnElement[bool] = deliveries.c.status.in_(
    [literal_column("'leased'"), literal_column("'sending'")]
)


def has_untried(run: FromClause) -> ColumnElement[bool]:
    """Return the condition that a run (the table runs, or an alias) has recipients to whom nothing was tried yet."""
    untried = and_(deliveries.c.run_id == run.c.id, deliveries.c.attempts == 0)
    # What makes no difference here (an untried one is due since the claim, a leased one has a lease) chooses the index.
    queued = and_(is_queued, deliveries.c.next_attempt_at <= run.c.claimed_at)
    leased = and_(is_taken, is_leased, deliveries.c.lease > 0)
    return or_(exists().where(untried, queued), exists().where(untried, leased))
